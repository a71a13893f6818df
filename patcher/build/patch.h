/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A unified diff, as git, diff -u and mailing lists have it. Whoever made it may be hostile: what
 * is given out lies inside the text, every path is a plain one below the top of a source tree, and
 * the numbers of each hunk are those of its lines.
 *
 * Paths are taken without their first part (a/ and b/), as `patch -p1` does.
 */
#ifndef VP_BUILD_PATCH_H
#define VP_BUILD_PATCH_H

#include <limits.h>
#include <vmpoke/types.h>

#define VP_PATCH_MAX	   (4u << 20) /* bytes */
#define VP_PATCH_FILES	   256u
#define VP_PATCH_PATH	   256u
#define VP_PATCH_LINE_LAST 10000000u /* no source is longer */

struct vp_patch_line {
	char op;	  /* ' ', '-' or '+' */
	const char *text; /* of the diff, without the end of the line */
	size_t len;
	bool open; /* the file ends here, without an end of the line */
};

struct vp_patch_hunk {
	size_t old_start, new_start; /* lines, from 1; 0: before the first */
	size_t old_count, new_count;
	size_t first, n; /* of the patch's lines */
};

struct vp_patch_file {
	char path[VP_PATCH_PATH];
	bool is_new, is_gone;
	size_t first, n; /* of the patch's hunks */
};

struct vp_patch {
	char *text;
	char subject[128]; /* what it says of itself, one printable line; or "" */
	struct vp_patch_file *files;
	size_t nfiles;
	struct vp_patch_hunk *hunks;
	size_t nhunks;
	struct vp_patch_line *lines;
	size_t nlines;
};

/*
 * Read @text (copied; @what names it in texts). -ENOEXEC: not such a diff, or one that is not
 * taken, and why; -ENOMEM. On success the caller frees @out.
 */
int vp_patch_parse(const char *text, size_t len, const char *what, struct vp_patch *out,
		   struct vp_err *err);
void vp_patch_free(struct vp_patch *patch);

/*
 * The text of @file of @patch as it is when the diff is applied to @old. Each hunk must be found
 * line for line: where its numbers say, or elsewhere if it fits at one place only. *@out is
 * malloc()ed. @starts (may be NULL) gets where each of the file's hunks was found: its first line
 * in
 * @old, from 1. -ENOEXEC: it does not apply; -ENOMEM.
 */
int vp_patch_apply(const struct vp_patch *patch, const struct vp_patch_file *file, const char *old,
		   size_t old_len, char **out, size_t *out_len, size_t *starts, struct vp_err *err);

#endif /* VP_BUILD_PATCH_H */
