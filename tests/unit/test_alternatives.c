/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's start-up does to code, done by the linker: alternatives and calls through
 * pv_ops. */
#include "unit.h"
#include "link_rig.h"
#include "x86/encode.h"

#define CLAC 5 /* a feature that this test's CPU has; 6 it has not */

static uint8_t table[128], replacements[64];
static unsigned int sec_table, sec_from, sym_from;
static size_t entries;

static void begin(void)
{
	link_begin();
	memset(table, 0, sizeof(table));
	memset(replacements, 0, sizeof(replacements));
	entries = 0;
	sec_table = object_section(&link_h.o, ".altinstructions", SHF_ALLOC, table, 0);
	sec_from = object_section(&link_h.o, ".altinstr_replacement", RX, replacements,
				  sizeof(replacements));
	sym_from = object_symbol(&link_h.o, "", STT_SECTION, sec_from, 0, 0);
	link_features[0] = CLAC;
}

/* An entry of @size bytes; @feature with its flags as that form has them. */
static void entry(size_t size, unsigned int at, unsigned int from, uint32_t feature, uint8_t length,
		  uint8_t from_length)
{
	uint8_t *e = table + entries * size;

	object_reloc(&link_h.o, sec_table, entries * size, R_X86_64_PC32, link_func, at);
	object_reloc(&link_h.o, sec_table, entries * size + 4, R_X86_64_PC32, sym_from, from);
	memcpy(e + 8, &feature, size - 10);
	e[size - 2] = length;
	e[size - 1] = from_length;
	entries++;
	link_h.o.sections[sec_table].size = entries * size;
}

static const uint8_t *bytes(const struct linked *l)
{
	return l->image.areas[VP_AREA_TEXT].bytes;
}

