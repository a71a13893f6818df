/* SPDX-License-Identifier: Apache-2.0 */
#include "build/tidy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build/out.h"
#include "build/run.h"

#define INFO_MAX  65536
#define TIDY_PATH (VP_SCRATCH_PATH + 96)

static int objcopy(const struct vp_scratch *s, char *const argv[], int stop_fd, struct vp_err *err)
{
	struct vp_run run = { .argv = argv, .tmpdir = s->path, .stop_fd = stop_fd };
	char *said;
	int status, rc = vp_run(&run, &said, &status, err);

	if (rc)
		return rc;
	said[strcspn(said, "\n")] = '\0';
	if (status)
		rc = vp_err_set(err, -EIO, "objcopy fails: %s", said);
	free(said);
	return rc;
}

bool vp_tidy_tells(const char *info, size_t len, const char *key)
{
	for (size_t at = 0; at < len; at += strnlen(info + at, len - at) + 1)
		if (len - at >= strlen(key) && !memcmp(info + at, key, strlen(key)))
			return true;
	return false;
}

static __attribute__((format(printf, 3, 4))) void path_of(char *path, const struct vp_scratch *s,
							  const char *fmt, ...)
{
	int n = snprintf(path, TIDY_PATH, "%s/", s->path);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path + n, (size_t)(TIDY_PATH - n), fmt, ap);
	va_end(ap);
}

/* Throw out, and get what the object says of itself: *@info, without an end. */
static int strip(const struct vp_scratch *s, const char *name, int stop_fd, char **info,
		 size_t *len, struct vp_err *err)
{
	char in[TIDY_PATH], out[TIDY_PATH], dump[TIDY_PATH + 32], file[TIDY_PATH];
	char *argv[] = {
		"objcopy",
		"--remove-section=.comment",
		"--remove-section=.note.*",
		"--remove-section=.discard.*",
		"--remove-section=.modinfo",
		"--remove-section=__tracepoint_check", /* 7.x: names, for its build to count */
		dump,
		in,
		out,
		NULL,
	};
	void *data;
	int rc;

	path_of(in, s, "%s.o", name);
	path_of(out, s, "%s.stripped", name);
	path_of(file, s, "%s.info", name);
	snprintf(dump, sizeof(dump), "--dump-section=.vmpoke.info=%s", file);
	rc = objcopy(s, argv, stop_fd, err);
	if (rc)
		return rc;
	if (access(file, F_OK)) /* objcopy warns, and is content */
		return vp_err_set(err, -EOPNOTSUPP,
				  "it does not say what it is: there is no VMPOKE_HOTFIX in it");
	rc = vp_out_read(file, INFO_MAX, &data, len, err);
	*info = data;
	return rc;
}

/* Add the kernel that it is for. */
static int complete(const struct vp_scratch *s, const char *name, const char *info, size_t len,
		    const char *release, int stop_fd, struct vp_err *err)
{
	char in[TIDY_PATH], out[TIDY_PATH], update[2 * TIDY_PATH + 32], more[80], file[TIDY_PATH];
	char *argv[] = { "objcopy", update, in, out, NULL }, *all;
	int n = snprintf(more, sizeof(more), "for=%s", release), rc;

	all = malloc(len + (size_t)n + 1);
	if (!all)
		return vp_err_set(err, -ENOMEM, "out of memory");
	memcpy(all, info, len);
	memcpy(all + len, more, (size_t)n + 1);
	snprintf(file, sizeof(file), "%s.info.all", name);
	rc = vp_scratch_write(s, file, all, len + (size_t)n + 1, err);
	free(all);
	if (rc)
		return rc;
	path_of(in, s, "%s.stripped", name);
	path_of(out, s, "%s.hotfix", name);
	snprintf(update, sizeof(update), "--update-section=.vmpoke.info=%s/%s", s->path, file);
	return objcopy(s, argv, stop_fd, err);
}

int vp_tidy(const struct vp_scratch *s, const char *name, const char *release, int stop_fd,
	    struct vp_err *err)
{
	char from[TIDY_PATH], to[TIDY_PATH], *info = NULL;
	size_t len = 0;
	int rc;

	if (!vp_run_finds("objcopy"))
		return vp_err_set(err, -ENODEV, "there is no objcopy: install binutils");
	rc = strip(s, name, stop_fd, &info, &len, err);
	if (rc)
		return rc;
	if (!vp_tidy_tells(info, len, "for=")) {
		rc = complete(s, name, info, len, release, stop_fd, err);
	} else {
		path_of(from, s, "%s.stripped", name);
		path_of(to, s, "%s.hotfix", name);
		rc = rename(from, to) ? vp_err_set(err, -errno, "%s: %s", to, strerror(errno)) : 0;
	}
	free(info);
	return rc;
}
