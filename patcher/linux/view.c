/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/view.h"

#include <stdlib.h>

bool vp_view_fill(const struct vp_linux *l, struct vp_view *v, uint64_t addr, size_t n)
{
	if (v->size < n) {
		uint8_t *p = realloc(v->bytes, n);

		if (!p)
			return false;
		v->bytes = p;
		v->size = n;
	}
	v->blob = (struct vp_blob){ 0 };
	if (vp_kernel_mem_read(&l->mem, VP_GVA(addr), v->bytes, n, NULL))
		return false;
	v->blob = (struct vp_blob){ v->bytes, n, addr };
	return true;
}

int vp_view_read(const struct vp_linux *l, struct vp_view *view, uint64_t addr, void *buf,
		 size_t len, struct vp_err *err)
{
	const uint8_t *p = view ? vp_blob_at(&view->blob, addr - view->blob.base, len) : NULL;

	if (view && !p && view->ahead >= len && vp_view_fill(l, view, addr, view->ahead))
		p = view->bytes;
	if (!p)
		return vp_kernel_mem_read(&l->mem, VP_GVA(addr), buf, len, err);
	memcpy(buf, p, len);
	return 0;
}

void vp_view_free(struct vp_view *view)
{
	free(view->bytes);
	memset(view, 0, sizeof(*view));
}
