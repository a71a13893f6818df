/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/expected.h"

#include <stdlib.h>
#include <string.h>

#include "diff/compare.h"
#include "hotfix/digest.h"
#include "hotfix/reloc.h"
#include "x86/decode.h"

/* Anywhere in a kernel: the digest is the same. */
#define HERE	 0xffffffff81000000ull
#define ANYWHERE 0xffffffff82000000ull

#define GS_PREFIX 0x65

/* Up to the next symbol, as kallsyms has it: with what fills up to there. */
static bool find_size(const struct vp_unit *u, size_t item, uint64_t *size)
{
	const struct vp_item *i = &u->items[item], *next = i + 1;

	if (item + 1 == u->nitems || next->section != i->section)
		return false;
	*size = next->offset - i->offset;
	return *size >= i->size;
}

/* A field of an instruction that counts from the beginning of per-CPU memory. */
static bool is_per_cpu(struct vp_unit *u, const struct vp_item *i, const struct vp_elf_reloc *r)
{
	const uint8_t *code = u->sections[i->section].data;
	uint64_t at = i->offset;
	struct vp_insn_fields f;
	int n = 0;

	for (; at <= r->offset; at += (uint64_t)n) {
		n = vp_insn_get_fields(code + at, i->offset + i->size - at, VP_GVA(at), &f, NULL);
		if (n <= 0)
			return true; /* nobody can tell */
		if (r->offset < at + (uint64_t)n)
			return code[at] == GS_PREFIX && !f.rip_relative;
	}
	return true;
}

static bool fill_in(struct vp_unit *u, const struct vp_item *i, uint8_t *code, uint64_t size)
{
	size_t n;
	const struct vp_elf_reloc *r = vp_unit_relocs(u, i->section, i->offset, size, &n);

	for (size_t j = 0; j < n; j++) {
		uint64_t at = r[j].offset - i->offset;
		int field = vp_reloc_size(r[j].type);

		if (field <= 0 || (uint64_t)field > size - at || is_per_cpu(u, i, &r[j]) ||
		    vp_reloc_apply(code + at, r[j].type,
				   ANYWHERE + (uint64_t)(r[j].addend & 0xffff), VP_GVA(HERE + at)))
			return false;
	}
	return true;
}

/* Does the kernel rewrite some of it for its CPU when it starts? */
static bool is_rewritten(struct vp_unit *u, size_t item)
{
	for (const struct vp_table *t = vp_tables_of_code; t->section; t++) {
		uint64_t size, at = 0;
		size_t section;

		if ((!strcmp(t->section, ".altinstructions") ||
		     !strcmp(t->section, ".parainstructions")) &&
		    vp_table_find(u, t, &section, &size) &&
		    vp_table_next(u, section, size, item, &at))
			return true;
	}
	return false;
}

static bool digest_of(struct vp_unit *u, size_t item, uint8_t out[VP_SHA256_SIZE])
{
	const struct vp_item *i = &u->items[item];
	uint64_t size;
	uint8_t *code;
	bool ok;

	if (!i->code || !u->sections[i->section].data || !find_size(u, item, &size) ||
	    is_rewritten(u, item))
		return false;
	code = malloc(size + 1);
	if (!code)
		return false;
	memcpy(code, u->sections[i->section].data + i->offset, size);
	ok = fill_in(u, i, code, size) && !vp_code_digest(code, size, VP_GVA(HERE), out, NULL);
	free(code);
	return ok;
}

bool vp_diff_expected(struct vp_unit *u, const char *function, uint8_t out[VP_SHA256_SIZE])
{
	size_t item = vp_unit_named(u, function);

	return item != VP_NO_ITEM && digest_of(u, item, out);
}

/* --- places that lead to a symbol
 * -----------------------------------------------------------------
 */

/* By a relocation, of a kind that the kernel leaves as it is. */
static bool relocated_to(struct vp_unit *u, const struct vp_item *i, size_t to,
			 struct vmpoke_use *out)
{
	size_t n;
	const struct vp_elf_reloc *r = vp_unit_relocs(u, i->section, i->offset, i->size, &n);

	for (size_t j = 0; j < n; j++) {
		struct vp_ref ref = vp_unit_ref(u, i->section, &r[j]);

		if (ref.kind != VP_REF_ITEM || ref.item != to ||
		    (r[j].type != R_X86_64_PC32 && r[j].type != R_X86_64_PLT32 &&
		     r[j].type != R_X86_64_32S && r[j].type != R_X86_64_64))
			continue;
		out->offset = r[j].offset - i->offset;
		out->type = r[j].type;
		out->addend = ref.addend;
		return true;
	}
	return false;
}

/* By a call or jmp in one section, which the assembler has resolved itself. */
static bool branches_to(struct vp_unit *u, const struct vp_item *i, const struct vp_item *to,
			struct vmpoke_use *out)
{
	const uint8_t *code = u->sections[i->section].data;
	uint64_t end = i->offset + i->size;
	struct vp_insn_fields f;
	size_t relocs;
	int n = 0;

	if (!code || to->section != i->section)
		return false;
	for (uint64_t at = i->offset; at < end; at += (uint64_t)n) {
		n = vp_insn_get_fields(code + at, end - at, VP_GVA(at), &f, NULL);
		if (n <= 0)
			return false;
		if (!f.imm_relative || f.imm_len != 4 ||
		    at + (uint64_t)n + (uint64_t)f.imm != to->offset)
			continue;
		vp_unit_relocs(u, i->section, at, (uint64_t)n, &relocs);
		if (relocs)
			continue;
		out->offset = at + f.imm_at - i->offset;
		out->type = R_X86_64_PC32;
		out->addend = -4;
		return true;
	}
	return false;
}

bool vp_diff_use(struct vp_unit *u, const char *symbol, const struct vp_item **user,
		 struct vmpoke_use *out)
{
	size_t to = vp_unit_named(u, symbol);

	*out = (struct vmpoke_use){ .name = NULL };
	for (size_t i = 0; i < u->nitems && to != VP_NO_ITEM; i++) {
		const struct vp_item *item = &u->items[i];

		if (i == to || !item->code || item->early || !*item->name ||
		    !(relocated_to(u, item, to, out) || branches_to(u, item, &u->items[to], out)) ||
		    !digest_of(u, i, out->expected))
			continue;
		*user = item;
		return true;
	}
	return false;
}
