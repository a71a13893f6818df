/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a livepatch module its new functions need. Code is taken by functions: whatever an
 * instruction of one refers to, by a relocation or by a distance within its section. Data is taken
 * by sections, as a reference may point beside what it means (the end of an array, one before its
 * begin): all that the section refers to goes along. Nothing is moved within its section.
 *
 * Tables that the kernel would have to be told of are refused where they speak of what is taken.
 */
#include <stdlib.h>
#include <string.h>

#include "hotfix/livepatch_internal.h"
#include "hotfix/reloc.h"
#include "x86/decode.h"

#define ITEMS_MAX  4096u
#define RELOCS_MAX 65536u /* more would make every search a long one */

/* Where code is decoded as if it began there: no distance leads below 0. */
#define BASE 0x100000000ull

struct reach {
	struct vp_lp *lp;
	size_t *queue; /* items that are taken, not looked at so far */
	size_t nqueue;
	size_t *sections; /* likewise of data */
	size_t nsections;
};

/* --- functions -------------------------------------------------------------------------------- */

static bool is_code(const struct vp_lp *lp, size_t section)
{
	const struct vp_elf_section *s = &lp->sections[section];

	return (s->flags & SHF_ALLOC) && (s->flags & SHF_EXECINSTR) && s->data;
}

static void add_item(struct vp_lp *lp, size_t section, uint64_t at, uint64_t size, const char *name)
{
	for (size_t i = 0; i < lp->nitems; i++) /* another name for it */
		if (lp->items[i].section == section && lp->items[i].at == at &&
		    lp->items[i].size == size)
			return;
	if (lp->nitems < ITEMS_MAX)
		lp->items[lp->nitems++] = (struct vp_lp_item){ section, at, size, name, false };
	else
		vp_blockers_add(lp->b, "livepatch: more than %u functions in it", ITEMS_MAX);
}

static void find_items(struct vp_lp *lp)
{
	lp->items = calloc(ITEMS_MAX, sizeof(*lp->items));
	if (!lp->items) {
		lp->no_memory = true;
		return;
	}
	for (size_t i = 1; i < lp->nsymbols; i++) {
		const struct vp_elf_object_symbol *s = &lp->symbols[i];

		if (s->type == STT_FUNC && s->size && s->section && s->section < lp->nsections &&
		    is_code(lp, s->section))
			add_item(lp, s->section, s->value, s->size, s->name);
	}
	for (size_t i = 1; i < lp->nsections; i++) {
		bool has = false;

		for (size_t j = 0; j < lp->nitems; j++)
			has |= lp->items[j].section == i;
		if (!has && is_code(lp, i) && lp->sections[i].size)
			add_item(lp, i, 0, lp->sections[i].size, lp->sections[i].name);
	}
}

const struct vp_lp_item *vp_lp_taken(const struct vp_lp *lp, size_t section, uint64_t offset)
{
	for (size_t i = 0; i < lp->nitems; i++) {
		const struct vp_lp_item *item = &lp->items[i];

		if (item->taken && item->section == section && offset - item->at < item->size)
			return item;
	}
	return NULL;
}

bool vp_lp_is_own(const struct vp_lp *lp, size_t section, uint64_t offset)
{
	for (size_t i = 0; i < lp->nown; i++)
		if (lp->own[i].section == section && offset - lp->own[i].at < lp->own[i].size)
			return true;
	return false;
}

/* --- taking ------------------------------------------------------------------------------------
 */

static void take_code(struct reach *r, size_t section, uint64_t offset, const char *by)
{
	struct vp_lp *lp = r->lp;
	bool any = false;

	for (size_t i = 0; i < lp->nitems; i++) {
		struct vp_lp_item *item = &lp->items[i];

		if (item->section != section || offset - item->at >= item->size)
			continue;
		any = true;
		if (item->taken)
			continue;
		item->taken = true;
		r->queue[r->nqueue++] = i;
	}
	if (!any)
		vp_blockers_add(lp->b, "%.80s refers to code at %.64s+0x%llx that is no function's",
				by, lp->sections[section].name, (unsigned long long)offset);
}

static void take(struct reach *r, size_t section, uint64_t offset, const char *by)
{
	struct vp_lp *lp = r->lp;

	if (is_code(lp, section)) {
		take_code(r, section, offset, by);
		return;
	}
	if (vp_lp_is_own(lp, section, offset))
		vp_blockers_add(lp->b, "%.80s refers to the module's own struct klp_patch", by);
	if (lp->whole[section])
		return;
	lp->whole[section] = true;
	r->sections[r->nsections++] = section;
}

/* @end: of the instruction that has the field; 0: it is in data. */
static void follow(struct reach *r, const struct vp_elf_reloc *reloc, uint64_t end, const char *by)
{
	const struct vp_elf_object_symbol *s = &r->lp->symbols[reloc->symbol];
	uint64_t target = s->value + (uint64_t)reloc->addend;

	if (s->section == SHN_UNDEF || s->section >= r->lp->nsections)
		return;
	if (end && (reloc->type == R_X86_64_PC32 || reloc->type == R_X86_64_PLT32 ||
		    reloc->type == R_X86_64_PC64))
		target += end - reloc->offset;
	take(r, s->section, target, by);
}

