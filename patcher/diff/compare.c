/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/compare.h"

#include <string.h>

#include "x86/decode.h"

/* --- references ------------------------------------------------------------------------------ */

static bool same_base(const char *a, const char *b)
{
	bool na, nb;
	size_t la = vp_name_base(a, &na), lb = vp_name_base(b, &nb);

	return la == lb && na == nb && !memcmp(a, b, la);
}

/* Bytes of two places; NULL data are zeroes. */
static bool same_bytes(const struct vp_unit *a, size_t sa, uint64_t oa, const struct vp_unit *b,
		       size_t sb, uint64_t ob, uint64_t size)
{
	const uint8_t *x = a->sections[sa].data, *y = b->sections[sb].data;

	if (size > a->sections[sa].size || oa > a->sections[sa].size - size ||
	    size > b->sections[sb].size || ob > b->sections[sb].size - size)
		return false;
	return !size || (!x && !y) || (x && y && !memcmp(x + oa, y + ob, size));
}

static bool same_nameless(const struct vp_compare *c, const struct vp_ref *old,
			  const struct vp_ref *new)
{
	return c->to_new[old->item] == new->item && old->addend == new->addend;
}

/* References of what is not looked into any further. */
static bool same_plain(const struct vp_compare *c, const struct vp_ref *old,
		       const struct vp_ref *new)
{
	if (old->kind != new->kind || old->addend != new->addend)
		return false;
	switch (old->kind) {
	case VP_REF_NAME:
		return !strcmp(old->name, new->name);
	case VP_REF_ITEM:
		return same_nameless(c, old, new);
	case VP_REF_BYTES:
		return old->size == new->size &&same_bytes(c->old, old->section, old->at, c->new,
							   new->section, new->at, old->size);
	case VP_REF_NONE:
		break;
	}
	return false;
}

/* The pointers in two items of one size, which are data. */
static bool same_pointers(const struct vp_compare *c, const struct vp_item *a,
			  const struct vp_item *b)
{
	size_t n, m;
	const struct vp_elf_reloc *x = vp_unit_relocs(c->old, a->section, a->offset, a->size, &n);
	const struct vp_elf_reloc *y = vp_unit_relocs(c->new, b->section, b->offset, b->size, &m);

	for (size_t i = 0; i < n && n == m; i++) {
		struct vp_ref old = vp_unit_ref(c->old, a->section, &x[i]);
		struct vp_ref new = vp_unit_ref(c->new, b->section, &y[i]);

		if (x[i].type != y[i].type || x[i].offset - a->offset != y[i].offset - b->offset ||
		    !same_plain(c, &old, &new))
			return false;
	}
	return n == m;
}

/* What macros make for themselves: which one it is does not count, what constant ones hold does. */
static bool same_private(const struct vp_compare *c, size_t old, size_t new)
{
	const struct vp_item *a = &c->old->items[old], *b = &c->new->items[new];

	if (!vp_name_is_private(a->name) || !same_base(a->name, b->name))
		return false;
	if (c->old->sections[a->section].flags & SHF_WRITE)
		return true;
	return a->size == b->size &&
	       same_bytes(c->old, a->section, a->offset, c->new, b->section, b->offset, a->size) &&
	       same_pointers(c, a, b);
}

bool vp_compare_refs(const struct vp_compare *c, const struct vp_ref *old, const struct vp_ref *new)
{
	return same_plain(c, old, new) ||
	       (old->kind == VP_REF_ITEM && new->kind == VP_REF_ITEM &&
		old->addend == new->addend &&same_private(c, old->item, new->item));
}

/* --- bytes -------------------------------------------------------------------------------------
 */

/* A range of each side. */
struct ranges {
	size_t old, new; /* sections */
	uint64_t old_at, new_at, size;
};

/* What the relocations of two ranges mean. False: *@at is the first byte that does not. */
static bool same_relocs(const struct vp_compare *c, const struct ranges *r, uint64_t *at)
{
	size_t n, m;
	const struct vp_elf_reloc *a = vp_unit_relocs(c->old, r->old, r->old_at, r->size, &n);
	const struct vp_elf_reloc *b = vp_unit_relocs(c->new, r->new, r->new_at, r->size, &m);

	for (size_t i = 0; i < n || i < m; i++) {
		uint64_t x = i < n ? a[i].offset - r->old_at : UINT64_MAX;
		uint64_t y = i < m ? b[i].offset - r->new_at : UINT64_MAX;
		struct vp_ref old, new;

		*at = x < y ? x : y;
		if (x != y || a[i].type != b[i].type)
			return false;
		old = vp_unit_ref(c->old, r->old, &a[i]);
		new = vp_unit_ref(c->new, r->new, &b[i]);
		if (!vp_compare_refs(c, &old, &new))
			return false;
	}
	return true;
}

