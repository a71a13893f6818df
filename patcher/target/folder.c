/* SPDX-License-Identifier: Apache-2.0 */
#include "target/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A file system that has no use for it says EINVAL. */
static int sync_folder(const char *path, struct vp_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0 || (fsync(fd) && errno != EINVAL && errno != EROFS))
		rc = vp_err_set(err, -errno, "the folder %.180s cannot be synced: %s", path,
				strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The folder that holds @path, to be freed; NULL: no memory. */
static char *folder_of(const char *path)
{
	char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;

	if (copy && !slash) {
		free(copy);
		return strdup(".");
	}
	if (copy)
		slash[slash == copy] = '\0';
	return copy;
}

int vp_folder_sync_for(const char *path, struct vp_err *err)
{
	char *folder = folder_of(path);
	int rc = folder ? sync_folder(folder, err) : vp_err_set(err, -ENOMEM, "out of memory");

	free(folder);
	return rc;
}

static int make_one(const char *path, struct vp_err *err)
{
	if (!mkdir(path, 0700))
		return vp_folder_sync_for(path, err);
	if (errno == EEXIST)
		return 0;
	return vp_err_set(err, -errno, "cannot make the folder %.180s: %s", path, strerror(errno));
}

int vp_folder_make(const char *path, struct vp_err *err)
{
	char *copy = strdup(path);
	struct stat st;
	int rc = 0;

	if (!copy)
		return vp_err_set(err, -ENOMEM, "out of memory");
	if (!stat(path, &st) && S_ISDIR(st.st_mode)) { /* perhaps we may not even see those above */
		free(copy);
		return 0;
	}
	for (char *slash = strchr(copy + 1, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		rc = make_one(copy, err);
		*slash = '/';
	}
	if (!rc)
		rc = make_one(copy, err);
	free(copy);
	return rc;
}

int vp_folder_make_for(const char *path, struct vp_err *err)
{
	char *folder = folder_of(path);
	int rc = folder ? vp_folder_make(folder, err) : vp_err_set(err, -ENOMEM, "out of memory");

	free(folder);
	return rc;
}

int vp_file_key(const char *path, char text[VP_FILE_KEY])
{
	struct statx s;
	uint64_t birth = 0;

	if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &s))
		return -errno;
	if (s.stx_mask & STATX_BTIME)
		birth = (uint64_t)s.stx_btime.tv_sec * 1000000000u + s.stx_btime.tv_nsec;
	snprintf(text, VP_FILE_KEY, "%llx-%llx-%llx",
		 (unsigned long long)makedev(s.stx_dev_major, s.stx_dev_minor),
		 (unsigned long long)s.stx_ino, (unsigned long long)birth);
	return 0;
}