/* --- code ----------------------------------------------------------------------------------------
 */

/* True: a relocation is in the instruction. */
static bool follow_relocs(struct reach *r, size_t section, uint64_t at, uint64_t end,
			  const char *by)
{
	size_t n;
	const struct vp_elf_reloc *list = vp_elf_object_relocs(r->lp->elf, section, &n);
	bool any = false;

	for (size_t i = 0; i < n; i++)
		if (list[i].offset >= at && list[i].offset < end) {
			follow(r, &list[i], end, by);
			any = true;
		}
	return any;
}

static void read_code(struct reach *r, size_t section, uint64_t from, uint64_t size, const char *by)
{
	const uint8_t *code = r->lp->sections[section].data;
	uint64_t at = from;

	while (at < from + size) {
		struct vp_insn_fields f = { 0 };
		int len = vp_insn_get_fields(code + at, from + size - at, VP_GVA(BASE + at), &f,
					     NULL);
		uint64_t end = at + (uint64_t)(len > 0 ? len : 0), to = end;

		if (len <= 0) {
			vp_blockers_add(r->lp->b, "%.80s+0x%llx: no instruction that is known", by,
					(unsigned long long)(at - from));
			return;
		}
		if (f.imm_relative)
			to += (uint64_t)f.imm;
		else if (f.rip_relative)
			to += (uint64_t)f.disp;
		if (!follow_relocs(r, section, at, end, by) && (f.imm_relative || f.rip_relative) &&
		    to - from >= size)
			take(r, section, to, by);
		at = end;
	}
}

static void drain(struct reach *r)
{
	while (r->nqueue || r->nsections) {
		if (r->nqueue) {
			const struct vp_lp_item *item = &r->lp->items[r->queue[--r->nqueue]];

			read_code(r, item->section, item->at, item->size, item->name);
		} else {
			size_t n, section = r->sections[--r->nsections];
			const struct vp_elf_reloc *list =
				vp_elf_object_relocs(r->lp->elf, section, &n);

			for (size_t i = 0; i < n; i++)
				if (!vp_lp_is_own(r->lp, section, list[i].offset))
					follow(r, &list[i], 0, r->lp->sections[section].name);
		}
	}
}

/* --- alternatives -------------------------------------------------------------------------------
 */

static bool place_of(const struct vp_lp *lp, const struct vp_elf_reloc *r,
		     struct vp_hotfix_place *out)
{
	const struct vp_elf_object_symbol *s = &lp->symbols[r->symbol];

	if (r->type != R_X86_64_PC32 || s->section == SHN_UNDEF || s->section >= lp->nsections ||
	    !is_code(lp, s->section))
		return false;
	*out = (struct vp_hotfix_place){ s->section, s->value + (uint64_t)r->addend };
	return out->offset <= lp->sections[s->section].size;
}

static int by_offset(const void *a, const void *b)
{
	const struct vp_elf_reloc *const *x = a, *const *y = b;

	return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

/* Entries of 12 or 14 bytes, with relocations at 0 and 4, and the replacement's length at the end.
 */
static bool read_alternatives(struct vp_lp *lp, const struct vp_elf_reloc **sorted, size_t n)
{
	const struct vp_elf_section *table = &lp->sections[lp->alternatives_in];
	uint64_t size = n >= 2 ? table->size / (n / 2) : 0;

	if (n % 2 || size * (n / 2) != table->size || (size != 12 && size != 14))
		return false;
	for (size_t i = 0; i < n / 2; i++) {
		struct vp_lp_alternative *a = &lp->alternatives[i];

		*a = (struct vp_lp_alternative){ .at = i * size, .size = size };
		a->relocs[0] = sorted[2 * i];
		a->relocs[1] = sorted[2 * i + 1];
		a->from_length = table->data[i * size + size - 1];
		if (a->relocs[0]->offset != a->at || a->relocs[1]->offset != a->at + 4 ||
		    !place_of(lp, a->relocs[0], &a->site) ||
		    !place_of(lp, a->relocs[1], &a->from) ||
		    a->from_length > lp->sections[a->from.section].size - a->from.offset)
			return false;
	}
	lp->nalternatives = n / 2;
	return true;
}

static void find_alternatives(struct vp_lp *lp)
{
	size_t n, section = vp_lp_section(lp, ".altinstructions");
	const struct vp_elf_reloc *list = vp_elf_object_relocs(lp->elf, section, &n), **sorted;

	if (!section)
		return;
	lp->alternatives_in = section;
	lp->alternatives = calloc(n + 1, sizeof(*lp->alternatives));
	sorted = calloc(n + 1, sizeof(const struct vp_elf_reloc *));
	if (lp->alternatives && sorted) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = &list[i];
		qsort(sorted, n, sizeof(const struct vp_elf_reloc *), by_offset);
		if (!read_alternatives(lp, sorted, n))
			vp_blockers_add(lp->b, "section .altinstructions: its entries have an "
					       "unknown form");
	} else {
		lp->no_memory = true;
	}
	free(sorted);
}