/* The same instruction but for a constant that is a line which moved. */
static bool only_a_line(const struct vp_compare *c, const uint8_t *old, const uint8_t *new,
			uint64_t len)
{
	struct vp_insn_fields a, b;
	int n = vp_insn_get_fields(old, len, VP_GVA(0), &a, NULL);

	if (n <= 0 || vp_insn_get_fields(new, len, VP_GVA(0), &b, NULL) != n || !c->lines.moved ||
	    a.imm_len != 4 || b.imm_len != 4 || a.imm_at != b.imm_at || a.imm_relative ||
	    memcmp(old, new, a.imm_at) ||
	    memcmp(old + a.imm_at + 4, new + b.imm_at + 4, (size_t)n - a.imm_at - 4))
		return false;
	return c->lines.moved(c->lines.arg, a.imm, b.imm);
}

/* Code that differs in its bytes, instruction by instruction. *@at: the first that does. */
static bool same_code(const struct vp_compare *c, const struct ranges *r, uint64_t *at)
{
	const uint8_t *old = c->old->sections[r->old].data + r->old_at;
	const uint8_t *new = c->new->sections[r->new].data + r->new_at;
	uint64_t i = 0;

	while (i < r->size) {
		struct vp_insn_fields f;
		int n = vp_insn_get_fields(old + i, r->size - i, VP_GVA(i), &f, NULL);

		*at = i;
		if (n <= 0 || (memcmp(old + i, new + i, (size_t)n) &&
			       !only_a_line(c, old + i, new + i, r->size - i)))
			return false;
		i += (uint64_t)n;
	}
	return true;
}

/* The first byte that differs, of the size that both have. */
static uint64_t first_byte(const struct vp_compare *c, const struct ranges *r)
{
	const uint8_t *x = c->old->sections[r->old].data, *y = c->new->sections[r->new].data;
	uint64_t i = 0;

	while (x && y && i < r->size && x[r->old_at + i] == y[r->new_at + i])
		i++;
	return i;
}

static struct vp_difference compare_ranges(const struct vp_compare *c, const struct ranges *r,
					   bool code)
{
	struct vp_difference d = { .what = VP_SAME };
	bool bytes = same_bytes(c->old, r->old, r->old_at, c->new, r->new, r->new_at, r->size);

	if (!bytes && code && c->old->sections[r->old].data && c->new->sections[r->new].data)
		bytes = same_code(c, r, &d.at);
	else if (!bytes)
		d.at = first_byte(c, r);
	if (!bytes)
		d.what = VP_DIFFERS_BYTES;
	else if (!same_relocs(c, r, &d.at))
		d.what = VP_DIFFERS_REF;
	return d;
}

/* --- tables ------------------------------------------------------------------------------------
 */

const struct vp_table vp_tables_of_code[] = {
	{ "__jump_table", 16, 3 },    { "__ex_table", 12, 2 },	      { "__bug_table", 12, 2 },
	{ ".altinstructions", 0, 2 }, { ".parainstructions", 16, 1 }, { NULL, 0, 0 },
};

bool vp_table_find(const struct vp_unit *u, const struct vp_table *table, size_t *section,
		   uint64_t *size)
{
	for (size_t i = 1; i < u->nsections; i++) {
		const struct vp_elf_section *s = &u->sections[i];

		if (strcmp(s->name, table->section) || !s->size || !s->data)
			continue;
		*section = i;
		*size = table->size;
		if (!*size && u->relocs[i].n / table->of)
			*size = s->size / (u->relocs[i].n / table->of);
		return *size >= 8;
	}
	return false;
}

