/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a source only moved in a diff: their numbers stand in code as __LINE__. */
#ifndef VP_BUILD_LINES_H
#define VP_BUILD_LINES_H

#include "build/patch.h"

struct vp_lines {
	uint32_t *to; /* by line of the old file, from 1: of the new one; 0: it is gone */
	size_t n;
	const struct vp_patch *patch;
	const struct vp_patch_file *file;
};

/* @old is the file before. @patch must outlive @out. -ENOMEM; -ENOEXEC: it does not apply. */
int vp_lines_make(struct vp_lines *out, const struct vp_patch *patch,
		  const struct vp_patch_file *file, const char *old, size_t len,
		  struct vp_err *err);
void vp_lines_free(struct vp_lines *lines);

/*
 * Is @to the line that @from became, and no number that the diff itself writes? Then a constant
 * that changes from one to the other is a line. @arg: struct vp_lines.
 */
bool vp_lines_moved(void *arg, int64_t from, int64_t to);

#endif /* VP_BUILD_LINES_H */
