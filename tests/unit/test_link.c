/* SPDX-License-Identifier: Apache-2.0 */
/* The linker on objects made by hand: what each section and relocation becomes, each refusal. */
#include "unit.h"
#include "link_rig.h"
#include "x86/encode.h"

/* --- areas ---------------------------------------------------------------------------------- */

static void areas(void **state)
{
	unsigned int strings, numbers, zeroes;
	struct linked *l;

	(void)state;
	link_begin();
	strings = object_section(&link_h.o, ".rodata.str1.1", SHF_ALLOC, "strings", 8);
	numbers = object_section(&link_h.o, ".data", RW, "numbers", 8);
	zeroes = object_section(&link_h.o, ".bss", RW, NULL, 5000);
	link_h.o.sections[zeroes].align = 4096;
	object_section(&link_h.o, ".text.unlikely", RX, "\xc3", 1);
	object_section(&link_h.o, ".comment", 0, "a compiler", 10);
	object_section(&link_h.o, ".init.text", RX, "", 0); /* empty: nothing is refused */
	object_reloc(&link_h.o, numbers, 0, R_X86_64_64,
		     object_symbol(&link_h.o, "strings", STT_OBJECT, strings, 0, 8), 3);
	object_reloc(&link_h.o, link_text, 8, R_X86_64_32S,
		     object_symbol(&link_h.o, "zeroes", STT_OBJECT, zeroes, 8, 8), 0);
	l = link_good();
	assert_int_equal(vp_hotfix_link_size(l->link, VP_AREA_TEXT), 4096);
	assert_int_equal(vp_hotfix_link_size(l->link, VP_AREA_RODATA), 4096);
	assert_int_equal(vp_hotfix_link_size(l->link, VP_AREA_DATA), 3 * 4096);
	assert_int_equal(l->image.areas[VP_AREA_TEXT].bytes[64], 0xc3);
	for (size_t i = 65; i < 4096; i++)
		assert_int_equal(l->image.areas[VP_AREA_TEXT].bytes[i], VP_INT3);
	assert_memory_equal(l->image.areas[VP_AREA_RODATA].bytes, "strings", 8);
	assert_memory_equal(l->image.areas[VP_AREA_DATA].bytes, &(uint64_t){ RODATA + 3 }, 8);
	for (size_t i = 8; i < 3 * 4096; i++)
		assert_int_equal(l->image.areas[VP_AREA_DATA].bytes[i], 0);
	assert_int_equal(link_word(l, VP_AREA_TEXT, 8), (int32_t)(DATA + 4096 + 8));
	assert_int_equal(l->image.nredirects, 1);
	assert_int_equal(l->image.redirects[0].replacement.v, TEXT);
	assert_int_equal(l->image.redirects[0].old.v, HELPER + 0x1000 + '1');
	link_close(l);
}

static void sections(void **state)
{
	static const char *const dropped[] = {
		".retpoline_sites", ".return_sites", ".static_call_sites", ".orc_unwind_ip",
		"__mcount_loc",	    ".eh_frame",     ".discard.func",	   ".smp_locks",
	};
	static const char *const refused[] = {
		"__jump_table",	 "__bug_table", "__ex_table",	    ".data..percpu",
		".init.text",	 ".exit.text",	"___ksymtab_gpl+x", ".static_call.text",
		"__tracepoints", ".init_array", "something",
	};

	(void)state;
	link_begin();
	for (size_t i = 0; i < sizeof(dropped) / sizeof(*dropped); i++)
		object_section(&link_h.o, dropped[i], SHF_ALLOC, "somebyte", 8);
	link_close(link_good());
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		unsigned int s;
		char why[64];

		link_begin();
		s = object_section(&link_h.o, refused[i], SHF_ALLOC, "somebyte", 8);
		object_reloc(&link_h.o, s, 0, R_X86_64_PC32, link_func, 12);
		snprintf(why, sizeof(why), "section %s of fixed: ", refused[i]);
		link_refused(why);
	}
	link_begin();
	link_h.o.sections[object_section(&link_h.o, ".rodata", SHF_ALLOC, "x", 1)].type =
		0x6fff4700;
	link_refused("type is unknown");
	link_begin();
	object_reloc(&link_h.o, link_text, 8, R_X86_64_PC32,
		     object_symbol(&link_h.o, "table", STT_OBJECT,
				   object_section(&link_h.o, ".eh_frame", SHF_ALLOC, "somebyte", 8),
				   0, 8),
		     0);
	link_refused(".text+0x8 (in fixed) refers to section .eh_frame, which is not taken");
}

/* --- relocations and symbols ------------------------------------------------------------------ */

