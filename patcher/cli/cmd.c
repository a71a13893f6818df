/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the subcommands; see cmd.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cmd.h"

int vp_cmd_fail(const char *cmd, int exit_code, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* What came from a command line or a file stays on the one line. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "vmpoke %s: %s\n", cmd, line);
	return exit_code;
}

int vp_cmd_exit_code(int err)
{
	switch (err) {
	case 0:
		return VP_EXIT_OK;
	case -EINVAL:
	case -EFAULT:
	case -ESTALE:
	case -EBUSY:
	case -ENOENT: /* no such batch, vCPU or symbol */
	case -EEXIST:
	case -ERANGE:
	case -ENOSPC:
	case -EOPNOTSUPP:
		return VP_EXIT_REFUSED;
	case -EAGAIN:
	case -ETIMEDOUT:
		return VP_EXIT_ROLLED_BACK;
	case -EACCES:
	case -EPERM:
	case -EPROTO:
	case -EPIPE:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ENOTCONN:
		return VP_EXIT_UNREACHABLE;
	case -ENODEV:
	case -ENOMEM:
		return VP_EXIT_HOST;
	case -ENOEXEC:
		return VP_EXIT_FILE;
	default:
		return VP_EXIT_FAILED;
	}
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

static int runtime_dir(char *dir, size_t size, struct vp_err *err)
{
	const char *own = getenv("VMPOKE_RUNTIME_DIR");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int n;

	if (own && *own)
		n = snprintf(dir, size, "%s", own);
	else if (xdg && *xdg)
		n = snprintf(dir, size, "%s/vmpoke", xdg);
	else if (geteuid() == 0)
		n = snprintf(dir, size, "/run/vmpoke");
	else
		n = snprintf(dir, size, "/tmp/vmpoke-%u", (unsigned int)geteuid());
	if (n < 0 || (size_t)n >= size)
		return vp_err_set(err, -ENAMETOOLONG,
				  "the runtime folder's name is too long: set VMPOKE_RUNTIME_DIR");
	return 0;
}

/* In a folder that others may write, a socket of ours could be somebody else's. */
static int runtime_dir_check(const char *dir, bool create, struct vp_err *err)
{
	struct stat st;

	if (create && mkdir(dir, 0700) && errno != EEXIST)
		return vp_err_set(err, -errno, "cannot make the runtime folder %s: %s", dir,
				  strerror(errno));
	if (lstat(dir, &st)) {
		if (errno == ENOENT) /* connecting will say that there is no such target */
			return 0;
		return vp_err_set(err, -errno, "%s: %s", dir, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return vp_err_set(err, -EACCES,
				  "the runtime folder %s is not a folder that only you can write: "
				  "set VMPOKE_RUNTIME_DIR",
				  dir);
	return 0;
}

int vp_cmd_socket_path(const char *target, bool create, char *path, size_t size, struct vp_err *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t max = size < sizeof(dir) ? size : sizeof(dir);
	int n, rc;

	if (strchr(target, '/')) {
		n = snprintf(path, size, "%s", target);
	} else {
		if (!*target || *target == '.')
			return vp_err_set(err, -EINVAL, "\"%s\" is no name of a target", target);
		rc = runtime_dir(dir, sizeof(dir), err);
		if (!rc)
			rc = runtime_dir_check(dir, create, err);
		if (rc)
			return rc;
		n = snprintf(path, size, "%s/%s", dir, target);
	}
	if (n < 0 || (size_t)n >= max)
		return vp_err_set(err, -ENAMETOOLONG,
				  "the socket's path is too long (at most %zu bytes): %s", max - 1,
				  target);
	return 0;
}
