/* SPDX-License-Identifier: Apache-2.0 */
#include "linux_build.h"
#include "linux_modules.h"
#include "linux_owners.h"
#include "linux_tasks.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_MAP 0xffffffff80000000ull
#define SIZE_2M	   0x200000u
#define MODULE_GPA (LG_IMAGE_GPA + LG_IMAGE_SIZE)
#define FILLERS	   700u /* symbols without a meaning */

const uint8_t lg_build_id[20] = { 0xde, 0xad, 0xbe, 0xef, 1,  2,  3,  4,  5,  6,
				  7,	8,    9,    10,	  11, 12, 13, 14, 15, 16 };

/* --- the target -------------------------------------------------------------- */

static struct linux_guest *guest_of(struct vp_target *t)
{
	return (struct linux_guest *)(void *)t;
}

static int op_lock(struct vp_target *t, struct vp_err *err)
{
	(void)err;
	assert(!guest_of(t)->locked);
	guest_of(t)->locked = true;
	return 0;
}

static void op_unlock(struct vp_target *t)
{
	assert(guest_of(t)->locked && !guest_of(t)->held);
	guest_of(t)->locked = false;
}

static int op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct linux_guest *g = guest_of(t);

	if (gpa.v >= LG_RAM || len > LG_RAM - gpa.v) {
		g->misses++;
		return vp_err_set(err, -EFAULT, "not RAM");
	}
	if (g->on_read)
		g->on_read(g);
	if (++g->reads == g->fail_at || (g->fail_at && g->reads > g->fail_at && g->fail_stays))
		return vp_err_set(err, g->fail_with, "the target does not answer");
	memcpy(buf, g->ram + gpa.v, len);
	g->bytes_read += len;
	return 0;
}

static int op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	struct linux_guest *g = guest_of(t);

	assert(g->locked && !g->held);
	if (vcpu >= (int)g->nvcpus)
		return vp_err_set(err, -ERANGE, "no such vCPU");
	*state = g->vcpus[vcpu < 0 ? 0 : vcpu];
	g->held = true;
	return 0;
}

static void op_release(struct vp_target *t)
{
	assert(guest_of(t)->held);
	guest_of(t)->held = false;
}

/* For strategy stop: nobody runs anyway. */
static int op_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		    struct vp_err *err)
{
	if (gpa.v >= LG_RAM || len > LG_RAM - gpa.v)
		return vp_err_set(err, -EFAULT, "not RAM");
	memcpy(guest_of(t)->ram + gpa.v, buf, len);
	return 0;
}

static int op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			struct vp_err *err)
{
	assert(gpa.v + sizeof(expect) <= LG_RAM);
	if (memcmp(guest_of(t)->ram + gpa.v, &expect, sizeof(expect)))
		return vp_err_set(err, -EAGAIN, "changed");
	return op_write(t, gpa, &value, sizeof(value), err);
}

static int op_check_write(struct vp_target *t, vp_gpa gpa, size_t len, struct vp_err *err)
{
	(void)t;
	return gpa.v >= LG_RAM || len > LG_RAM - gpa.v ? vp_err_set(err, -EFAULT, "not RAM") : 0;
}

static int op_writable(struct vp_target *t, struct vp_err *err)
{
	(void)t;
	(void)err;
	return 0;
}

static int op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	(void)timeout_ms;
	(void)err;
	assert(guest_of(t)->locked);
	return 0;
}

static void op_nothing(struct vp_target *t)
{
	(void)t;
}

static const struct vp_target_ops ops = {
	.name = "linux",
	.write = op_write,
	.swap_word = op_swap_word,
	.writable = op_writable,
	.check_write = op_check_write,
	.quiesce = op_stop,
	.unpark = op_nothing,
	.held = op_writable,
	.disarm = op_nothing,
	.stop = op_stop,
	.resume = op_nothing,
	.abandon = op_nothing,
	.lock = op_lock,
	.unlock = op_unlock,
	.read = op_read,
	.hold = op_hold,
	.release = op_release,
};