static void relocations(void **state)
{
	struct linked *l;
	unsigned int helper;

	(void)state;
	link_begin();
	helper = link_outside("helper");
	object_reloc(&link_h.o, link_text, 0, R_X86_64_PLT32, helper, -4);
	object_reloc(&link_h.o, link_text, 4, R_X86_64_PC32, helper, 12);
	object_reloc(&link_h.o, link_text, 8, R_X86_64_32S, helper, 0);
	object_reloc(&link_h.o, link_text, 12, R_X86_64_64, helper, 1);
	object_reloc(&link_h.o, link_text, 20, R_X86_64_PC64, helper, 0);
	object_reloc(&link_h.o, link_text, 28, R_X86_64_PC32, link_outside("per_cpu"), -4);
	object_reloc(&link_h.o, link_text, 32, R_X86_64_32, link_outside("per_cpu"), 8);
	object_reloc(&link_h.o, link_text, 36, R_X86_64_NONE, 0, 0);
	object_reloc(&link_h.o, link_text, 40, R_X86_64_32,
		     object_symbol(&link_h.o, "abs", 0, SHN_ABS, 7, 0), 1);
	object_reloc(&link_h.o, link_text, 44, R_X86_64_32, 0, 5);
	object_reloc(&link_h.o, link_text, 48, R_X86_64_PC32, link_func,
		     -4); /* the edge of the section: */
	object_reloc(&link_h.o, link_text, 60, R_X86_64_PC32, link_func, -4);
	l = link_good();
	assert_int_equal(link_word(l, 0, 0), (int32_t)(HELPER - 4 - TEXT));
	assert_int_equal(link_word(l, 0, 4), (int32_t)(HELPER + 12 - TEXT - 4));
	assert_int_equal(link_word(l, 0, 8), (int32_t)HELPER);
	assert_memory_equal(l->image.areas[0].bytes + 12, &(uint64_t){ HELPER + 1 }, 8);
	assert_memory_equal(l->image.areas[0].bytes + 20, &(uint64_t){ HELPER - TEXT - 20 }, 8);
	assert_int_equal(link_word(l, 0, 28), (int32_t)(0x1c340 - 4 - (TEXT + 28)));
	assert_int_equal(link_word(l, 0, 32), 0x1c348);
	assert_int_equal(link_word(l, 0, 36), (int32_t)0x90909090);
	assert_int_equal(link_word(l, 0, 40), 8);
	assert_int_equal(link_word(l, 0, 44), 5);
	assert_int_equal(link_word(l, 0, 48), -52);
	assert_int_equal(link_word(l, 0, 60), -64);
	link_close(l);
}

#define REFUSED(why, more)         \
	do {                       \
		link_begin();      \
		more;              \
		link_refused(why); \
	} while (0)

#define RELOC(offset, type, sym) object_reloc(&link_h.o, link_text, offset, type, sym, 0)

static void refused_relocs(void **state)
{
	(void)state;
	REFUSED(".text+0x8 (in fixed): relocation R_X86_64_REX_GOTPCRELX (42) is not supported",
		RELOC(8, R_X86_64_REX_GOTPCRELX, link_outside("helper")));
	REFUSED("R_X86_64_GOTPCREL (9)", RELOC(8, R_X86_64_GOTPCREL, link_outside("helper")));
	REFUSED("R_X86_64_TPOFF32", RELOC(8, R_X86_64_TPOFF32, link_outside("helper")));
	REFUSED("unknown (200)", RELOC(8, 200, link_outside("helper")));
	REFUSED("does not end inside", RELOC(61, R_X86_64_PC32, link_func));
	REFUSED("does not end inside", RELOC(57, R_X86_64_64, link_func));
	REFUSED("two relocations of the same bytes", RELOC(11, R_X86_64_PC32, link_func);
		RELOC(8, R_X86_64_PC32, link_func));
	REFUSED("R_X86_64_32 to helper (0xffffffff81000010) is out of range",
		RELOC(8, R_X86_64_32, link_outside("helper")));
	REFUSED("out of range", object_reloc(&link_h.o, link_text, 8, R_X86_64_PC32,
					     link_outside("helper"), 1ll << 40));
	REFUSED("symbol nothing: the guest's kernel has none: none",
		RELOC(8, R_X86_64_64, link_outside("nothing")));
	REFUSED("symbol many is ambiguous: 3 of that name",
		RELOC(8, R_X86_64_64, link_outside("many")));
	REFUSED("symbol broken: the guest cannot be read",
		RELOC(8, R_X86_64_64, link_outside("broken")));
	REFUSED("has no name", RELOC(8, R_X86_64_64, link_outside("")));
	REFUSED("common",
		RELOC(8, R_X86_64_64, object_symbol(&link_h.o, "c", STT_OBJECT, SHN_COMMON, 4, 4)));
	REFUSED("no such thunk",
		RELOC(8, R_X86_64_PLT32, link_outside("__x86_indirect_thunk_rbx")));
}

