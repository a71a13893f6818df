/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel of a vmlinux or bzImage as it lies in memory before it runs: at the address that it is
 * linked for. What boot writes into it is not there: see as_built.h.
 */
#ifndef VP_LINUX_KERNEL_IMAGE_H
#define VP_LINUX_KERNEL_IMAGE_H

#include "linux/kernel_mem.h"

struct vp_elf;

/* Map a file of the user's for reading. -ENOEXEC: it is none, empty, or too large; -errno. */
int vp_kernel_file_map(const char *path, struct vp_blob *out, struct vp_err *err);
void vp_kernel_file_unmap(struct vp_blob *file);

/* Is it a vmlinux or bzImage, by its first bytes? */
bool vp_is_kernel_elf(const struct vp_blob *file);

/*
 * Open the vmlinux that the file is, or that it has packed in it. @what names the file in error
 * texts. -ENOEXEC: damaged, or neither; -ENOMEM.
 */
int vp_kernel_elf_open(const struct vp_blob *file, const char *what, struct vp_elf **out,
		       struct vp_err *err);

struct vp_kernel_image;

/*
 * Place the segments of @elf. @mem, which must not outlive @out, gets one run of them, of which
 * nothing is known: all is code and read-only. -ENOEXEC: it is no kernel; -ENOMEM.
 */
int vp_kernel_image_new(const struct vp_elf *elf, const char *what, struct vp_kernel_image **out,
			struct vp_kernel_mem *mem, struct vp_err *err);

/* NULL is fine. */
void vp_kernel_image_free(struct vp_kernel_image *image);

#endif /* VP_LINUX_KERNEL_IMAGE_H */
