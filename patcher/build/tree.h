/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's source tree as a build may have it without a word being written there: folders of our
 * own with links to its files, some of which are then replaced by what a diff makes of them. The
 * folder is laid out as an external module for the kbuild of the kernel's headers, which reads the
 * tree's own makefiles: so each file gets the flags that the kernel's own build gives it.
 */
#ifndef VP_BUILD_TREE_H
#define VP_BUILD_TREE_H

#include "build/headers.h"
#include "build/patch.h"
#include "build/scratch.h"

#define VP_TREE_PATH (VP_SCRATCH_PATH + VP_PATCH_PATH + 64)

/* What make says of a file that this kernel is built without. */
#define VP_TREE_NOT_BUILT "vmpoke-not-built"

struct vp_tree {
	const char *source; /* absolute, plain */
	struct vp_scratch *scratch;
};

/* Is @dir a kernel's source, of the version that @headers are of? -ENOEXEC and why not. */
int vp_tree_check(const char *dir, const struct vp_headers *headers, struct vp_err *err);

/*
 * Lay it out in the scratch folder's tree/. @files are the sources that will be compiled, and all
 * that will be replaced. -errno.
 * -ECANCELED: @stop_fd is readable.
 */
int vp_tree_make(const struct vp_tree *t, const char (*files)[VP_PATCH_PATH], size_t n, int stop_fd,
		 struct vp_err *err);

/* From now on @path of the tree holds this text. */
int vp_tree_replace(const struct vp_tree *t, const char *path, const char *text, size_t len,
		    struct vp_err *err);

#endif /* VP_BUILD_TREE_H */
