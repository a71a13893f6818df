/* SPDX-License-Identifier: Apache-2.0 */
#include "build/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 24u /* of folders: the kernel has 11 */

/* --- is it the right one? ------------------------------------------------------------------------
 */

/* What stands behind @key at the beginning of a line. */
static bool find_number(const char *dir, const char *file, const char *key, unsigned int *out)
{
	char path[2 * PATH_MAX], line[512];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, key, strlen(key)) &&
			sscanf(line + strlen(key), "%u", out) == 1;
	if (f)
		fclose(f);
	return found;
}

int vp_tree_check(const char *dir, const struct vp_headers *headers, struct vp_err *err)
{
	unsigned int version, patchlevel, sublevel, code;

	if (!find_number(dir, "Makefile", "VERSION = ", &version) ||
	    !find_number(dir, "Makefile", "PATCHLEVEL = ", &patchlevel) ||
	    !find_number(dir, "Makefile", "SUBLEVEL = ", &sublevel))
		return vp_err_set(err, -ENOEXEC,
				  "%.100s: no source of a kernel: its Makefile does not say which",
				  dir);
	if (!vp_scratch_is_plain(dir))
		return vp_err_set(err, -ENOEXEC,
				  "%.100s: kbuild cannot work at such a path: only letters, digits "
				  "and /._+- may be in it",
				  dir);
	if (!find_number(headers->dir, "include/generated/uapi/linux/version.h",
			 "#define LINUX_VERSION_CODE ", &code))
		return vp_err_set(err, -ENOEXEC, "%.100s: no version of a kernel in it",
				  headers->dir);
	if (code != (version << 16) + (patchlevel << 8) + (sublevel > 255 ? 255 : sublevel))
		return vp_err_set(
			err, -ENOEXEC,
			"%.80s is the source of %u.%u.%u, and the headers of %.40s are of "
			"%u.%u.%u: both must be of the kernel that the guest runs",
			dir, version, patchlevel, sublevel, headers->release, code >> 16,
			code >> 8 & 255, code & 255);
	return 0;
}

struct walk {
	const struct vp_tree *t;
	const char (*files)[VP_PATCH_PATH];
	size_t n;
	int stop_fd;
};

/* --- makefiles ----------------------------------------------------------------------------------
 */

static bool ends(const char *text, const char *with)
{
	size_t n = strlen(text), m = strlen(with);

	return n >= m && !strcmp(text + n - m, with);
}

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* The flags of a file that lies in the folder itself: see write_makefile(). */
static void write_flags(const struct walk *w, FILE *to, const char *name)
{
	const char *dir = w->t->scratch->path;
	int len = (int)strlen(name) - 2;

	fprintf(to,
		"CFLAGS_REMOVE_%.*s.o += -mrecord-mcount $(PADDING_CFLAGS)\n"
		"vmpoke-own-%.*s := $(call vmpoke-own,$(CFLAGS_%.*s.o))\n"
		"CFLAGS_%.*s.o = $(vmpoke-own-%.*s) -g0 -ffile-prefix-map=%s/tree/= "
		"$(if $(filter whole,$(VMPOKE)),,-ffunction-sections -fdata-sections) "
		"$(if $(filter before after,$(VMPOKE)),-fdump-go-spec=%s/types) "
		"$(if $(filter code,$(VMPOKE)),-aux-info %s/functions) "
		"$(if $(filter code,$(VMPOKE)),-fno-ipa-ra -fno-ipa-pure-const "
		"$(call cc-option,-fno-ipa-modref)) "
		"$(if $(filter $(obj)/%.*s.o,$(real-obj-y) $(real-obj-m) $(lib-y)),,"
		"$(error " VP_TREE_NOT_BUILT "))\n",
		len, name, len, name, len, name, len, name, len, name, dir, dir, dir, len, name);
}

/*
 * What the tree's own makefile says, and behind it, for the files that are compiled:
 *
 * - VMPOKE=before, after: as the kernel's own build, in a section for each function and variable;
 *   with what the compiler knows of each structure and function
 * - VMPOKE=whole: exactly as the kernel's own build
 * - VMPOKE=code: with the headers that a hotfix is compiled with; and nothing is concluded from
 * what the function that is called does to registers and memory, as the kernel's own will be called
 *
 * What the makefiles have from the top of the source (-I$(srctree)/fs/xfs) is found in the tree.
 * Its headers come before those of the package, which are the same but for the diff. Whether this
 * kernel has the file at all is known only when all of the makefile has been read; and where the
 * makefile does not lead into the file's folder its rules would compile it all the same.
 */
