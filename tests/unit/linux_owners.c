/* SPDX-License-Identifier: Apache-2.0 */
#include "linux_owners.h"

#include "linux_tasks.h"

#include <assert.h>
#include <bpf/btf.h>
#include <string.h>

/* --- type information ---------------------------------------------------------- */

static void field(struct btf *btf, const char *name, int type, uint32_t off)
{
	assert(!btf__add_field(btf, name, type, off * 8, 0));
}

void lg_add_owner_types(const struct linux_guest *g, struct btf *btf, int list, int pointer,
			int u32)
{
	static const struct {
		const char *name;
		unsigned int bit;
	} flags[] = { LG_FTRACE_BITS, { "FTRACE_FL_ENABLED", 31 }, { "other", 3 } };
	int u64 = btf__add_int(btf, "unsigned long", 8, 0);

	lg_add_task_types(g, btf, list, pointer, u32, u64);
	assert(btf__add_struct(btf, "dyn_ftrace", 16) > 0);
	field(btf, "ip", u64, 0);
	field(btf, "flags", u64, 8);
	assert(btf__add_struct(btf, "ftrace_page", 24) > 0);
	field(btf, "next", pointer, 0);
	field(btf, "records", pointer, 8);
	field(btf, "index", u32, 16);
	field(btf, "order", u32, 20);
	assert(btf__add_struct(btf, "kprobe", 0x40) > 0);
	field(btf, "hlist", list, 0x10);
	field(btf, "addr", pointer, 0x28);
	assert(btf__add_struct(btf, "static_call_site", 8) > 0);
	field(btf, "addr", u32, 0);
	field(btf, "key", u32, 4);
	assert(btf__add_enum(btf, "execmem_type", 4) > 0);
	assert(!btf__add_enum_value(btf, "EXECMEM_DEFAULT", 0));
	assert(!btf__add_enum_value(btf, "EXECMEM_MODULE_TEXT", 0));
	assert(!btf__add_enum_value(btf, "EXECMEM_MODULE_DATA", 4));
	assert(btf__add_enum(btf, NULL, 4) > 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		assert(!btf__add_enum_value(btf, flags[i].name, 1ll << flags[i].bit));
}

/* --- what is there --------------------------------------------------------------- */

static void write_page(struct linux_guest *g, unsigned int i, uint32_t records, uint32_t n,
		       uint64_t next)
{
	uint32_t at = LG_PAGE_STRUCTS + 32u * i;

	lg_put(g, at, next, 8);
	lg_put(g, at + 8, g->text + records, 8);
	lg_put(g, at + 16, n, 4);
}

static void write_ftrace(struct linux_guest *g)
{
	for (uint32_t i = 0; i < LG_FUNCS; i++) {
		if (i % 2)
			memcpy(lg_image(g, LG_FUNC(i)), "\xf3\x0f\x1e\xfa", 4);
		memcpy(lg_image(g, LG_ENTRY(i)), "\x0f\x1f\x44\x00\x00", 5);
		if (i < LG_FUNCS - 1)
			lg_put(g, LG_RECORD(i), g->text + LG_ENTRY(i), 8);
	}
	write_page(g, 0, LG_RECORD(0), 4, g->text + LG_PAGE_STRUCTS + 32);
	write_page(g, 1, LG_RECORD(4), LG_FUNCS - 5, 0);
	lg_put(g, LG_FTRACE_PAGES, g->text + LG_PAGE_STRUCTS, 8);
	lg_put(g, LG_FTRACE_OPS, g->text + LG_FTRACE_END, 8);
}

static void write_probes(struct linux_guest *g)
{
	uint32_t first = LG_PROBE_STRUCT, second = LG_PROBE_STRUCT + 0x40;

	lg_put(g, LG_KPROBES + 8 * 5, g->text + first + 0x10, 8);
	lg_put(g, first + 0x10, g->text + second + 0x10, 8);
	lg_put(g, first + 0x28, g->text + LG_PROBED, 8);
	lg_put(g, second + 0x28, g->text + LG_PROBED + 0x40, 8);
}

static void write_call(struct linux_guest *g, uint64_t at, uint64_t addr, const void *bytes,
		       size_t len)
{
	memcpy(lg_at(g, addr), bytes, len);
	lg_set(g, at, addr - at, 4);
	lg_set(g, at + 4, (g->text + LG_CALL_KEY) - (at + 4), 4);
}

void lg_write_owners(struct linux_guest *g)
{
	write_ftrace(g);
	write_probes(g);
	write_call(g, g->text + LG_CALLS, g->text + LG_CALL, "\xe8\x10\x00\x00\x00", 5);
	write_call(g, g->text + LG_CALLS + 8, g->text + LG_CALL_JCC, "\x0f\x84\x10\x00\x00\x00", 6);
	memcpy(lg_image(g, LG_TRAMPOLINE), "\xe9\x10\x00\x00\x00", 5);
	if (!g->opts.modules)
		return;
	write_call(g, LG_MOD_CALLS, LG_MOD_CALL, "\xe8\x10\x00\x00\x00", 5);
	lg_set(g, LG_MODULE(0) + LG_M_CALLS, LG_MOD_CALLS, 8);
	lg_set(g, LG_MODULE(0) + LG_M_NCALLS, 1, 4);
}
