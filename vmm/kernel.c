/* SPDX-License-Identifier: Apache-2.0 */
/* Linux kernels of either kind of file. */
#include "vmm/kernel.h"

bool vp_kernel_is_linux(const void *file, size_t len)
{
	return vp_bzimage_is(file, len) || vp_vmlinux_is(file, len);
}

int vp_kernel_load(const void *file, size_t len, const char *what, const struct vp_ram *ram,
		   struct vp_kernel *out, struct vp_err *err)
{
	*out = (struct vp_kernel){ 0 };
	return vp_bzimage_is(file, len) ? vp_bzimage_load(file, len, what, ram, out, err)
					: vp_vmlinux_load(file, len, what, ram, out, err);
}