static void write_rules(const struct walk *w, FILE *to, const char *folder)
{
	const char *dir = w->t->scratch->path;
	size_t skip = *folder ? strlen(folder) + 1 : 0;

	fprintf(to,
		"OBJECT_FILES_NON_STANDARD := y\n"
		"vmpoke-own = $(subst %s/tree/%s/tree,%s/tree,$(subst $(srctree)/,%s/tree/,$(1)))\n"
		"ccflags-y := $(call vmpoke-own,$(ccflags-y))\n"
		"subdir-ccflags-y := $(call vmpoke-own,$(subdir-ccflags-y))\n"
		"LINUXINCLUDE := $(if $(filter code,$(VMPOKE)),-I%s/kernel) "
		"-I%s/tree/arch/x86/include -I%s/tree/include -I%s/tree/arch/x86/include/uapi "
		"-I%s/tree/include/uapi $(LINUXINCLUDE)\n",
		dir, dir, dir, dir, dir, dir, dir, dir, dir);
	for (size_t i = 0; i < w->n; i++) {
		const char *path = w->files[i], *name = path + skip;

		/* Headers lie in folders of ours, too. */
		if (!ends(path, ".c") || strlen(path) <= skip ||
		    (skip && (strncmp(path, folder, skip - 1) || name[-1] != '/')))
			continue;
		if (strchr(name, '/'))
			fprintf(to, "CFLAGS_%.*s.o += $(error " VP_TREE_NOT_BUILT ")\n",
				(int)strlen(name) - 2, name);
		else
			write_flags(w, to, name);
	}
}

/* At the top: which folders there are. */
static void write_top(const struct walk *w, FILE *to)
{
	for (size_t i = 0; i < w->n; i++) {
		const char *path = w->files[i];
		const char *from = strncmp(path, "arch/x86/", 9) ? path : path + 5;

		if (ends(path, ".c"))
			fprintf(to, "obj-y += %.*s/\n", (int)(strchr(from, '/') - path), path);
	}
}

static int write_makefile(const struct walk *w, const char *folder, struct vp_err *err)
{
	char path[2 * PATH_MAX], name[VP_PATCH_PATH + 16], *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	int rc = 0;

	if (!to)
		return vp_err_set(err, -ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "%s/%s/Kbuild", w->t->source, folder);
	if (!is_file(path))
		snprintf(path, sizeof(path), "%s/%s/Makefile", w->t->source, folder);
	if (*folder)
		fprintf(to, "include %s\n", path);
	else
		write_top(w, to);
	write_rules(w, to, folder);
	if (fclose(to))
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	snprintf(name, sizeof(name), "%s%sKbuild", folder, *folder ? "/" : "");
	if (!rc)
		rc = vp_tree_replace(w->t, name, text, len, err);
	free(text);
	return rc;
}

/* --- the links ------------------------------------------------------------------------------- */

/* Does a file of ours lie somewhere in it? Then it is a folder of our own, else a link will do. */
static bool is_on_the_way(const struct walk *w, const char *folder)
{
	size_t len = strlen(folder);

	for (size_t i = 0; i < w->n; i++)
		if (!strncmp(w->files[i], folder, len) && w->files[i][len] == '/')
			return true;
	return false;
}

static bool is_stopped(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int link_folder(const struct walk *w, const char *folder, unsigned int depth);

static int link_entry(const struct walk *w, const char *folder, const char *name,
		      unsigned int depth)
{
	char path[PATH_MAX], from[2 * PATH_MAX], to[2 * PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", name) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	snprintf(from, sizeof(from), "%s/%s", w->t->source, path);
	snprintf(to, sizeof(to), "%s/tree/%s", w->t->scratch->path, path);
	if (lstat(from, &st))
		return -errno;
	if (S_ISDIR(st.st_mode) && is_on_the_way(w, path) && depth < DEPTH_MAX)
		return mkdir(to, 0700) ? -errno : link_folder(w, path, depth + 1);
	/* What an earlier build left there would be taken for ours; at the top is our makefile. */
	if (!S_ISDIR(st.st_mode) && (!*folder || ends(name, ".o") || ends(name, ".ko")))
		return 0;
	return symlink(from, to) ? -errno : 0;
}

static int link_folder(const struct walk *w, const char *folder, unsigned int depth)
{
	char path[2 * PATH_MAX];
	const struct dirent *e;
	int rc = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", w->t->source, folder);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!rc && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			rc = link_entry(w, folder, e->d_name, depth);
	closedir(dir);
	if (!rc && is_stopped(w->stop_fd))
		rc = -ECANCELED;
	return rc ? rc : write_makefile(w, folder, NULL);
}

int vp_tree_make(const struct vp_tree *t, const char (*files)[VP_PATCH_PATH], size_t n, int stop_fd,
		 struct vp_err *err)
{
	struct walk w = { .t = t, .files = files, .n = n, .stop_fd = stop_fd };
	char path[VP_SCRATCH_PATH + 16];
	int rc;

	snprintf(path, sizeof(path), "%s/tree", t->scratch->path);
	if (mkdir(path, 0700))
		return vp_err_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = link_folder(&w, "", 0);
	if (rc)
		return vp_err_set(err, rc, "%.100s: %s", t->source,
				  rc == -ECANCELED ? "interrupted" : strerror(-rc));
	return 0;
}

int vp_tree_replace(const struct vp_tree *t, const char *path, const char *text, size_t len,
		    struct vp_err *err)
{
	char name[VP_PATCH_PATH + 32], full[VP_TREE_PATH];

	snprintf(name, sizeof(name), "tree/%s", path);
	snprintf(full, sizeof(full), "%s/%s", t->scratch->path, name);
	if (unlink(full) && errno != ENOENT) /* the link, not what it leads to */
		return vp_err_set(err, -errno, "%.150s: %s", full, strerror(errno));
	return vp_scratch_write(t->scratch, name, text, len, err);
}
