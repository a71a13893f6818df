/* SPDX-License-Identifier: Apache-2.0 */
#include "build/headers.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "build/scratch.h"

/*
 * What follows @key on the first line of DIR/@name that begins with it, without the end of the
 * line. -ENOENT: no such file; -ENOMSG: no such line; -ENAMETOOLONG.
 */
static int find_line(const struct vp_headers *h, const char *name, const char *key, char *value,
		     size_t size)
{
	char path[PATH_MAX], line[PATH_MAX + 64];
	int rc = -ENOMSG;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", h->dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	f = fopen(path, "re");
	if (!f)
		return -ENOENT;
	while (rc == -ENOMSG && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		line[strcspn(line, "\n")] = '\0';
		rc = snprintf(value, size, "%s", line + strlen(key)) < (int)size ? 0
										 : -ENAMETOOLONG;
	}
	fclose(f);
	return rc;
}

/* @text is a string in quotes, or (auto.conf, from 6.1 on) without. */
static bool unquote(char *text)
{
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
		memmove(text, text + 1, len - 2);
		text[len - 2] = '\0';
	}
	return *text && !strpbrk(text, "\"\\") && vp_text_is_clean(text);
}

static int read_identity(struct vp_headers *h, struct vp_err *err)
{
	char yes[8];

	if (find_line(h, "include/generated/utsrelease.h", "#define UTS_RELEASE ", h->release,
		      sizeof(h->release)) ||
	    !unquote(h->release) || !vp_scratch_is_plain(h->release))
		return vp_err_set(err, -ENOEXEC,
				  "%s: no headers of a kernel, or of one that was not prepared for "
				  "modules: no include/generated/utsrelease.h with its release",
				  h->dir);
	if (find_line(h, "include/config/auto.conf", "CONFIG_X86_64=", yes, sizeof(yes)) ||
	    strcmp(yes, "y"))
		return vp_err_set(err, -ENOEXEC,
				  "%s: not of an x86-64 kernel: no CONFIG_X86_64=y in "
				  "include/config/auto.conf",
				  h->dir);
	if (find_line(h, "include/config/auto.conf", "CONFIG_CC_VERSION_TEXT=", h->compiler,
		      sizeof(h->compiler)) ||
	    !unquote(h->compiler))
		h->compiler[0] = '\0';
	return 0;
}

static bool there_is(const char *dir, const char *name)
{
	char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !access(path, R_OK);
}

/*
 * Debian's DIR/Makefile is one line, `include /usr/src/linux-headers-VERSION-common/Makefile`. If
 * the packages were only unpacked the folder is beside DIR, and that is the one that is meant.
 */
static int find_makefile(struct vp_headers *h, struct vp_err *err)
{
	char at[PATH_MAX], copy[PATH_MAX], beside[2 * PATH_MAX];

	h->makefile[0] = '\0';
	if (find_line(h, "Makefile", "include ", at, sizeof(at)))
		return 0;
	snprintf(copy, sizeof(copy), "%s", at);
	snprintf(beside, sizeof(beside), "%s/../%s/Makefile", h->dir, basename(dirname(copy)));
	if (!realpath(beside, h->makefile) && !realpath(at, h->makefile)) {
		h->makefile[0] = '\0';
		return vp_err_set(err, -ENOEXEC, "%s: its second half is missing, %s", h->dir,
				  dirname(at));
	}
	if (!vp_scratch_is_plain(h->makefile))
		return vp_err_set(err, -EINVAL, "%s: kbuild cannot work at such a path",
				  h->makefile);
	return 0;
}

int vp_headers_open(const char *dir, struct vp_headers *h, struct vp_err *err)
{
	struct stat st;
	int rc;

	memset(h, 0, sizeof(*h));
	if (!realpath(dir, h->dir) || stat(h->dir, &st))
		return vp_err_set(err, -errno, "%s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return vp_err_set(err, -ENOTDIR, "%s: not a folder of kernel headers", dir);
	if (!vp_scratch_is_plain(h->dir))
		return vp_err_set(err, -EINVAL,
				  "%s: kbuild cannot work at such a path: only letters, digits and "
				  "/._+- may be in it",
				  dir);
	rc = read_identity(h, err);
	if (!rc)
		rc = find_makefile(h, err);
	if (!rc && !there_is(h->dir, "Makefile"))
		rc = vp_err_set(err, -ENOEXEC, "%s: no kernel headers: no Makefile", dir);
	if (!rc && !there_is(h->dir, "scripts/basic/fixdep"))
		rc = vp_err_set(err, -ENOEXEC,
				"%s: kbuild's programs are missing (scripts/, Debian's package "
				"linux-kbuild-*)",
				dir);
	return rc;
}

void vp_headers_program(const struct vp_headers *h, char *name, size_t size)
{
	snprintf(name, size, "%.*s", (int)strcspn(h->compiler, " "), h->compiler);
}
