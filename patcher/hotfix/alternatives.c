/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's start-up does to code: alternatives (instructions that depend on the CPU) and
 * calls through pv_ops, which become direct calls. Here before anything has its address: the
 * replacement's relocations move to the place where it goes, so nothing needs a fix-up of its own.
 *
 * An entry of .altinstructions has two forms. Both begin with the place and the replacement, as
 * PC32 relocations:
 *	12 bytes, 5.10 to 6.2: u16 feature, of which bit 15 turns it round; u8 length of the place;
 *		u8 length of the replacement
 *	14 bytes, 6.3 on: u32 feature, of which bit 16 turns it round and bit 17 makes a direct call
 *		of the call through memory that stands there; lengths as above
 * Which one it is, is what the relocations say: 13 bytes (before, with a length of padding) are
 * refused.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "hotfix/link_internal.h"
#include "hotfix/reloc.h"
#include "x86/decode.h"
#include "x86/encode.h"

/* Of a hotfix: some dozen. */
#define ENTRIES_MAX 4096u

#define OLD_SIZE 12
#define NEW_SIZE 14

struct alternative {
	size_t section; /* the place */
	uint64_t offset;
	size_t from; /* the replacement */
	uint64_t from_offset;
	unsigned int feature;
	bool inverted, direct_call;
	uint8_t length, from_length;
};

/* --- reading the table ----------------------------------------------------------------------- */

/* The number of a section; 0: none, or (a blocker) several. */
static size_t only_section(struct vp_hotfix_link *l, const char *name)
{
	size_t found = 0;

	for (size_t i = 1; i < l->nsections; i++) {
		if (strcmp(l->sections[i].name, name) || !l->sections[i].size)
			continue;
		if (found) {
			vp_blockers_add(l->b, "section %s: there are several", name);
			return 0;
		}
		found = i;
	}
	return found;
}

