/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of our own for what a build writes; it goes when the build ends, however it ends. */
#ifndef VP_BUILD_SCRATCH_H
#define VP_BUILD_SCRATCH_H

#include <vmpoke/types.h>

#define VP_SCRATCH_PATH 128

struct vp_scratch {
	char path[VP_SCRATCH_PATH]; /* absolute, and nothing in it that make would misread */
};

/* Would make, a Makefile and kbuild take @path as it is? */
bool vp_scratch_is_plain(const char *path);

/*
 * Make a folder in $TMPDIR, or /tmp. -ENOTDIR: $TMPDIR has a blank or such; -errno: it cannot
 * be made.
 */
int vp_scratch_make(struct vp_scratch *s, struct vp_err *err);

/* Write @name, or make it a link to @to; the folders of @name are made. -errno. */
int vp_scratch_write(const struct vp_scratch *s, const char *name, const void *data, size_t len,
		     struct vp_err *err);
int vp_scratch_link(const struct vp_scratch *s, const char *name, const char *to,
		    struct vp_err *err);

/* Remove it with all that is in it; links are not followed. */
void vp_scratch_drop(struct vp_scratch *s);

#endif /* VP_BUILD_SCRATCH_H */
