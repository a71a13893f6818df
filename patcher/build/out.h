/* SPDX-License-Identifier: Apache-2.0 */
/* Files in and out: what was built, and the file that the user gets. */
#ifndef VP_BUILD_OUT_H
#define VP_BUILD_OUT_H

#include <vmpoke/types.h>

/* Read a regular file of at most @max bytes; malloc()ed. -errno; -EFBIG. */
int vp_out_read(const char *path, size_t max, void **data, size_t *len, struct vp_err *err);

/*
 * Make @path hold @data: all of it, or what it held before. A file that is replaced must be a
 * regular one. -EROFS: whatever is in the way.
 */
int vp_out_write(const char *path, const void *data, size_t len, struct vp_err *err);

#endif /* VP_BUILD_OUT_H */