/* --- memory ------------------------------------------------------------------ */

uint8_t *lg_image(struct linux_guest *g, uint32_t off)
{
	assert(off < LG_IMAGE_SIZE);
	return g->ram + LG_IMAGE_GPA + off;
}

uint8_t *lg_at(struct linux_guest *g, uint64_t gva)
{
	if (gva >= LG_MODULES)
		return g->ram + MODULE_GPA + (gva - LG_MODULES);
	return lg_image(g, (uint32_t)(gva - g->text));
}

static void put(uint8_t *to, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

void lg_set(struct linux_guest *g, uint64_t gva, uint64_t value, unsigned int bytes)
{
	put(lg_at(g, gva), value, bytes);
}

void lg_put(struct linux_guest *g, uint32_t off, uint64_t value, unsigned int bytes)
{
	put(lg_image(g, off), value, bytes);
}

uint64_t lg_get(struct linux_guest *g, uint32_t off, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t)*lg_image(g, off + i) << (8 * i);
	return value;
}

/* --- page tables ------------------------------------------------------------- */

#define PGD_PROCESS 0x2000u /* and its half for user space at 0x3000 */
#define PUD	    0x5000u
#define PMD	    0x6000u
#define P4D	    0x7000u
#define PUD_USER    0x8000u
#define PMD_USER    0x9000u
#define PMD_MODULES 0xa000u
#define PT_MODULES  0xb000u
#define P4D_USER    0xc000u
#define PT_RODATA   0xd000u

#define TABLE 0x63ull /* present, writable, accessed, dirty */
#define RO    0x61ull
#define PS    0x80ull
#define NX    (1ull << 63)

static void entry(struct linux_guest *g, uint32_t table, uint64_t index, uint64_t value)
{
	put(g->ram + table + 8 * (index & 511), value, 8);
}

static void map_2m(struct linux_guest *g, uint32_t pmd, uint32_t off, uint64_t flags)
{
	uint64_t gva = g->text + off;

	entry(g, pmd, gva >> 21, (LG_IMAGE_GPA + off) | flags | PS);
}

static void fill_pgd(struct linux_guest *g, uint32_t pgd)
{
	entry(g, pgd, 511, (g->opts.five_levels ? P4D : PUD) | TABLE);
	if (g->opts.pti)
		entry(g, pgd + 0x1000, 511, (g->opts.five_levels ? P4D_USER : PUD_USER) | TABLE);
}

static void build_tables(struct linux_guest *g)
{
	uint64_t ro = g->opts.writable_image ? TABLE : RO | NX;

	map_2m(g, PMD, 0, g->opts.writable_image ? TABLE : RO);
	map_2m(g, PMD, SIZE_2M, g->opts.writable_image ? TABLE : RO);
	map_2m(g, PMD, LG_DATA, TABLE | NX);
	entry(g, PMD, (g->text + LG_RODATA) >> 21, PT_RODATA | TABLE);
	for (uint32_t off = 0; off < LG_RODATA_SIZE; off += 0x1000)
		entry(g, PT_RODATA, off >> 12, (LG_IMAGE_GPA + LG_RODATA + off) | ro);
	map_2m(g, PMD_USER, LG_ENTRY_TEXT, RO);
	entry(g, PUD, 510, PMD | TABLE);
	entry(g, PUD, 511, PMD_MODULES | TABLE);
	entry(g, PUD_USER, 510, PMD_USER | TABLE);
	entry(g, P4D, 511, PUD | TABLE);
	entry(g, P4D_USER, 511, PUD_USER | TABLE);
	entry(g, PMD_MODULES, 0, PT_MODULES | TABLE);
	for (uint32_t i = 0; i < 16; i++)
		entry(g, PT_MODULES, i, (MODULE_GPA + i * 0x1000u) | TABLE);
	fill_pgd(g, PGD_PROCESS);
	fill_pgd(g, LG_IMAGE_GPA + LG_SWAPPER);
	g->nvcpus = 2;
	for (unsigned int i = 0; i < 2; i++)
		g->vcpus[i].paging = (struct vp_paging){
			.cr0 = 0x80050033,
			.cr3 = PGD_PROCESS | (g->opts.user_mode ? 0x1801 : 1), /* with a PCID */
			.cr4 = g->opts.five_levels ? 0x1020 : 0x20,
			.efer = 0xd01,
		};
}

