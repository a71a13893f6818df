/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test guest embedded in vmpoke is what the demo takes it for: each version
 * of each site is one instruction, and the sites lie where they must to be hard.
 */
#include <vmpoke/symbol.h>

#include "elf/image.h"
#include "guest/testguest.h"
#include "unit.h"
#include "x86/decode.h"
#include "x86/emulate.h"

extern const uint8_t vp_testguest_start[], vp_testguest_end[];

static struct {
	struct vp_elf *elf;
	struct vp_symtab *symbols;
	const struct tg_site *sites;
	size_t nsites;
} guest;

/* The segment that holds @addr, which must be in the image. */
static const struct vp_elf_segment *segment_at(uint64_t addr)
{
	size_t n;
	const struct vp_elf_segment *s = vp_elf_segments(guest.elf, &n);

	for (size_t i = 0; i < n; i++)
		if (addr - s[i].vaddr < s[i].filesz)
			return &s[i];
	fail_msg("0x%llx is not in the image", (unsigned long long)addr);
	return NULL;
}

static uint8_t byte_at(uint64_t addr)
{
	const struct vp_elf_segment *s = segment_at(addr);

	return ((const uint8_t *)s->data)[addr - s->vaddr];
}

static uint64_t phys_at(uint64_t addr)
{
	const struct vp_elf_segment *s = segment_at(addr);

	return s->paddr + (addr - s->vaddr);
}

static uint64_t symbol(const char *name)
{
	vp_gva addr;

	assert_int_equal(vp_symtab_find(guest.symbols, name, &addr, NULL), 0);
	return addr.v;
}

static int setup(void **state)
{
	size_t len = (size_t)(vp_testguest_end - vp_testguest_start);
	const struct vp_elf_segment *s;
	uint64_t sites, end;

	(void)state;
	assert_int_equal(vp_elf_open(vp_testguest_start, len, "testguest", &guest.elf, NULL), 0);
	assert_int_equal(vp_symtab_load(vp_testguest_start, len, "testguest", &guest.symbols, NULL),
			 0);
	sites = symbol("tg_sites");
	end = symbol("tg_sites_end");
	s = segment_at(sites);
	assert_in_range(end, sites, s->vaddr + s->filesz);
	guest.sites = (const void *)((const uint8_t *)s->data + (sites - s->vaddr));
	guest.nsites = (end - sites) / sizeof(struct tg_site);
	assert_int_equal((end - sites) % sizeof(struct tg_site), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vp_symtab_free(guest.symbols);
	vp_elf_close(guest.elf);
	return 0;
}

static void test_versions_are_single_instructions(void **state)
{
	(void)state;
	for (size_t i = 0; i < guest.nsites; i++) {
		const struct tg_site *s = &guest.sites[i];

		assert_in_range(s->versions, 2, TG_VERSIONS_MAX);
		for (unsigned int v = 0; v < TG_VERSIONS_MAX; v++) {
			const struct tg_version *ver = &s->version[v];
			struct vp_insn insn;

			assert_int_equal(vp_insn_decode(ver->bytes, s->len, VP_GVA(s->addr), &insn,
							NULL),
					 0);
			assert_int_equal(insn.len, s->len);
			assert_int_equal(ver->emulate, vp_can_emulate(&insn));
			if (insn.kind == VP_INSN_MOV_IMM)
				assert_int_equal(insn.imm, ver->result);
			if (insn.kind == VP_INSN_JMP_REL || insn.kind == VP_INSN_CALL_REL)
				assert_true(segment_at(insn.target.v)->flags & PF_X);
			assert_true(segment_at(ver->fixup)->flags & PF_X);
		}
		assert_memory_equal(s->version[2].bytes, s->version[s->versions - 1].bytes, s->len);
	}
}

static void test_version_0_stands_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < guest.nsites; i++) {
		const struct tg_site *s = &guest.sites[i];

		assert_int_equal(segment_at(s->addr)->flags, PF_R | PF_X);
		assert_int_equal(s->addr - s->fn, i == 0 ? 7 : 5);
		for (unsigned int k = 0; k < s->len; k++)
			assert_int_equal(byte_at(s->addr + k), s->version[0].bytes[k]);
	}
}

/* No fixup stands in a site: the engine would refuse it. */
static void test_fixups_are_outside_sites(void **state)
{
	(void)state;
	for (size_t i = 0; i < guest.nsites; i++)
		for (size_t j = 0; j < guest.nsites; j++)
			for (unsigned int v = 0; v < TG_VERSIONS_MAX; v++)
				assert_true(guest.sites[i].version[v].fixup - guest.sites[j].addr >=
					    guest.sites[j].len);
}

/* A mix of the bytes of two immediates must be neither: they differ in every byte. */
static void test_immediates_differ_in_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < guest.nsites; i++) {
		const struct tg_site *s = &guest.sites[i];
		struct vp_insn a, b;

		for (unsigned int v = 1; v < s->versions; v++) {
			const uint8_t *x = s->version[v - 1].bytes, *y = s->version[v].bytes;
			unsigned int imm = s->len == 5 || s->len == 7 ? 4 : 8;

			vp_insn_decode(x, s->len, VP_GVA(s->addr), &a, NULL);
			vp_insn_decode(y, s->len, VP_GVA(s->addr), &b, NULL);
			if (a.kind != VP_INSN_MOV_IMM || b.kind != VP_INSN_MOV_IMM)
				continue;
			for (unsigned int k = s->len - imm; k < s->len; k++)
				assert_int_not_equal(x[k], y[k]);
		}
	}
}

static bool straddles(const struct tg_site *s, uint64_t size)
{
	return s->addr / size != (s->addr + s->len - 1) / size;
}

static void test_names_tell_what_straddles(void **state)
{
	(void)state;
	for (size_t i = 0; i < guest.nsites; i++) {
		const struct tg_site *s = &guest.sites[i];
		const char *kind = strchr(s->name, '_');
		bool page = kind && (!strcmp(kind, "_page") || !strcmp(kind, "_split"));

		assert_int_equal(straddles(s, 4096), page);
		assert_int_equal(straddles(s, 64), kind != NULL);
	}
}

static void test_split_pages_are_no_neighbours(void **state)
{
	unsigned int split = 0;

	(void)state;
	for (size_t i = 0; i < guest.nsites; i++) {
		const struct tg_site *s = &guest.sites[i];
		uint64_t last = s->addr + s->len - 1;

		if (strstr(s->name, "_split")) {
			assert_int_not_equal(phys_at(s->addr) / 4096 + 1, phys_at(last) / 4096);
			assert_int_not_equal(phys_at(s->addr) / 4096, phys_at(last) / 4096 + 1);
			split++;
		} else {
			assert_int_equal(phys_at(last) - phys_at(s->addr), s->len - 1);
		}
	}
	assert_int_equal(split, 2);
}

static void test_every_length_is_there(void **state)
{
	static const unsigned int want[] = { 1, 2, 5, 7, 10, 15 };
	unsigned int seen[16] = { 0 };

	(void)state;
	for (size_t i = 0; i < guest.nsites; i++)
		seen[guest.sites[i].len & 15]++;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_not_equal(seen[want[i]], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions_are_single_instructions),
		cmocka_unit_test(test_version_0_stands_there),
		cmocka_unit_test(test_fixups_are_outside_sites),
		cmocka_unit_test(test_immediates_differ_in_every_byte),
		cmocka_unit_test(test_names_tell_what_straddles),
		cmocka_unit_test(test_split_pages_are_no_neighbours),
		cmocka_unit_test(test_every_length_is_there),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
