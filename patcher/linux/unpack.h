/* SPDX-License-Identifier: Apache-2.0 */
/* The vmlinux inside a bzImage (Documentation/arch/x86/boot.rst). Pure. */
#ifndef VP_LINUX_UNPACK_H
#define VP_LINUX_UNPACK_H

#include "linux/blob.h"

/* No kernel is larger unpacked. */
#define VP_UNPACKED_MAX (1u << 30)

bool vp_is_bzimage(const struct vp_blob *file);

/*
 * Unpack gzip, xz, lzma, lz4 or zstd. *out is malloc()ed. @what names the file in error texts.
 * -ENOEXEC: damaged, too old, or packed in another way. -ENOMEM.
 */
int vp_bzimage_unpack(const struct vp_blob *file, const char *what, uint8_t **out, size_t *len,
		      struct vp_err *err);

#endif /* VP_LINUX_UNPACK_H */