/* One more that is in taken code: what may come in its place is needed, too. */
static bool take_alternative(struct reach *r)
{
	for (size_t i = 0; i < r->lp->nalternatives; i++) {
		struct vp_lp_alternative *a = &r->lp->alternatives[i];

		if (a->taken || !vp_lp_taken(r->lp, a->site.section, a->site.offset))
			continue;
		a->taken = true;
		read_code(r, a->from.section, a->from.offset, a->from_length, "an alternative");
		return true;
	}
	return false;
}

/* --- tables --------------------------------------------------------------------------------------
 */

/* By name, the first that fits; '*' ends a beginning. What is in no line is not known. */
static const struct table {
	const char *name;
	const char *why; /* NULL: no harm in leaving it out; else refused */
} tables[] = {
	{ "__jump_table", "static keys are switched by a table that the guest does not see" },
	{ "__bug_table", "WARN and BUG are found by a table that the guest does not see" },
	{ "__ex_table", "faults are repaired by a table that the guest does not see" },
	{ ".klp.arch.*", "what livepatch of kernels before 5.8 applies late is not applied" },
	{ ".altinstructions", NULL }, /* the linker applies them */
	{ ".parainstructions", NULL },
	/* The rest as sections.c has it: places that the kernel may rewrite, and is right without.
	 */
	{ ".retpoline_sites", NULL },
	{ ".return_sites", NULL },
	{ ".call_sites", NULL },
	{ ".cfi_sites", NULL },
	{ ".ibt_endbr_seal", NULL },
	{ ".static_call_sites", NULL },
	{ ".smp_locks", NULL },
	{ "__mcount_loc", NULL },
	{ "__patchable_function_entries", NULL },
	{ ".orc_*", NULL },
	{ ".eh_frame*", NULL },
	{ "_kprobe_blacklist", NULL },
	{ ".discard*", NULL },
	{ ".note*", NULL },
	/* Of a module, and of its being a livepatch. */
	{ ".gnu.linkonce.this_module", NULL },
	{ ".modinfo", NULL },
	{ "__versions*", NULL },
	{ ".init.*", NULL },
	{ ".exit.*", NULL },
	{ ".kpatch.*", NULL },
	/* Data that nobody who is taken refers to. */
	{ ".data*", NULL },
	{ ".rodata*", NULL },
	{ "__dyndbg", NULL },
	{ "__verbose", NULL },
};

static const char *refusal(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		size_t n = strlen(tables[i].name);

		if (tables[i].name[n - 1] == '*' ? !strncmp(name, tables[i].name, n - 1)
						 : !strcmp(name, tables[i].name))
			return tables[i].why;
	}
	return "it is not known what it is for";
}

static void check_table(struct vp_lp *lp, size_t section)
{
	const char *name = lp->sections[section].name, *why = refusal(name);
	size_t n;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(lp->elf, section, &n);

	for (size_t i = 0; why && i < n; i++) {
		const struct vp_elf_object_symbol *s = &lp->symbols[r[i].symbol];
		const struct vp_lp_item *item =
			vp_lp_taken(lp, s->section, s->value + (uint64_t)r[i].addend);

		if (item)
			vp_blockers_add(lp->b, "section %.64s of %.80s: %s", name, item->name, why);
	}
}

/* --- all of it -----------------------------------------------------------------------------------
 */

static bool is_small(struct vp_lp *lp)
{
	size_t all = 0, n;

	for (size_t i = 1; i < lp->nsections; i++)
		if (lp->sections[i].flags & SHF_ALLOC) {
			vp_elf_object_relocs(lp->elf, i, &n);
			all += n;
		}
	if (all > RELOCS_MAX)
		vp_blockers_add(lp->b, "more than %u relocations", RELOCS_MAX);
	return all <= RELOCS_MAX;
}

void vp_lp_reach(struct vp_lp *lp)
{
	struct reach r = { .lp = lp };

	if (!is_small(lp))
		return;
	lp->whole = calloc(lp->nsections, sizeof(*lp->whole));
	r.queue = calloc(ITEMS_MAX, sizeof(*r.queue));
	r.sections = calloc(lp->nsections, sizeof(*r.sections));
	if (!lp->whole || !r.queue || !r.sections)
		lp->no_memory = true;
	else
		find_items(lp);
	if (!lp->no_memory)
		find_alternatives(lp);
	if (!lp->no_memory) {
		for (size_t i = 0; i < lp->nfuncs; i++)
			take(&r, lp->funcs[i].to.section, lp->funcs[i].to.offset,
			     lp->funcs[i].name);
		do
			drain(&r);
		while (take_alternative(&r));
		for (size_t i = 1; i < lp->nsections; i++)
			if ((lp->sections[i].flags & SHF_ALLOC) && !is_code(lp, i) && !lp->whole[i])
				check_table(lp, i);
	}
	free(r.queue);
	free(r.sections);
}
