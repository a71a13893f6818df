/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the subcommands; see cmd.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/similar.h"
#include "base/text.h"
#include "cli/cmd.h"

int vp_cmd_fail(const char *cmd, int exit_code, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vp_text_clean(line);
	fprintf(stderr, "vmpoke %s: %s\n", cmd, line);
	return exit_code;
}

int vp_cmd_dispatch(const char *of, const struct vp_cmd *table, size_t n, int argc, char **argv)
{
	struct vp_similar similar;

	vp_similar_begin(&similar, argv[0]);
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(argv[0], table[i].name))
			return table[i].run(argc, argv);
		vp_similar_offer(&similar, table[i].name);
	}
	if (similar.best)
		return vp_cmd_fail(of, VP_EXIT_USAGE, "there is no \"%s\"; did you mean \"%s\"?",
				   argv[0], similar.best);
	return vp_cmd_fail(of, VP_EXIT_USAGE, "there is no \"%s\"; see --help", argv[0]);
}

int vp_cmd_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	unsigned long long value;
	char *end;

	/* strtoull() also takes signs and blanks. */
	if (hex ? !isxdigit((unsigned char)*digits) : !isdigit((unsigned char)*digits))
		return -EINVAL;
	errno = 0;
	value = strtoull(digits, &end, hex ? 16 : 10);
	if (errno || *end || value < min || value > max)
		return -EINVAL;
	*out = value;
	return 0;
}

/* Read until the end of @fd; @what names it. */
static int read_all(int fd, const char *what, size_t max, uint8_t **data, size_t *len,
		    struct vp_err *err)
{
	uint8_t *buf = NULL;
	size_t used = 0, size = 0;

	for (;;) {
		ssize_t n;

		if (used == size) {
			uint8_t *more = realloc(buf, size = size ? 2 * size : 65536);

			if (!more) {
				free(buf);
				return vp_err_set(err, -ENOMEM, "%s: out of memory", what);
			}
			buf = more;
		}
		n = read(fd, buf + used, size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (used += (size_t)n) > max) {
			int rc = n < 0 ? -errno : n > 0 ? -EFBIG : 0;

			if (!rc) {
				*data = buf;
				*len = used;
				return 0;
			}
			free(buf);
			return vp_err_set(err, rc, "%s: %s", what, strerror(-rc));
		}
	}
}

int vp_cmd_read_file(const char *path, size_t max, void **data, size_t *len, struct vp_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *bytes = NULL;
	int rc;

	if (fd < 0)
		return vp_err_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = read_all(fd, path, max, &bytes, len, err);
	close(fd);
	*data = bytes;
	return rc;
}
