/* SPDX-License-Identifier: Apache-2.0 */
#include "build/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FULL_PATH (VP_SCRATCH_PATH + 256)

bool vp_scratch_is_plain(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._+-";

	return *path && !path[strspn(path, plain)];
}

int vp_scratch_make(struct vp_scratch *s, struct vp_err *err)
{
	const char *in = getenv("TMPDIR");
	int n;

	if (!in || !*in)
		in = "/tmp";
	if (in[0] != '/' || !vp_scratch_is_plain(in))
		return vp_err_set(err, -ENOTDIR,
				  "TMPDIR %s: not an absolute path of letters, digits and /._+-, "
				  "which is what make can take",
				  in);
	n = snprintf(s->path, sizeof(s->path), "%s/vmpoke-build-XXXXXX", in);
	if (n < 0 || (size_t)n >= sizeof(s->path)) {
		s->path[0] = '\0';
		return vp_err_set(err, -ENAMETOOLONG, "TMPDIR %s: too long", in);
	}
	if (mkdtemp(s->path))
		return 0;
	n = -errno;
	s->path[0] = '\0';
	return vp_err_set(err, n, "%s: no folder can be made in it: %s", in, strerror(-n));
}

/* The full path of @name, whose folders are made. */
static int place(const struct vp_scratch *s, const char *name, char *full, struct vp_err *err)
{
	int n = snprintf(full, FULL_PATH, "%s/%s", s->path, name);

	if (n < 0 || n >= FULL_PATH)
		return vp_err_set(err, -ENAMETOOLONG, "%s: too long", name);
	for (char *slash = full + strlen(s->path) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		n = mkdir(full, 0700) && errno != EEXIST ? -errno : 0;
		if (n)
			return vp_err_set(err, n, "%s: %s", full, strerror(-n));
		*slash = '/';
	}
	return 0;
}

int vp_scratch_write(const struct vp_scratch *s, const char *name, const void *data, size_t len,
		     struct vp_err *err)
{
	char full[FULL_PATH];
	int rc = place(s, name, full, err);
	FILE *f;

	if (rc)
		return rc;
	f = fopen(full, "wxe");
	if (!f)
		return vp_err_set(err, -errno, "%s: %s", full, strerror(errno));
	if (len && fwrite(data, 1, len, f) != len)
		rc = -EIO;
	if (fclose(f))
		rc = -errno;
	return rc ? vp_err_set(err, rc, "%s: %s", full, strerror(-rc)) : 0;
}

int vp_scratch_link(const struct vp_scratch *s, const char *name, const char *to,
		    struct vp_err *err)
{
	char full[FULL_PATH];
	int rc = place(s, name, full, err);

	if (!rc && symlink(to, full))
		rc = vp_err_set(err, -errno, "%s: %s", full, strerror(errno));
	return rc;
}

static int drop_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(path) && errno != ENOENT ? -1 : 0;
}

void vp_scratch_drop(struct vp_scratch *s)
{
	if (s->path[0])
		nftw(s->path, drop_one, 16, FTW_DEPTH | FTW_PHYS);
	s->path[0] = '\0';
}
