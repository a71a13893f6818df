/* SPDX-License-Identifier: Apache-2.0 */
/* How this kernel gives memory out: by the functions that it has. docs/guest-calls.md has a table.
 */
#include "hotfix/arena.h"
#include "linux/execmem.h"

#include <errno.h>

static bool find(struct vp_linux *l, const char *name, vp_gva *out)
{
	if (!vp_symtab_find(vp_linux_symbols(l), name, out, NULL))
		return true;
	*out = VP_GVA(0);
	return false;
}

static int find_allocator(struct vp_linux *l, struct vp_arena_recipe *r, struct vp_err *err)
{
	r->typed = find(l, "execmem_alloc", &r->alloc);
	if (r->typed) {
		if (!vp_linux_execmem(l, &r->text_type, &r->data_type))
			return vp_err_set(err, -EOPNOTSUPP,
					  "this kernel has execmem_alloc(), but its type "
					  "information (BTF) does not tell what to ask it for");
		if (find(l, "execmem_free", &r->free))
			return 0;
	} else if (find(l, "module_alloc", &r->alloc) && find(l, "module_memfree", &r->free)) {
		return 0;
	}
	return vp_err_set(err, -EOPNOTSUPP,
			  "this kernel has no allocator for modules that is known: neither "
			  "execmem_alloc() nor module_alloc(), and what frees it");
}

int vp_arena_recipe_find(struct vp_linux *l, struct vp_arena_recipe *out, struct vp_err *err)
{
	struct vp_arena_recipe r = { .typed = false };
	int rc = find_allocator(l, &r, err);

	if (rc)
		return rc;
	find(l, "set_memory_rox", &r.rox);
	if (!find(l, "set_memory_ro", &r.ro) || !find(l, "set_memory_rw", &r.rw) ||
	    !find(l, "set_memory_x", &r.x) || !find(l, "set_memory_nx", &r.nx))
		return vp_err_set(err, -EOPNOTSUPP,
				  "this kernel lacks one of set_memory_ro(), _rw(), _x(), _nx()");
	*out = r;
	return 0;
}
