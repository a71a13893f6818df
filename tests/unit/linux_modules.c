/* SPDX-License-Identifier: Apache-2.0 */
#include "linux_modules.h"

#include "linux_owners.h"

#include <assert.h>
#include <bpf/btf.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* --- type information ---------------------------------------------------------- */

struct member {
	const char *name;
	int type;
	uint32_t off;
};

static int add_struct(struct btf *btf, const char *name, uint32_t size,
		      const struct member *members)
{
	int id = btf__add_struct(btf, name, size);

	assert(id > 0);
	for (; members->name; members++)
		assert(!btf__add_field(btf, members->name, members->type, members->off * 8, 0));
	return id;
}

void lg_write_btf(struct linux_guest *g)
{
	struct btf *btf = btf__new_empty();
	int u32 = btf__add_int(btf, "unsigned int", 4, 0);
	int chars = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	int text = btf__add_array(btf, u32, chars, 56);
	int pointer = btf__add_ptr(btf, 0);
	const struct member list[] = { { "next", pointer, 0 }, { "prev", pointer, 8 }, { 0 } };
	const struct member kallsyms[] = { { "symtab", pointer, LG_K_SYMTAB },
					   { "num_symtab", u32, LG_K_COUNT },
					   { "strtab", pointer, LG_K_STRTAB },
					   { 0 } };
	const struct member piece[] = { { "base", pointer, 0 }, { "size", u32, 8 }, { 0 } };
	int list_id = add_struct(btf, "list_head", 16, list);
	int kallsyms_id = add_struct(btf, "mod_kallsyms", LG_K_SIZE, kallsyms);
	bool old = g->opts.core_layout;
	int piece_id = add_struct(btf, old ? "module_layout" : "module_memory", 16, piece);
	int pieces = old ? piece_id : btf__add_array(btf, u32, piece_id, 3);
	const struct member module[] = { { "state", u32, LG_M_STATE },
					 { "list", list_id, LG_M_LIST },
					 { "name", text, LG_M_NAME },
					 { "kallsyms", pointer, LG_M_KALLSYMS },
					 { "core_kallsyms", kallsyms_id, LG_M_CORE },
					 { "jump_entries", pointer, LG_M_JUMPS },
					 { "num_jump_entries", u32, LG_M_NJUMPS },
					 { old ? "core_layout" : "mem", pieces, LG_M_PIECES },
					 { "static_call_sites", pointer, LG_M_CALLS },
					 { "num_static_call_sites", u32, LG_M_NCALLS },
					 { 0 } };
	const void *raw;

	add_struct(btf, "module", LG_M_SIZE, module);
	lg_add_owner_types(g, btf, list_id, pointer, u32);
	raw = btf__raw_data(btf, &g->btf_len);
	assert(raw && g->btf_len < 0x4000);
	memcpy(lg_image(g, LG_BTF), raw, g->btf_len);
	btf__free(btf);
}

/* --- modules ------------------------------------------------------------------- */

struct symbol {
	const char *name;
	uint64_t addr;
};

static const struct symbol alpha[] = {
	{ "", 0 },
	{ "alpha_text", LG_MODULES + 0x100 },
	{ "", LG_MODULES + 0x108 }, /* not shown by the guest either */
	{ "shared", LG_MODULES + 0x180 },
	{ "alpha_key", LG_KEY_MODS },
	{ "alpha_percpu", 0x2f000 },
};

static const struct symbol beta[] = {
	{ "", 0 },
	{ "shared", LG_BETA + 0x20 },
	{ "beta_text", LG_BETA + 0x10 },
};

static const struct symbol gamma_[] = {
	{ "", 0 },
	{ "gamma_text", LG_BETA + 0x800 },
};

/* Writes the symbols; their names end at @end, or start at @start if there is no end. */
static uint64_t write_symbols(struct linux_guest *g, unsigned int i, const struct symbol *s,
			      uint32_t n, uint64_t start, uint64_t end)
{
	uint32_t len = 1, off = 1;

	for (uint32_t k = 0; k < n; k++)
		len += *s[k].name ? (uint32_t)strlen(s[k].name) + 1 : 0;
	if (end)
		start = end - len;
	for (uint32_t k = 0; k < n; k++) {
		uint64_t at = LG_SYMTAB(i) + k * sizeof(Elf64_Sym);

		lg_set(g, at, *s[k].name ? off : 0, 4);
		lg_set(g, at + 8, s[k].addr, 8);
		if (!*s[k].name)
			continue;
		strcpy((char *)lg_at(g, start + off), s[k].name);
		off += (uint32_t)strlen(s[k].name) + 1;
	}
	return start;
}

static void write_kallsyms(struct linux_guest *g, unsigned int i, uint64_t at, uint32_t n,
			   uint64_t names)
{
	lg_set(g, LG_MODULE(i) + LG_M_KALLSYMS, at, 8);
	lg_set(g, at + LG_K_SYMTAB, LG_SYMTAB(i), 8);
	lg_set(g, at + LG_K_COUNT, n, 4);
	lg_set(g, at + LG_K_STRTAB, names, 8);
}

static void write_piece(struct linux_guest *g, unsigned int i, unsigned int piece, uint64_t base,
			uint32_t len)
{
	lg_set(g, LG_MODULE(i) + LG_M_PIECES + 16u * piece, base, 8);
	lg_set(g, LG_MODULE(i) + LG_M_PIECES + 16u * piece + 8, len, 4);
}

static void write_list(struct linux_guest *g)
{
	static const char *const names[] = { "alpha", "beta", "gamma" };
	uint64_t head = g->text + LG_MODULE_LIST, last = head;

	for (unsigned int i = 0; i < 3 && g->opts.modules; i++) {
		uint64_t at = LG_MODULE(i) + LG_M_LIST;

		strcpy((char *)lg_at(g, LG_MODULE(i) + LG_M_NAME), names[i]);
		lg_set(g, LG_MODULE(i) + LG_M_STATE, i == 2, 4); /* MODULE_STATE_COMING */
		lg_set(g, last, at, 8);
		lg_set(g, at + 8, last, 8);
		last = at;
	}
	lg_set(g, last, head, 8);
	lg_set(g, head + 8, last, 8);
}

void lg_write_modules(struct linux_guest *g)
{
	write_list(g);
	if (!g->opts.modules)
		return;
	write_kallsyms(g, 0, LG_MODULE(0) + LG_M_CORE, 6,
		       write_symbols(g, 0, alpha, 6, 0, LG_MODULES_END));
	write_kallsyms(g, 1, LG_BETA_KALLSYMS, 3, write_symbols(g, 1, beta, 3, LG_BETA_STRINGS, 0));
	write_kallsyms(g, 2, LG_MODULE(2) + LG_M_CORE, 2,
		       write_symbols(g, 2, gamma_, 2, LG_BETA_STRINGS + 0x100, 0));
	if (g->opts.core_layout) { /* all of it in one piece */
		write_piece(g, 0, 0, LG_MODULES, 0x8000);
	} else {
		write_piece(g, 0, 0, LG_MODULES, 0x1000);
		write_piece(g, 0, 2, LG_MODULES + 0x3000, 0x1000);
	}
	write_piece(g, 1, 0, LG_BETA, 0x1000);
	lg_set(g, LG_MODULE(0) + LG_M_JUMPS, LG_MOD_JUMPS, 8);
	lg_set(g, LG_MODULE(0) + LG_M_NJUMPS, 2, 4);
}
