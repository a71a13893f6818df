/* SPDX-License-Identifier: Apache-2.0 */
/* Many small reads of the kernel's memory, made of a few large ones. */
#ifndef VP_LINUX_VIEW_H
#define VP_LINUX_VIEW_H

#include "linux/internal.h"

/* Guest memory at hand: what is read of it next is likely near, and one large read is cheap. */
struct vp_view {
	struct vp_blob blob;
	uint8_t *bytes;
	size_t size;
	size_t ahead; /* how much is read where a read misses; 0: the view stays as it is */
};

/* Read memory at @addr, through @view (NULL: none). -EFAULT. */
int vp_view_read(const struct vp_linux *l, struct vp_view *view, uint64_t addr, void *buf,
		 size_t len, struct vp_err *err);

/* Take @n bytes at @addr into the view. False: not all can be read; it is empty then. */
bool vp_view_fill(const struct vp_linux *l, struct vp_view *view, uint64_t addr, size_t n);
void vp_view_free(struct vp_view *view);

#endif /* VP_LINUX_VIEW_H */