/* --- symbols ----------------------------------------------------------------- */

/* In the order of addresses: three per-CPU, then fillers in the text, then these. */
static const struct {
	const char *name;
	uint32_t off;
	bool text;
} named[] = {
	{ "T_text", 0, true },
	{ "T__entry_text_start", LG_ENTRY_TEXT, true },
	{ "T__SCT__one", LG_TRAMPOLINE, false },
	{ "T__static_call_text_start", LG_TRAMPOLINE + 0x20, false },
	{ "T__static_call_text_end", LG_TRAMPOLINE + 0x30, false },
	{ "T__fentry__", LG_FENTRY, false },
	{ "T_etext", LG_ETEXT, false },
	{ "R__start_rodata", LG_RODATA, false },
	{ "Rlinux_banner", LG_BANNER, false },
	{ "R__start_notes", LG_NOTES, false },
	{ "R__stop_notes", LG_NOTES + 0x100, false },
	{ "R__start_BTF", LG_BTF, false },
	{ "R__stop_BTF", LG_BTF, false }, /* behind it */
	{ "R__end_rodata", LG_END_RODATA, false },
	{ "Dinit_top_pgt", LG_SWAPPER, false },
	{ "Dphys_base", LG_PHYS_BASE, false },
	{ "Dpage_offset_base", LG_PAGE_OFFSET, false },
	{ "Dvmalloc_base", LG_VMALLOC, false },
	{ "Dvmemmap_base", LG_VMEMMAP, false },
	{ "Dvmcoreinfo_data", LG_VMCOREINFO, false },
	{ "Dvmcoreinfo_size", LG_VMCOREINFO_SIZE, false },
	{ "Dtext_mutex", LG_TEXT_MUTEX, false },
	{ "djump_label_mutex", LG_JUMP_MUTEX, false },
	{ "Dmodules", LG_MODULE_LIST, false },
	{ "dkprobe_mutex", LG_KPROBE_MUTEX, false },
	{ "Dftrace_lock", LG_FTRACE_LOCK, false },
	{ "Dftrace_ops_list", LG_FTRACE_OPS, false },
	{ "Dftrace_list_end", LG_FTRACE_END, false },
	{ "bftrace_pages_start", LG_FTRACE_PAGES, false },
	{ "bkprobe_table", LG_KPROBES, false },
	{ "D__start___jump_table", LG_JUMPS, false },
	{ "D__stop___jump_table", LG_JUMPS + LG_ENTRIES * 16u, false },
	{ "Dkey_off", LG_KEY_OFF, false },
	{ "Dkey_on", LG_KEY_ON, false },
	{ "Dkey_mod", LG_KEY_MOD, false },
	{ "D__start_static_call_sites", LG_CALLS, false },
	{ "D__stop_static_call_sites", LG_CALLS + 16, false },
	{ "D__SCK__one", LG_CALL_KEY, false },
	{ "Dinit_task", LG_TASK(0), false },
	{ "Dnr_cpu_ids", LG_NR_CPUS, false },
	{ "D__cpu_possible_mask", LG_POSSIBLE, false },
	{ "D__per_cpu_offset", LG_PERCPU, false },
	{ "didle_threads", LG_IDLE, false },
	{ "Dhardirq_stack_ptr", LG_IRQ_TOP, false },
	{ "Dboot_cpu_data", LG_CPU, false },
	{ "Dx86_return_thunk", LG_THUNK, false },
	{ "Dx86_bug_flags", LG_BUGS, false },
	{ "Dx86_cap_flags", LG_BUGS + 0x100, false },
	{ "D__start_init_task", LG_STACK(0), false },
	{ "D__end_init_task", LG_TOP(0), false },
	{ "D__start_mcount_loc", LG_MCOUNT, false },
	{ "D__stop_mcount_loc", LG_MCOUNT + 8u * (LG_FUNCS - 1), false },
	{ "D__alt_instructions", LG_ALTS, false },
	{ "D__alt_instructions_end", LG_ALTS + LG_ALTS_SIZE, false },
	{ "D__parainstructions", LG_PARAS, false },
	{ "D__parainstructions_end", LG_PARAS + 16, false },
	{ "D__start_runtime_shift_one", LG_CONSTS, false },
	{ "D__stop_runtime_shift_one", LG_CONSTS + 4, false },
};

