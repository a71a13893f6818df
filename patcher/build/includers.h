/* SPDX-License-Identifier: Apache-2.0 */
/* Which sources of a tree take in a file, as far as their text tells: one too many rather than few.
 */
#ifndef VP_BUILD_INCLUDERS_H
#define VP_BUILD_INCLUDERS_H

#include "build/patch.h"

struct vp_includers {
	char (*paths)[VP_PATCH_PATH];
	size_t n, room;
};

/*
 * Add to @out the C sources of the tree @source (absolute) that include one of @files, or a file
 * that does, and are not there yet. Those of other machines, and programs, are left out. With
 * @near only the folders of @files are looked at. -E2BIG: more than @max; -ECANCELED: @stop_fd is
 * readable; -ENOMEM.
 */
int vp_includers_find(const char *source, const char (*files)[VP_PATCH_PATH], size_t n, bool near,
		      size_t max, int stop_fd, struct vp_includers *out, struct vp_err *err);

/* -ENOMEM. */
int vp_includers_add(struct vp_includers *out, const char *path, struct vp_err *err);

#endif /* VP_BUILD_INCLUDERS_H */
