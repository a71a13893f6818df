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
#include "cli/progress.h"

int vp_cmd_fail(const char *cmd, int exit_code, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vp_text_clean(line);
	vp_progress_wipe();
	fprintf(stderr, "vmpoke%s%s: %s\n", *cmd ? " " : "", cmd, line);
	return exit_code;
}

const struct vp_cmd *vp_cmd_find(const struct vp_cmd *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0)
		table++;
	return table->name ? table : NULL;
}

void vp_cmd_list_table(FILE *to, const struct vp_cmd *table)
{
	for (; table->name; table++)
		fprintf(to, "  %-8s %s\n", table->name, table->summary);
}

static int unknown(const char *of, const struct vp_cmd *table, const char *name)
{
	struct vp_similar similar;

	vp_similar_begin(&similar, name);
	for (; table->name; table++)
		vp_similar_offer(&similar, table->name);
	if (similar.best)
		return vp_cmd_fail(of, VP_EXIT_USAGE,
				   "there is no command \"%s\"; did you mean \"%s\"?", name,
				   similar.best);
	return vp_cmd_fail(of, VP_EXIT_USAGE, "there is no command \"%s\"; see --help", name);
}

/* A command that is a table. */
static int dispatch_subs(const struct vp_cmd *cmd, int argc, char **argv)
{
	bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
	FILE *to = help ? stdout : stderr;

	if (argc > 1 && !help)
		return vp_cmd_dispatch(cmd->name, cmd->subs, argc - 1, argv + 1);
	fprintf(to, "usage: vmpoke %s COMMAND [OPTION...]\n\n%s:\n\n", cmd->name, cmd->summary);
	vp_cmd_list_table(to, cmd->subs);
	fprintf(to, "\nvmpoke %s COMMAND --help tells the options.\n", cmd->name);
	return help ? VP_EXIT_OK : VP_EXIT_USAGE;
}

int vp_cmd_dispatch(const char *of, const struct vp_cmd *table, int argc, char **argv)
{
	const struct vp_cmd *cmd = vp_cmd_find(table, argv[0]);

	if (!cmd)
		return unknown(of, table, argv[0]);
	return cmd->subs ? dispatch_subs(cmd, argc, argv) : cmd->run(argc, argv);
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
	if (!hex && digits[0] == '0' && digits[1]) /* octal, or not? (elf/where.h) */
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

int vp_cmd_timeout(unsigned int *ms, struct vp_err *err)
{
	const char *text = getenv("VMPOKE_TIMEOUT");
	uint64_t value = 0;

	if (text && *text && vp_cmd_number(text, 1, VP_CMD_TIMEOUT_MAX, &value))
		return vp_err_set(err, -EINVAL, "VMPOKE_TIMEOUT=%.40s is not a number from 1 to %u",
				  text, VP_CMD_TIMEOUT_MAX);
	*ms = (unsigned int)value;
	return 0;
}

const char *vp_cmd_keyring(const char *option)
{
	const char *set = getenv("VMPOKE_KEYRING");

	return option || !set || !*set ? option : set;
}