#define NAMED (sizeof(named) / sizeof(named[0]))

/* The name with its type in front, at most 400 characters; the address, or a small absolute one. */
static void full_symbol(const struct linux_guest *g, size_t i, char *name, uint64_t *addr)
{
	bool all = !g->opts.text_symbols_only, percpu = all && g->opts.layout < LG_6_15;
	size_t n = percpu ? 3 : 0;

	if (i < n) {
		sprintf(name, "Apercpu_%zu", i);
		*addr = i * 0x100;
		return;
	}
	i -= n;
	if (i == 0 || i > FILLERS) {
		size_t k = i ? i - FILLERS : 0;

		strcpy(name, named[k].name);
		*addr = g->text + named[k].off;
		if (!strcmp(named[k].name, "R__stop_BTF"))
			*addr += g->btf_len;
		return;
	}
	sprintf(name, "tfiller_%zu", i);
	if (g->opts.twins && i >= 16 && i < 16 + LG_TWINS)
		strcpy(name, i < 18 ? "ttwin" : "Ttwin");
	if (i % 100 == 0) /* a name whose length takes two bytes */
		memset(name + strlen(name), 'x', 300), name[309] = '\0';
	*addr = g->text + 16 * i;
}

static size_t count_symbols(const struct linux_guest *g)
{
	size_t n = FILLERS + 1;

	if (g->opts.text_symbols_only)
		return n + 1; /* __entry_text_start */
	return n + NAMED - 1 + (g->opts.layout < LG_6_15 ? 3 : 0);
}

void lg_symbol(const struct linux_guest *g, size_t i, struct vp_symbol *out)
{
	static char name[512];

	full_symbol(g, i, name, &out->addr.v);
	out->name = name + 1;
}

/* --- kallsyms ---------------------------------------------------------------- */

/* Codes that are no character of a name stand for texts; "filler_" is one of them. */
static void token(const struct linux_guest *g, unsigned int code, char *text)
{
	if (code > ' ' && code <= '~')
		sprintf(text, "%c", (int)code);
	else if (code == 0x80)
		strcpy(text, "filler_");
	else if (g->opts.empty_tokens && code > 0xc0)
		*text = '\0';
	else
		sprintf(text, "token%u", code);
}

static uint32_t align(const struct linux_guest *g, uint32_t off)
{
	uint32_t to = g->opts.layout == LG_7_0 ? 4 : 8;

	return (off + to - 1) & ~(to - 1);
}

static uint32_t write_names(struct linux_guest *g, uint32_t off)
{
	uint32_t start = g->at.names = off;
	uint32_t marker[16];

	for (size_t i = 0; i < g->nsymbols; i++) {
		char name[512], *filler;
		uint64_t addr;
		size_t len;

		if (i % 256 == 0)
			marker[i / 256] = off - start;
		full_symbol(g, i, name, &addr);
		filler = strstr(name, "filler_");
		if (filler) {
			*filler = (char)0x80;
			memmove(filler + 1, filler + 7, strlen(filler + 7) + 1);
		}
		len = strlen(name);
		if (len > 127)
			lg_put(g, off++, (len & 127) | 128, 1);
		lg_put(g, off++, len > 127 ? len >> 7 : len, 1);
		memcpy(lg_image(g, off), name, len);
		off += (uint32_t)len;
	}
	off = g->at.markers = align(g, off);
	for (size_t i = 0; i < (g->nsymbols + 255) / 256; i++, off += 4)
		lg_put(g, off, marker[i], 4);
	return align(g, off);
}