static void told_apart(void **state)
{
	struct linked *l;

	(void)state;
	link_begin();
	hotfix_symbol(&link_h, "many", VMPOKE_WHICH_NTH, NULL, 3);
	RELOC(8, R_X86_64_64, link_outside("many"));
	l = link_good();
	assert_memory_equal(l->image.areas[0].bytes + 8, &(uint64_t){ HELPER + 0x2003 }, 8);
	link_close(l);
}

static void functions(void **state)
{
	(void)state;
	REFUSED("function none: the guest's kernel has none",
		hotfix_function(&link_h, "none", link_func, 0));
	REFUSED("function many is ambiguous", hotfix_function(&link_h, "many", link_func, 0));
	REFUSED("functions old1 and old1x are the same one",
		hotfix_function(&link_h, "old1x", link_func, 0));
	REFUSED("its replacement is in section .init.text, which is not taken",
		hotfix_function(
			&link_h, "old2",
			object_symbol(&link_h.o, "init", STT_FUNC,
				      object_section(&link_h.o, ".init.text", RX, "\xc3", 1), 0, 1),
			0));
	REFUSED("function to call nothing: the guest's kernel has none",
		hotfix_call(&link_h, 1, link_outside("nothing")));
}

/* --- calls that become something else ------------------------------------------------------------
 */

static void entry_call(void **state)
{
	struct linked *l;
	uint8_t nop[5];

	(void)state;
	link_begin();
	link_code[0] = 0xe8;
	RELOC(1, R_X86_64_PLT32, link_outside("__fentry__"));
	l = link_good();
	vp_encode_nop(nop, 5);
	assert_memory_equal(l->image.areas[0].bytes, nop, 5);
	link_close(l);
	/* Not a call: the symbol is asked for, and this world has none. */
	REFUSED("symbol __fentry__", RELOC(1, R_X86_64_PLT32, link_outside("__fentry__")));
	REFUSED("symbol __fentry__", link_code[0] = 0xe8;
		RELOC(1, R_X86_64_64, link_outside("__fentry__")));
}

static void thunks(void **state)
{
	struct linked *l;

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		link_begin();
		link_return_thunk = plain ? 0 : THUNK;
		link_code[10] = 0xe9;
		object_reloc(&link_h.o, link_text, 11, R_X86_64_PLT32,
			     link_outside("__x86_return_thunk"), -4);
		object_reloc(&link_h.o, link_text, 21, R_X86_64_PLT32,
			     link_outside("__x86_indirect_thunk_rax"), -4);
		l = link_good();
		if (plain)
			assert_memory_equal(l->image.areas[0].bytes + 10, "\xc3\xcc\xcc\xcc\xcc",
					    5);
		else
			assert_int_equal(link_word(l, 0, 11), (int32_t)(THUNK - TEXT - 15));
		assert_int_equal(link_word(l, 0, 21), (int32_t)(THUNK + 0x100 - TEXT - 25));
		link_close(l);
	}
	REFUSED("something else than a jump", link_return_thunk = 0;
		RELOC(11, R_X86_64_PLT32, link_outside("__x86_return_thunk")));
}

/* --- everything that is wrong -------------------------------------------------------------------
 */

static void all_blockers(void **state)
{
	struct linked *l;

	(void)state;
	link_begin();
	hotfix_function(&link_h, "none", link_func, 0);
	object_section(&link_h.o, "__ex_table", SHF_ALLOC, "somebyte", 8);
	RELOC(8, R_X86_64_64, link_outside("nothing"));
	RELOC(16, R_X86_64_64, link_outside("many"));
	RELOC(24, R_X86_64_GOTPCREL, link_func);
	RELOC(40, R_X86_64_64, link_outside("nothing2"));
	RELOC(48, R_X86_64_64, link_h.o.nsymbols - 1); /* the same: told once */
	l = link_it();
	assert_int_equal(l->rc, -ENOEXEC);
	assert_int_equal(l->b.n, 6);
	assert_null(l->link);
	link_close(l);
	vp_hotfix_link_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(areas),	cmocka_unit_test(sections),
		cmocka_unit_test(relocations),	cmocka_unit_test(refused_relocs),
		cmocka_unit_test(told_apart),	cmocka_unit_test(functions),
		cmocka_unit_test(entry_call),	cmocka_unit_test(thunks),
		cmocka_unit_test(all_blockers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
