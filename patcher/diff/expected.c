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

bool vp_diff_expected(struct vp_unit *u, const char *function, uint8_t out[VP_SHA256_SIZE])
{
	size_t item = vp_unit_named(u, function);
	const struct vp_item *i = item == VP_NO_ITEM ? NULL : &u->items[item];
	uint64_t size;
	uint8_t *code;
	bool ok;

	if (!i || !i->code || !u->sections[i->section].data || !find_size(u, item, &size) ||
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