static uint32_t write_tokens(struct linux_guest *g, uint32_t off)
{
	uint16_t index[256];

	g->at.token_table = off;
	for (unsigned int i = 0; i < 256; i++) {
		index[i] = (uint16_t)(off - g->at.token_table);
		token(g, i, (char *)lg_image(g, off));
		off += (uint32_t)strlen((char *)lg_image(g, off)) + 1;
	}
	off = g->at.token_index = align(g, off);
	for (unsigned int i = 0; i < 256; i++, off += 2)
		lg_put(g, off, index[i], 2);
	return align(g, off);
}

static uint32_t write_offsets(struct linux_guest *g, uint32_t off)
{
	g->at.offsets = off;
	for (size_t i = 0; i < g->nsymbols; i++, off += 4) {
		char name[512];
		uint64_t addr, value;

		full_symbol(g, i, name, &addr);
		if (g->opts.layout == LG_7_0)
			value = addr - (g->text + off);
		else if (g->opts.layout == LG_6_15)
			value = addr - g->text;
		else
			value = addr < g->text ? addr : g->text - 1 - addr;
		lg_put(g, off, value, 4);
	}
	off = align(g, off);
	if (g->opts.layout == LG_7_0)
		return off;
	g->at.relative_base = off;
	lg_put(g, off, g->text, 8);
	return off + 8;
}

/* No order of names is needed here, only its place. */
static uint32_t write_seqs(struct linux_guest *g, uint32_t off)
{
	for (size_t i = 0; i < g->nsymbols; i++, off += 3) {
		lg_put(g, off + 1, i >> 8, 1);
		lg_put(g, off + 2, i, 1);
	}
	return align(g, off);
}

static void write_kallsyms(struct linux_guest *g)
{
	bool old = g->opts.layout <= LG_6_1;
	uint32_t off = LG_KALLSYMS;

	g->nsymbols = count_symbols(g);
	if (old)
		off = write_offsets(g, off);
	g->at.num_syms = off;
	lg_put(g, off, g->nsymbols, 4);
	off = write_names(g, align(g, off + 4));
	if (g->opts.layout == LG_6_1)
		off = write_seqs(g, off);
	off = write_tokens(g, off);
	if (!old)
		off = write_seqs(g, write_offsets(g, off));
	g->at.end = off;
}

/* --- data -------------------------------------------------------------------- */

static void write_identity(struct linux_guest *g)
{
	char *info = (char *)lg_image(g, LG_VMCOREINFO_TEXT);
	static const uint32_t note[] = { 4, 20, 3, 0x00554e47 };

	sprintf((char *)lg_image(g, LG_BANNER),
		"Linux version 6.1.0-test (me@here) #1 SMP PREEMPT%s (2026-01-01)\n",
		g->opts.rt ? "_RT Debian" : "_DYNAMIC Debian");
	/* Another note first. */
	put(lg_image(g, LG_NOTES), 6, 4);
	put(lg_image(g, LG_NOTES + 4), 1, 4);
	put(lg_image(g, LG_NOTES + 8), 0x100, 4);
	memcpy(lg_image(g, LG_NOTES + 12), "Linux", 6);
	for (unsigned int i = 0; i < 4; i++)
		put(lg_image(g, LG_NOTES + 24 + 4 * i), note[i], 4);
	memcpy(lg_image(g, LG_NOTES + 40), lg_build_id, sizeof(lg_build_id));
	lg_put(g, LG_PHYS_BASE, LG_IMAGE_GPA - (g->text - KERNEL_MAP), 8);
	lg_put(g, LG_PAGE_OFFSET, 0xffff888000000000, 8);
	lg_put(g, LG_VMALLOC, 0xffffc90000000000, 8);
	lg_put(g, LG_VMEMMAP, 0xffffea0000000000, 8);
	sprintf(info, "OSRELEASE=6.1.0-test\nKERNELOFFSET=%llx\n",
		(unsigned long long)g->opts.slide);
	lg_put(g, LG_VMCOREINFO, g->text + LG_VMCOREINFO_TEXT, 8);
	lg_put(g, LG_VMCOREINFO_SIZE, strlen(info), 8);
}

