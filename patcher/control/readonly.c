/* SPDX-License-Identifier: Apache-2.0 */
#include "control/readonly.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/gather.h"
#include "target/qmp_wire.h"

#define PAGE	   0x1000ull
#define PART_MAX   ((uint64_t)256 << 20) /* of the image: text has 15 MB, the other 10 */
#define PIECE_MAX  ((uint64_t)64 << 20)	 /* of a module; i915 has 4 MB */
#define PIECES_MAX ((uint64_t)1 << 30)	 /* of all modules: address space that is looked at */
#define BATCH	   ((uint64_t)16 << 20)	 /* is read at once */

struct reader {
	struct vp_linux *l;
	struct vp_baseline *out;
	json_t *unseen;
	const struct vp_module *module; /* in hand */
	uint64_t end;			/* of its piece */
	struct vp_gather gather;
	uint64_t waiting; /* bytes of regions from `from` on that are still to be read */
	size_t from;
	uint64_t looked_at;
	struct vp_err *err;
};

static void not_seen(struct reader *r, const char *what, const char *why)
{
	json_array_append_new(r->unseen,
			      json_pack("{s:o, s:s}", "what", vp_qmp_text(what), "why", why));
}

static int no_memory(struct reader *r)
{
	return vp_err_set(r->err, -ENOMEM, "out of memory");
}

/* --- the image ------------------------------------------------------------------------- */

static bool is_sealed(const struct reader *r, uint64_t start, uint64_t end)
{
	for (uint64_t at = start & ~(PAGE - 1); at < end; at += PAGE)
		if (!vp_kernel_mem_is_sealed(&r->l->mem, VP_GVA(at)))
			return false;
	return true;
}

/*
 * A part of the image between two symbols, not to the end of its last page: what lies behind was
 * freed after boot, and is anybody's.
 */
static int take_part(struct reader *r, const char *name, const char *from, const char *to)
{
	struct vp_baseline_region *region;
	vp_gva start, end;

	if (!vp_linux_find(r->l, from, &start) || !vp_linux_find(r->l, to, &end) ||
	    end.v <= start.v || end.v - start.v > PART_MAX) {
		not_seen(r, name, "the kernel's symbols do not tell where it is");
		return 0;
	}
	if (!is_sealed(r, start.v, end.v)) {
		not_seen(r, name, "it is not read-only (rodata=off)");
		return 0;
	}
	region = vp_baseline_add(r->out);
	if (!region)
		return no_memory(r);
	snprintf(region->name, sizeof(region->name), "%s", name);
	region->addr = start.v;
	region->len = end.v - start.v;
	region->bytes = malloc(region->len);
	if (!region->bytes)
		return no_memory(r);
	return vp_kernel_mem_read(&r->l->mem, start, region->bytes, region->len, r->err);
}

/* --- modules ---------------------------------------------------------------------------- */

/* Read what waits. A module that went away meanwhile is left out. */
static int flush(struct reader *r)
{
	struct vp_baseline *b = r->out;
	int rc = vp_gather_plan(&r->gather, r->err);
	size_t kept = r->from;

	if (!rc)
		rc = vp_gather_read(&r->gather, r->l, r->err);
	for (size_t i = r->from; i < b->nregions && !rc; i++) {
		struct vp_baseline_region *region = &b->regions[i];

		region->bytes = malloc(region->len);
		if (!region->bytes)
			rc = no_memory(r);
		else if (vp_gather_get(&r->gather, region->addr, region->bytes, region->len))
			b->regions[kept++] = *region;
		else
			free(region->bytes);
	}
	if (!rc)
		b->nregions = kept;
	r->from = b->nregions;
	r->waiting = 0;
	vp_gather_free(&r->gather);
	r->gather.lossy = true;
	return rc;
}

static int take_page(void *arg, vp_gva addr, uint64_t len, const struct vp_map *map)
{
	struct reader *r = arg;
	size_t n = r->out->nregions;
	struct vp_baseline_region *last = n > r->from ? &r->out->regions[n - 1] : NULL;
	int rc;

	if (map->writable || map->user)
		return 0;
	if (len > r->end - addr.v)
		len = r->end - addr.v;
	rc = vp_gather_add(&r->gather, r->l, addr.v, len, r->err);
	if (rc)
		return rc == -EFAULT ? 0 : rc;
	r->waiting += len;
	if (last && last->module == r->module->addr && last->addr + last->len == addr.v) {
		last->len += len;
		return 0;
	}
	last = vp_baseline_add(r->out);
	if (!last)
		return no_memory(r);
	snprintf(last->name, sizeof(last->name), "%s", r->module->name);
	last->addr = addr.v;
	last->len = len;
	last->module = r->module->addr;
	return 0;
}

static int take_piece(struct reader *r, uint64_t base, uint64_t len)
{
	uint64_t start = base & ~(PAGE - 1), end = (base + len + PAGE - 1) & ~(PAGE - 1);

	r->looked_at += len;
	if (!(base >> 63) || end <= start || len > PIECE_MAX || r->looked_at > PIECES_MAX) {
		not_seen(r, r->module->name, "its memory is too large, or no kernel's");
		return 0;
	}
	r->end = end;
	return vp_kernel_mem_each(&r->l->mem, VP_GVA(start), VP_GVA(end), take_page, r, r->err);
}

static int take_modules(struct reader *r)
{
	const struct vp_modules *all = &r->l->modules;
	int rc = 0;

	r->from = r->out->nregions;
	for (size_t i = 0; i < all->n && !rc; i++) {
		r->module = &all->m[i];
		for (unsigned int k = 0; k < VP_MODULE_PIECES_MAX && !rc; k++)
			if (all->m[i].pieces[k].len)
				rc = take_piece(r, all->m[i].pieces[k].base,
						all->m[i].pieces[k].len);
		if (!rc && r->waiting > BATCH)
			rc = flush(r);
	}
	return rc ? rc : flush(r);
}

int vp_control_readonly(struct vp_linux *l, struct vp_baseline *out, json_t *unseen,
			struct vp_err *err)
{
	struct vp_err why = { "" }; /* of what is not mapped, too */
	struct reader r = {
		.l = l, .out = out, .unseen = unseen, .gather.lossy = true, .err = &why
	};
	int rc = vp_kernel_mem_keep(&l->mem) ? no_memory(&r) : 0;

	if (!rc)
		rc = take_part(&r, "text", "_text", "_etext");
	if (!rc)
		rc = take_part(&r, "rodata", "__start_rodata", "__end_rodata");
	if (!rc)
		rc = take_modules(&r);
	vp_gather_free(&r.gather);
	vp_kernel_mem_drop(&l->mem);
	if (l->modules.unsettled)
		not_seen(&r, "modules", "one is being loaded or unloaded");
	return rc ? vp_err_set(err, rc, "%s", why.text) : 0;
}
