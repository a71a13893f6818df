/* SPDX-License-Identifier: Apache-2.0 */
#include "build/out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int vp_out_read(const char *path, size_t max, void **data, size_t *len, struct vp_err *err)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	int rc = 0;

	if (!f)
		return vp_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fileno(f), &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else if ((uintmax_t)st.st_size > max)
		rc = -EFBIG;
	*len = rc ? 0 : (size_t)st.st_size;
	*data = rc ? NULL : malloc(*len + 1);
	if (!rc && !*data)
		rc = -ENOMEM;
	if (!rc && fread(*data, 1, *len, f) != *len)
		rc = -EIO;
	fclose(f);
	if (!rc)
		return 0;
	free(*data);
	*data = NULL;
	return vp_err_set(err, rc, "%s: %s", path, strerror(-rc));
}

static int write_all(int fd, const char *data, size_t len)
{
	mode_t mask = umask(0);

	umask(mask);
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return fchmod(fd, 0666 & ~mask) ? -errno : 0;
}

int vp_out_write(const char *path, const void *data, size_t len, struct vp_err *err)
{
	char beside[PATH_MAX];
	struct stat st;
	int fd, rc;

	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return vp_err_set(err, -EROFS, "%s: not a file that can be replaced", path);
	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside))
		return vp_err_set(err, -EROFS, "%s: too long", path);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return vp_err_set(err, -EROFS, "%s cannot be written: %s", path, strerror(errno));
	rc = write_all(fd, data, len);
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && rename(beside, path))
		rc = -errno;
	if (!rc)
		return 0;
	unlink(beside);
	return vp_err_set(err, -EROFS, "%s cannot be written: %s", path, strerror(-rc));
}