/* --- static keys ------------------------------------------------------------- */

#define NOP5 "\x0f\x1f\x44\x00\x00"
#define NOP2 "\x66\x90"
#define JMP5 "\xe9\x07\x00\x00\x00" /* to 12 bytes after its start */
#define JMP2 "\xeb\x0a"

static void jump_entry(struct linux_guest *g, uint64_t at, uint64_t code, uint64_t key)
{
	uint8_t *p = lg_at(g, at);

	put(p, code - at, 4);
	put(p + 4, code + 12 - (at + 4), 4);
	put(p + 8, key - (at + 8), 8);
}

static void own_entry(struct linux_guest *g, uint32_t i, const char *bytes, size_t len,
		      uint64_t key)
{
	memcpy(lg_image(g, LG_SITE(i)), bytes, len);
	jump_entry(g, g->text + LG_JUMPS + 16u * i, g->text + LG_SITE(i), g->text + key);
}

static void write_keys(struct linux_guest *g)
{
	own_entry(g, 0, NOP5, 5, LG_KEY_OFF);
	own_entry(g, 1, NOP2, 2, LG_KEY_OFF);
	own_entry(g, 2, JMP5, 5, LG_KEY_OFF | 1);
	own_entry(g, 3, "\xff\xff", 2, LG_KEY_OFF | 2);
	own_entry(g, 4, JMP5, 5, LG_KEY_ON);
	own_entry(g, 5, JMP2, 2, LG_KEY_ON);
	own_entry(g, 6, NOP5, 5, LG_KEY_ON | 1);
	own_entry(g, 7, NOP5, 5, LG_KEY_MOD);
	lg_put(g, LG_KEY_ON, 1, 4);
	/* key_mod: a list of two, the kernel's own entries and the module's */
	lg_put(g, LG_KEY_MOD + 8, LG_MOD_NODES | 2, 8);
	put(lg_at(g, LG_MOD_NODES), LG_MOD_NODES + 0x20, 8);
	put(lg_at(g, LG_MOD_NODES + 8), LG_MOD_JUMPS, 8);
	put(lg_at(g, LG_MOD_NODES + 16), LG_MODULES, 8);
	put(lg_at(g, LG_MOD_NODES + 0x28), g->text + LG_JUMPS + 7u * 16, 8);
	memcpy(lg_at(g, LG_MOD_SITE), NOP2, 2);
	jump_entry(g, LG_MOD_JUMPS, LG_MOD_SITE, g->text + LG_KEY_MOD);
	/* the module's own key, whose entries follow in the module's table */
	memcpy(lg_at(g, LG_MOD_SITE2), JMP5, 5);
	jump_entry(g, LG_MOD_JUMPS + 16, LG_MOD_SITE2, LG_KEY_MODS);
	put(lg_at(g, LG_KEY_MODS), 1, 4);
	put(lg_at(g, LG_KEY_MODS + 8), (LG_MOD_JUMPS + 16) | 1, 8);
}

struct linux_guest *lg_new(const struct lg_opts *opts)
{
	struct linux_guest *g = calloc(1, sizeof(*g));

	assert(g);
	g->target.ops = &ops;
	g->target.no_int3 = "its vCPUs run no code";
	g->ram = calloc(1, LG_RAM);
	assert(g->ram);
	g->opts = *opts;
	g->text = LG_LINKED + opts->slide;
	build_tables(g);
	memset(lg_image(g, 0), 0x90, 0x10000);
	memset(lg_at(g, LG_MODULES), 0x90, 0x200);
	if (!opts->no_btf)
		lg_write_btf(g);
	write_kallsyms(g);
	write_identity(g);
	write_keys(g);
	lg_write_modules(g);
	lg_write_owners(g);
	lg_write_tasks(g);
	return g;
}

void lg_free(struct linux_guest *g)
{
	free(g->ram);
	free(g);
}