static int by_offset(const void *a, const void *b)
{
	const struct vp_elf_reloc *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Where a relocation of the table goes: @length bytes of code there. */
static bool get_place(const struct vp_hotfix_link *l, const struct vp_elf_reloc *r, size_t *section,
		      uint64_t *offset)
{
	const struct vp_elf_object_symbol *s = &l->symbols[r->symbol];

	if (s->section == SHN_UNDEF || s->section >= l->nsections)
		return false;
	*section = s->section;
	*offset = s->value + (uint64_t)r->addend;
	return *offset <= l->sections[s->section].size && l->sections[s->section].data &&
	       (l->sections[s->section].flags & SHF_EXECINSTR);
}

static bool read_entry(const struct vp_hotfix_link *l, const uint8_t *entry, size_t size,
		       const struct vp_elf_reloc *relocs, struct alternative *out)
{
	uint32_t feature = 0;

	if (relocs[0].type != R_X86_64_PC32 || relocs[1].type != R_X86_64_PC32 ||
	    !get_place(l, &relocs[0], &out->section, &out->offset) ||
	    !get_place(l, &relocs[1], &out->from, &out->from_offset))
		return false;
	memcpy(&feature, entry + 8, size - 10);
	out->length = entry[size - 2];
	out->from_length = entry[size - 1];
	if (size == OLD_SIZE) {
		out->feature = feature & 0x7fff;
		out->inverted = feature & 0x8000;
	} else {
		out->feature = feature & 0xffff;
		out->inverted = feature & 0x10000;
		out->direct_call = feature & 0x20000;
		if (feature & 0xfffc0000)
			return false;
	}
	return out->length && out->length <= l->sections[out->section].size - out->offset &&
	       out->from_length <= l->sections[out->from].size - out->from_offset &&
	       out->from_length <= out->length;
}

/* --- calls through memory ------------------------------------------------------------------------
 */

/*
 * `call *mem(%rip)` of the object at the place becomes a call of what the memory holds now. False,
 * with a blocker: it is no such call, or nobody can tell.
 */
static bool call_directly(struct vp_hotfix_link *l, size_t section, uint64_t offset, size_t length)
{
	struct part *p = &l->parts[section];
	const struct vp_elf_reloc *r;
	struct fixup f = { 0 };
	struct vp_err err = { "" };
	uint64_t target;
	size_t n;

	r = vp_elf_object_relocs(l->elf, section, &n);
	for (size_t i = 0; i < n; i++)
		if (r[i].offset == offset + 2 &&
		    (r[i].type == R_X86_64_PC32 || r[i].type == R_X86_64_PLT32) &&
		    !vp_link_fixup(l, section, &r[i], &f))
			return false; /* told already */
	if (length < 6 || p->was[offset] != 0xff || p->was[offset + 1] != 0x15 || !f.type ||
	    f.section) {
		vp_blockers_add(l->b,
				"alternative in %.80s: what it makes a direct call of is no "
				"call through the kernel's memory",
				vp_link_function(l, section, offset));
		return false;
	}
	if (l->world->read_pointer(l->world->arg, VP_GVA(f.value + (uint64_t)f.addend + 4), &target,
				   &err)) {
		vp_blockers_add(l->b, "call through %.80s: %.120s", f.name, err.text);
		return false;
	}
	p->bytes[offset] = 0xe8;
	f = (struct fixup){ .offset = offset + 1,
			    .type = R_X86_64_PC32,
			    .value = target,
			    .addend = -4,
			    .name = f.name };
	vp_link_add(l, section, &f);
	return true;
}

/* --- one alternative
 * --------------------------------------------------------------------------------- */

/* Nothing of what stood there is relocated any more. False: a field lies across its edge. */
static bool clear_fixups(struct vp_hotfix_link *l, const struct alternative *a)
{
	struct part *p = &l->parts[a->section];

	for (size_t i = 0; i < p->nfixups; i++) {
		struct fixup *f = &p->fixups[i];
		uint64_t size = (uint64_t)vp_reloc_size(f->type);

		if (f->type == R_X86_64_NONE || f->offset + size <= a->offset ||
		    f->offset >= a->offset + a->length)
			continue;
		if (f->offset < a->offset || f->offset + size > a->offset + a->length)
			return false;
		f->type = R_X86_64_NONE;
	}
	return true;
}

/* A branch that is not relocated must stay inside: it moves with the bytes. */
static bool branches_stay(const struct vp_hotfix_link *l, const struct alternative *a)
{
	const uint8_t *code = l->sections[a->from].data + a->from_offset;
	size_t n, at = 0;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(l->elf, a->from, &n);

	while (at < a->from_length) {
		struct vp_insn insn;
		bool relocated = false;

		if (vp_insn_decode(code + at, a->from_length - at, VP_GVA(at), &insn, NULL))
			return false;
		for (size_t i = 0; i < n; i++)
			relocated |= r[i].offset >= a->from_offset + at &&
				     r[i].offset < a->from_offset + at + insn.len;
		if (!relocated && vp_insn_leads(&insn) && insn.target.v > a->from_length)
			return false;
		at += insn.len;
	}
	return true;
}

static void move_fixups(struct vp_hotfix_link *l, const struct alternative *a)
{
	size_t n;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(l->elf, a->from, &n);
	uint64_t end = a->from_offset + a->from_length;
	struct fixup f;

	for (size_t i = 0; i < n; i++) {
		if (r[i].offset < a->from_offset || r[i].offset >= end)
			continue;
		if (!vp_link_fixup(l, a->from, &r[i], &f) || f.type == R_X86_64_NONE)
			continue;
		f.offset = a->offset + (f.offset - a->from_offset);
		if (f.offset + (uint64_t)vp_reloc_size(f.type) > a->offset + a->length)
			vp_blockers_add(l->b,
					"alternative in %.80s: a relocation lies across its "
					"edge",
					vp_link_function(l, a->section, a->offset));
		else
			vp_link_add(l, a->section, &f);
	}
}

static void apply(struct vp_hotfix_link *l, const struct alternative *a)
{
	uint8_t *to = l->parts[a->section].bytes + a->offset;
	size_t used = a->from_length;

	if (!clear_fixups(l, a) || (!a->direct_call && !branches_stay(l, a))) {
		vp_blockers_add(l->b, "alternative in %.80s: its replacement cannot be moved there",
				vp_link_function(l, a->section, a->offset));
		return;
	}
	if (a->direct_call) {
		if (!call_directly(l, a->section, a->offset, a->length))
			return;
		used = 5;
	} else {
		memcpy(to, l->sections[a->from].data + a->from_offset, used);
		move_fixups(l, a);
	}
	while (used < a->length) {
		size_t nop = a->length - used < 8 ? a->length - used : 8;

		vp_encode_nop(to + used, nop);
		used += nop;
	}
}

static void apply_entries(struct vp_hotfix_link *l, const struct vp_elf_section *table, size_t size,
			  const struct vp_elf_reloc *relocs, size_t n)
{
	for (size_t i = 0; i < n && !l->no_memory; i++) {
		struct alternative a = { 0 };
		struct vp_err err = { "" };
		int has;

		if (relocs[2 * i].offset != i * size || relocs[2 * i + 1].offset != i * size + 4 ||
		    !read_entry(l, table->data + i * size, size, &relocs[2 * i], &a)) {
			vp_blockers_add(l->b,
					"section .altinstructions: entry %zu is damaged or of "
					"an unknown form",
					i);
			return;
		}
		if (!l->parts[a.section].kept)
			continue; /* told already, if anything is lost by that */
		has = l->world->cpu_has(l->world->arg, a.feature, &err);
		if (has < 0)
			vp_blockers_add(l->b, "alternative in %.80s for CPU feature %u: %.120s",
					vp_link_function(l, a.section, a.offset), a.feature,
					err.text);
		else if ((has > 0) != a.inverted)
			apply(l, &a);
	}
}

static void apply_alternatives(struct vp_hotfix_link *l)
{
	size_t n, i = only_section(l, ".altinstructions");
	const struct vp_elf_reloc *r = vp_elf_object_relocs(l->elf, i, &n);
	const struct vp_elf_section *table = &l->sections[i];
	struct vp_elf_reloc *sorted;
	size_t size;

	if (!i)
		return;
	size = n >= 2 ? table->size / (n / 2) : 0;
	if (!table->data || n % 2 || n / 2 > ENTRIES_MAX || size * (n / 2) != table->size ||
	    (size != OLD_SIZE && size != NEW_SIZE)) {
		vp_blockers_add(l->b, "section .altinstructions: its entries have an unknown form");
		return;
	}
	sorted = reallocarray(NULL, n, sizeof(*sorted));
	if (!sorted) {
		l->no_memory = true;
		return;
	}
	memcpy(sorted, r, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_offset);
	apply_entries(l, table, size, sorted, n / 2);
	free(sorted);
}

/* --- pv calls of kernels before 6.8
 * --------------------------------------------------------------------- */

/* Those that no alternative has taken: `call *pv_ops+N(%rip)` still stands there. */
static void apply_pv_calls(struct vp_hotfix_link *l)
{
	size_t n, i = only_section(l, ".parainstructions");
	const struct vp_elf_reloc *r = vp_elf_object_relocs(l->elf, i, &n);

	if (!i)
		return;
	if (n > ENTRIES_MAX) {
		vp_blockers_add(l->b, "section .parainstructions: too many entries");
		return;
	}
	for (size_t j = 0; j < n && !l->no_memory; j++) {
		uint64_t offset;
		size_t section;
		struct fixup *f;
		uint8_t *bytes;

		if (r[j].type != R_X86_64_64 || !get_place(l, &r[j], &section, &offset) ||
		    l->sections[section].size - offset < 6) {
			vp_blockers_add(l->b, "section .parainstructions: damaged");
			return;
		}
		if (!l->parts[section].kept)
			continue;
		bytes = l->parts[section].bytes + offset;
		f = vp_link_fixup_at(l, section, offset + 2);
		if (bytes[0] != 0xff || bytes[1] != 0x15 || !f)
			continue;
		f->type = R_X86_64_NONE;
		if (call_directly(l, section, offset, 6))
			vp_encode_nop(bytes + 5, 1);
	}
}

void vp_link_alternatives(struct vp_hotfix_link *l)
{
	apply_alternatives(l);
	apply_pv_calls(l);
}