/* Both forms: with and without the feature, turned round and not. */
static void forms(void **state)
{
	static const struct {
		size_t size;
		uint32_t feature;
		bool applied;
	} cases[] = {
		{ 12, CLAC, true },
		{ 12, 6, false },
		{ 12, CLAC | 0x8000, false },
		{ 12, 6 | 0x8000, true },
		{ 14, CLAC, true },
		{ 14, 6, false },
		{ 14, CLAC | 0x10000, false },
		{ 14, 6 | 0x10000, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct linked *l;
		uint8_t nop[5];

		begin();
		memcpy(link_code + 8, "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 8);
		memcpy(replacements + 4, "\x0f\x01\xca", 3);
		entry(cases[i].size, 8, 4, cases[i].feature, 8, 3);
		l = link_good();
		assert_int_equal(bytes(l)[7], 0x90);
		assert_int_equal(bytes(l)[16], 0x90);
		if (cases[i].applied) {
			vp_encode_nop(nop, 5);
			assert_memory_equal(bytes(l) + 8, "\x0f\x01\xca", 3);
			assert_memory_equal(bytes(l) + 11, nop, 5);
		} else {
			assert_memory_equal(bytes(l) + 8, link_code + 8, 8);
		}
		assert_int_equal(vp_hotfix_link_size(l->link, VP_AREA_RODATA), 0);
		link_close(l);
	}
}

/* The last one that fits wins; what an earlier one relocated is forgotten. */
static void in_order(void **state)
{
	struct linked *l;

	(void)state;
	begin();
	object_reloc(&link_h.o, link_text, 9, R_X86_64_PC32, link_outside("helper"), -4);
	replacements[0] = 0xe8;
	object_reloc(&link_h.o, sec_from, 1, R_X86_64_PC32, link_outside("helper"), -4);
	replacements[8] = 0xfa;
	entry(14, 8, 0, CLAC, 5, 5);
	entry(14, 8, 8, CLAC, 5, 1);
	l = link_good();
	assert_memory_equal(bytes(l) + 8, "\xfa\x0f\x1f\x40\x00", 5);
	link_close(l);
}

/* Calls and jumps of the replacement go where they went, from their new place. */
static void branches(void **state)
{
	struct linked *l;

	(void)state;
	begin();
	memcpy(replacements, "\xe8\0\0\0\0\xe9\0\0\0\0\x75\x00", 12);
	object_reloc(&link_h.o, sec_from, 1, R_X86_64_PLT32, link_outside("helper"), -4);
	object_reloc(&link_h.o, sec_from, 6, R_X86_64_PC32, link_func, 40 - 4);
	entry(12, 8, 0, CLAC, 12, 12);
	l = link_good();
	assert_int_equal(bytes(l)[8], 0xe8);
	assert_int_equal(link_word(l, 0, 9), (int32_t)(HELPER - (TEXT + 13)));
	assert_int_equal(bytes(l)[13], 0xe9);
	assert_int_equal(link_word(l, 0, 14), 40 - 18);
	assert_memory_equal(bytes(l) + 18, "\x75\x00", 2);
	link_close(l);
}

/* Without the alternative its symbols are not asked for, and what stood there is relocated. */
static void not_applied(void **state)
{
	struct linked *l;

	(void)state;
	begin();
	link_code[8] = 0xe8;
	object_reloc(&link_h.o, link_text, 9, R_X86_64_PC32, link_outside("helper"), -4);
	object_reloc(&link_h.o, sec_from, 1, R_X86_64_PC32, link_outside("nothing"), -4);
	entry(12, 8, 0, 6, 5, 5);
	l = link_good();
	assert_int_equal(link_word(l, 0, 9), (int32_t)(HELPER - (TEXT + 13)));
	link_close(l);
}

/* Of code that is not taken: that is what is told, and once. */
static void elsewhere(void **state)
{
	unsigned int init, sym;
	struct linked *l;

	(void)state;
	begin();
	init = object_section(&link_h.o, ".init.text", RX, link_code, 32);
	sym = object_symbol(&link_h.o, "init", STT_FUNC, init, 0, 32);
	object_reloc(&link_h.o, sec_table, 0, R_X86_64_PC32, sym, 8);
	object_reloc(&link_h.o, sec_table, 4, R_X86_64_PC32, sym_from, 0);
	memcpy(table + 8, "\xd0\x07\x04\x04", 4); /* feature 2000, which nobody knows */
	link_h.o.sections[sec_table].size = 12;
	l = link_it();
	assert_int_equal(l->rc, -ENOEXEC);
	assert_int_equal(l->b.n, 1);
	assert_non_null(strstr(l->b.list[0].text, "section .init.text"));
	link_close(l);
}

/* --- calls through memory -------------------------------------------------------------------- */

static void pv_call_at(unsigned int at)
{
	memcpy(link_code + at, "\xff\x15\0\0\0\0", 6);
	object_reloc(&link_h.o, link_text, at + 2, R_X86_64_PC32, link_outside("pv_ops"), 0x20 - 4);
}

static void is_direct(const struct linked *l, unsigned int at)
{
	assert_int_equal(bytes(l)[at], 0xe8);
	assert_int_equal(link_word(l, 0, at + 1), (int32_t)(PV_TARGET - (TEXT + at + 5)));
	assert_int_equal(bytes(l)[at + 5], 0x90);
}

static void direct_call(void **state)
{
	struct linked *l;

	(void)state;
	begin();
	pv_call_at(8);
	entry(14, 8, 0, CLAC | 0x20000, 6, 5);
	l = link_good();
	is_direct(l, 8);
	link_close(l);

	begin(); /* and then the instruction itself */
	pv_call_at(8);
	replacements[8] = 0xfa;
	entry(14, 8, 0, CLAC | 0x20000, 6, 5);
	entry(14, 8, 8, 6 | 0x10000, 6, 1);
	l = link_good();
	assert_memory_equal(bytes(l) + 8, "\xfa\x0f\x1f\x44\x00\x00", 6);
	link_close(l);
}

/* Kernels before 6.8 list the places of pv calls. */
static void pv_sites(void **state)
{
	static const uint8_t zeroes[32];
	struct linked *l;
	unsigned int list;

	(void)state;
	begin();
	pv_call_at(8);
	pv_call_at(24);
	replacements[8] = 0xfb;
	entry(12, 24, 8, CLAC, 6, 1); /* this one is an instruction here */
	list = object_section(&link_h.o, ".parainstructions", SHF_ALLOC, zeroes, 32);
	object_reloc(&link_h.o, list, 0, R_X86_64_64, link_func, 8);
	object_reloc(&link_h.o, list, 16, R_X86_64_64, link_func, 24);
	l = link_good();
	is_direct(l, 8);
	assert_memory_equal(bytes(l) + 24, "\xfb\x0f\x1f\x44\x00\x00", 6);
	link_close(l);

	begin();
	list = object_section(&link_h.o, ".parainstructions", SHF_ALLOC, zeroes, 32);
	object_reloc(&link_h.o, list, 0, R_X86_64_64, link_func, 60);
	link_refused(".parainstructions: damaged");
	begin();
	object_reloc(&link_h.o, link_text, 10, R_X86_64_PC32, link_outside("pv_ops"), 0x28 - 4);
	memcpy(link_code + 8, "\xff\x15", 2);
	list = object_section(&link_h.o, ".parainstructions", SHF_ALLOC, zeroes, 32);
	object_reloc(&link_h.o, list, 0, R_X86_64_64, link_func, 8);
	link_refused("call through pv_ops: nothing there");
}

/* --- refusals ------------------------------------------------------------------------------------
 */

#define REFUSED(why, more)         \
	do {                       \
		begin();           \
		more;              \
		link_refused(why); \
	} while (0)

static void refusals(void **state)
{
	(void)state;
	REFUSED("unknown form", entry(13, 8, 0, CLAC, 5, 1));
	REFUSED("unknown form", link_h.o.sections[sec_table].size = 12);
	REFUSED("unknown form", entry(12, 8, 0, CLAC, 5, 1);
		link_h.o.sections[sec_table].size = 13);
	REFUSED("entry 0 is damaged", entry(12, 8, 0, CLAC, 0, 0));
	REFUSED("entry 0 is damaged", entry(12, 8, 0, CLAC, 3, 4));
	REFUSED("entry 0 is damaged", entry(12, 62, 0, CLAC, 3, 3));
	REFUSED("entry 0 is damaged", entry(12, 8, 62, CLAC, 3, 3));
	REFUSED("entry 1 is damaged", entry(14, 8, 0, CLAC, 3, 0);
		entry(14, 8, 0, CLAC | 0x40000, 3, 3));
	REFUSED("for CPU feature 2000: not a feature", entry(12, 8, 0, 2000, 3, 3));
	REFUSED("cannot be moved",
		object_reloc(&link_h.o, link_text, 10, R_X86_64_PC32, link_func, 0);
		entry(12, 8, 0, CLAC, 4, 0));
	REFUSED("cannot be moved", memcpy(replacements, "\xeb\x10", 2);
		entry(12, 8, 0, CLAC, 2, 2));
	REFUSED("cannot be moved", memcpy(replacements, "\x0f\xff\xff", 3);
		replacements[0] = 0x06; /* no instruction */
		entry(12, 8, 0, CLAC, 3, 3));
	REFUSED("across its edge", memcpy(replacements, "\xe8", 1);
		object_reloc(&link_h.o, sec_from, 3, R_X86_64_PC32, link_func, 0);
		entry(12, 8, 0, CLAC, 5, 5));
	REFUSED("no call through the kernel's memory", entry(14, 8, 0, CLAC | 0x20000, 6, 5));
	REFUSED("no call through the kernel's memory", pv_call_at(8); link_code[9] = 0x25;
		entry(14, 8, 0, CLAC | 0x20000, 6, 5));
	REFUSED("cannot be moved", pv_call_at(8); entry(14, 8, 0, CLAC | 0x20000, 5, 5));
	REFUSED("symbol nothing: the guest's kernel has none", memcpy(replacements, "\xe8", 1);
		object_reloc(&link_h.o, sec_from, 1, R_X86_64_PC32, link_outside("nothing"), 0);
		entry(12, 8, 0, CLAC, 5, 5));
	REFUSED("there are several", entry(12, 8, 0, CLAC, 3, 0);
		object_section(&link_h.o, ".altinstructions", SHF_ALLOC, table, 12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),       cmocka_unit_test(in_order),
		cmocka_unit_test(branches),    cmocka_unit_test(not_applied),
		cmocka_unit_test(direct_call), cmocka_unit_test(pv_sites),
		cmocka_unit_test(refusals),    cmocka_unit_test(elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
