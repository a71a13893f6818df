/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code in the modules' part of the address space that is no module's: BPF programs, trampolines,
 * slots of kprobes, hotfixes. By the page tables: no list of the kernel's has all of it.
 */
#include "linux/internal.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE 0x1000ull

/* BPF of a busy machine takes some MB. */
#define OUTSIDE_MAX ((uint64_t)256 << 20)

struct outside {
	const struct vp_linux *l;
	struct vp_linux_range *modules; /* whole pages, by address */
	size_t nmodules, cursor;
	struct vp_linux_range *list;
	size_t n, cap;
	uint64_t size;
	struct vp_err *err;
};

static int by_start(const void *a, const void *b)
{
	const struct vp_linux_range *x = a, *y = b;

	return x->start.v < y->start.v ? -1 : x->start.v > y->start.v;
}

/* The pages of all modules. Pieces do not share pages, as their rights differ. */
static int take_modules(struct outside *o)
{
	const struct vp_modules *all = &o->l->modules;

	o->modules = calloc(all->n * VP_MODULE_PIECES_MAX + 1, sizeof(*o->modules));
	if (!o->modules)
		return vp_err_set(o->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < all->n; i++)
		for (unsigned int k = 0; k < VP_MODULE_PIECES_MAX; k++) {
			uint64_t start = all->m[i].pieces[k].base & ~(PAGE - 1);
			uint64_t len = all->m[i].pieces[k].base + all->m[i].pieces[k].len - start;

			if (all->m[i].pieces[k].len)
				o->modules[o->nmodules++] =
					(struct vp_linux_range){ VP_GVA(start), len };
		}
	qsort(o->modules, o->nmodules, sizeof(*o->modules), by_start);
	return 0;
}

/* Of some module? To be asked with rising addresses. */
static bool in_module(struct outside *o, uint64_t page)
{
	while (o->cursor < o->nmodules &&
	       page >= o->modules[o->cursor].start.v + o->modules[o->cursor].len)
		o->cursor++;
	return o->cursor < o->nmodules && page >= o->modules[o->cursor].start.v;
}

static int add(struct outside *o, uint64_t page)
{
	struct vp_linux_range *last = o->n ? &o->list[o->n - 1] : NULL;

	o->size += PAGE;
	if (o->size > OUTSIDE_MAX)
		return vp_err_set(o->err, -E2BIG,
				  "the guest has more than %llu MB of code outside of its modules",
				  (unsigned long long)(OUTSIDE_MAX >> 20));
	if (last && last->start.v + last->len == page) {
		last->len += PAGE;
		return 0;
	}
	if (!o->list || o->n == o->cap) {
		size_t cap = o->cap ? 2 * o->cap : 64;
		void *p = reallocarray(o->list, cap, sizeof(*o->list));

		if (!p)
			return vp_err_set(o->err, -ENOMEM, "out of memory");
		o->list = p;
		o->cap = cap;
	}
	o->list[o->n++] = (struct vp_linux_range){ VP_GVA(page), PAGE };
	return 0;
}

static int take_page(void *arg, vp_gva addr, uint64_t len, const struct vp_map *map)
{
	struct outside *o = arg;
	const struct vp_linux_kernel *i = &o->l->info;
	int rc = 0;

	if (map->nx || map->user)
		return 0;
	for (uint64_t at = addr.v; at < addr.v + len && !rc; at += PAGE)
		if ((at < i->text.v || at >= i->end.v) && !in_module(o, at))
			rc = add(o, at);
	return rc;
}

int vp_linux_code_outside(struct vp_linux *l, struct vp_linux_range **out, size_t *n,
			  struct vp_err *err)
{
	struct outside o = { .l = l, .err = err };
	struct vp_err why = { "" }; /* of what is not mapped, too */
	int rc = take_modules(&o);

	if (!rc) {
		o.err = &why;
		rc = vp_kernel_mem_each(&l->mem, VP_GVA(VP_MODULES_MAP), VP_GVA(VP_MODULES_MAP_END),
					take_page, &o, &why);
		if (rc)
			vp_err_set(err, rc, "%s", why.text);
	}
	free(o.modules);
	if (rc) {
		free(o.list);
		return rc;
	}
	*out = o.list;
	*n = o.n;
	return 0;
}