bool vp_table_next(struct vp_unit *u, size_t section, uint64_t size, size_t item, uint64_t *at)
{
	const struct vp_unit_relocs *r = &u->relocs[section];

	for (size_t i = 0; i < r->n; i++) {
		struct vp_ref ref;

		if (r->list[i].offset < *at || r->list[i].offset % size)
			continue;
		ref = vp_unit_ref(u, section, &r->list[i]);
		if (ref.kind != VP_REF_ITEM || ref.item != item ||
		    u->sections[section].size - r->list[i].offset < size)
			continue;
		*at = r->list[i].offset;
		return true;
	}
	return false;
}

/* What an alternative puts there: as many bytes as its last one says, wherever they lie. */
static bool same_replacement(const struct vp_compare *c, const struct ranges *r)
{
	size_t n, m;
	const struct vp_elf_reloc *a = vp_unit_relocs(c->old, r->old, r->old_at, r->size, &n);
	const struct vp_elf_reloc *b = vp_unit_relocs(c->new, r->new, r->new_at, r->size, &m);
	uint8_t size = c->old->sections[r->old].data[r->old_at + r->size - 1];
	struct vp_ref x, y;
	struct ranges bytes = { .size = size };

	if (n != 2 || m != 2)
		return false;
	x = vp_unit_ref(c->old, r->old, &a[1]);
	y = vp_unit_ref(c->new, r->new, &b[1]);
	if (!size)
		return true;
	if (x.kind != VP_REF_ITEM || y.kind != VP_REF_ITEM)
		return false;
	bytes.old = c->old->items[x.item].section;
	bytes.new = c->new->items[y.item].section;
	bytes.old_at = c->old->items[x.item].offset + (uint64_t)x.addend;
	bytes.new_at = c->new->items[y.item].offset + (uint64_t)y.addend;
	return compare_ranges(c, &bytes, false).what == VP_SAME;
}

static bool same_entry(const struct vp_compare *c, const char *table, struct ranges r)
{
	struct ranges head = r, tail = r;

	if (!strcmp(table, ".altinstructions")) { /* the place; feature and lengths */
		head.size = 4;
		tail.old_at += 8;
		tail.new_at += 8;
		tail.size -= 8;
		return compare_ranges(c, &head, false).what == VP_SAME &&
		       compare_ranges(c, &tail, false).what == VP_SAME && same_replacement(c, &r);
	}
	if (!strcmp(table, "__bug_table")) { /* the place, the file and the flags: not the line */
		head.size = 8;
		tail.old_at += 10;
		tail.new_at += 10;
		tail.size = 2;
		return compare_ranges(c, &head, false).what == VP_SAME &&
		       compare_ranges(c, &tail, false).what == VP_SAME;
	}
	return compare_ranges(c, &r, false).what == VP_SAME;
}

static bool same_table(const struct vp_compare *c, const struct vp_table *t, size_t old, size_t new)
{
	size_t a = 0, b = 0;
	uint64_t na = 0, nb = 0, at = 0, bt = 0;
	bool has_a = vp_table_find(c->old, t, &a, &na), has_b = vp_table_find(c->new, t, &b, &nb);

	for (;;) {
		bool x = has_a && vp_table_next(c->old, a, na, old, &at);
		bool y = has_b && vp_table_next(c->new, b, nb, new, &bt);

		if (!x || !y)
			return x == y;
		if (na != nb || !same_entry(c, t->section, (struct ranges){ a, b, at, bt, na }))
			return false;
		at += na;
		bt += nb;
	}
}

/* --- items -------------------------------------------------------------------------------------
 */

struct vp_difference vp_compare_items(const struct vp_compare *c, size_t old, size_t new)
{
	const struct vp_item *a = &c->old->items[old], *b = &c->new->items[new];
	struct ranges r = { a->section, b->section, a->offset, b->offset,
			    a->size < b->size ? a->size : b->size };
	struct vp_difference d;

	if (a->code != b->code || (c->old->sections[a->section].type == SHT_NOBITS) !=
					  (c->new->sections[b->section].type == SHT_NOBITS))
		return (struct vp_difference){ .what = VP_DIFFERS_BYTES };
	d = compare_ranges(c, &r, a->code);
	if (a->size != b->size) {
		d.at = d.what == VP_SAME ? r.size : d.at;
		d.what = VP_DIFFERS_SIZE;
	}
	for (const struct vp_table *t = vp_tables_of_code;
	     d.what == VP_SAME && a->code && t->section; t++)
		if (!same_table(c, t, old, new))
			d = (struct vp_difference){ .what = VP_DIFFERS_TABLE, .table = t->section };
	return d;
}
