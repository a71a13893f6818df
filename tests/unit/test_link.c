/* SPDX-License-Identifier: Apache-2.0 */
/* The linker on objects made by hand: what each section and relocation becomes, each refusal. */
#include "unit.h"
#include "hotfix_build.h"
#include "hotfix/link.h"
#include "x86/encode.h"

#define RX (SHF_ALLOC | SHF_EXECINSTR)
#define RW (SHF_ALLOC | SHF_WRITE)

#define TEXT   0xffffffffc0100000ull
#define RODATA 0xffffffffc0200000ull
#define DATA   0xffffffffc0300000ull

#define HELPER	  0xffffffff81000010ull
#define PV_OPS	  0xffffffff82000000ull
#define PV_TARGET 0xffffffff81000400ull
#define THUNK	  0xffffffff81002000ull

/* --- the world --------------------------------------------------------------------------- */

static uint64_t return_thunk;
static unsigned int features[2]; /* those that the CPU has */

static int symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	(void)arg;
	if (!strcmp(name->name, "helper")) {
		*at = VP_GVA(HELPER);
	} else if (!strcmp(name->name, "pv_ops")) {
		*at = VP_GVA(PV_OPS);
	} else if (!strcmp(name->name, "per_cpu")) {
		*at = VP_GVA(0x1c340);
	} else if (!strncmp(name->name, "old", 3)) {
		*at = VP_GVA(HELPER + 0x1000 + (unsigned char)name->name[3]);
	} else if (!strcmp(name->name, "many")) {
		if (name->which == VMPOKE_WHICH_ONLY)
			return vp_err_set(err, -EEXIST, "3 of that name");
		*at = VP_GVA(HELPER + 0x2000 + name->number);
	} else if (!strcmp(name->name, "broken")) {
		return vp_err_set(err, -EIO, "the guest cannot be read");
	} else {
		return vp_err_set(err, -ENOENT, "none");
	}
	return 0;
}

static int thunk(void *arg, const char *name, vp_gva *at, struct vp_err *err)
{
	(void)arg;
	if (!strcmp(name, "__x86_return_thunk"))
		*at = VP_GVA(return_thunk);
	else if (!strcmp(name, "__x86_indirect_thunk_rax"))
		*at = VP_GVA(THUNK + 0x100);
	else
		return vp_err_set(err, -ENOENT, "no such thunk");
	return 0;
}

static int cpu_has(void *arg, unsigned int bit, struct vp_err *err)
{
	(void)arg;
	if (bit > 1000)
		return vp_err_set(err, -ERANGE, "not a feature");
	return bit == features[0] || bit == features[1];
}

static int read_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	(void)arg;
	if (at.v != PV_OPS + 0x20)
		return vp_err_set(err, -EFAULT, "nothing there");
	*value = PV_TARGET;
	return 0;
}

static const struct vp_hotfix_world world = { NULL, symbol, thunk, cpu_has, read_pointer };

/* --- an object, linked --------------------------------------------------------------------- */

static struct hotfix_build h;
static uint8_t code[256]; /* of .text */
static unsigned int text, func;

/* 64 bytes of nops and the function in them. */
static void begin(void)
{
	hotfix_begin(&h);
	hotfix_good_info(&h);
	memset(code, 0x90, sizeof(code));
	text = object_section(&h.o, ".text", RX, code, 64);
	func = object_symbol(&h.o, "fixed", STT_FUNC, text, 0, 64);
	hotfix_function(&h, "old1", func, 0);
	return_thunk = THUNK;
	features[0] = features[1] = 999;
}

struct linked {
	struct vp_elf_object *elf;
	struct vp_hotfix_object *hotfix;
	struct vp_hotfix_link *link;
	struct vp_hotfix_image image;
	struct vp_blockers b;
	struct vp_err err;
	int rc;
};

static const vp_gva bases[] = { { TEXT }, { RODATA }, { DATA } };

static struct linked *link_it(void)
{
	static struct linked l;

	l = (struct linked){ 0 };
	hotfix_finish(&h);
	if (vp_elf_object_open(h.o.bytes, h.o.len, "FILE", &l.elf, &l.err) ||
	    vp_hotfix_object_open(l.elf, &l.hotfix, &l.b, &l.err))
		fail_msg("%s", l.err.text);
	l.rc = vp_hotfix_link_open(l.hotfix, &world, &l.link, &l.b, &l.err);
	if (!l.rc)
		l.rc = vp_hotfix_link_at(l.link, bases, &l.image, &l.b, &l.err);
	return &l;
}

static void close_it(struct linked *l)
{
	vp_hotfix_image_free(&l->image);
	vp_hotfix_link_close(l->link);
	vp_hotfix_object_close(l->hotfix);
	vp_elf_object_close(l->elf);
	vp_blockers_free(&l->b);
}

static struct linked *good(void)
{
	struct linked *l = link_it();

	if (l->rc)
		fail_msg("%s", l->err.text);
	assert_int_equal(l->b.added, 0);
	return l;
}

static void refused_as(const char *why)
{
	struct linked *l = link_it();

	assert_int_equal(l->rc, -ENOEXEC);
	assert_null(l->image.redirects);
	for (size_t i = 0; i < vp_blockers_kept(&l->b); i++)
		if (strstr(l->b.list[i].text, why)) {
			close_it(l);
			return;
		}
	fail_msg("\"%s\" does not say \"%s\"", l->err.text, why);
}

static int32_t word(const struct linked *l, enum vp_hotfix_area area, size_t at)
{
	int32_t v;

	memcpy(&v, l->image.areas[area].bytes + at, sizeof(v));
	return v;
}

static unsigned int outside(const char *name)
{
	return object_symbol(&h.o, name, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

/* --- areas ---------------------------------------------------------------------------------- */

static void areas(void **state)
{
	unsigned int strings, numbers, zeroes;
	struct linked *l;

	(void)state;
	begin();
	strings = object_section(&h.o, ".rodata.str1.1", SHF_ALLOC, "strings", 8);
	numbers = object_section(&h.o, ".data", RW, "numbers", 8);
	zeroes = object_section(&h.o, ".bss", RW, NULL, 5000);
	h.o.sections[zeroes].align = 4096;
	object_section(&h.o, ".text.unlikely", RX, "\xc3", 1);
	object_section(&h.o, ".comment", 0, "a compiler", 10);
	object_section(&h.o, ".init.text", RX, "", 0); /* empty: nothing is refused */
	object_reloc(&h.o, numbers, 0, R_X86_64_64,
		     object_symbol(&h.o, "strings", STT_OBJECT, strings, 0, 8), 3);
	object_reloc(&h.o, text, 8, R_X86_64_32S,
		     object_symbol(&h.o, "zeroes", STT_OBJECT, zeroes, 8, 8), 0);
	l = good();
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
	assert_int_equal(word(l, VP_AREA_TEXT, 8), (int32_t)(DATA + 4096 + 8));
	assert_int_equal(l->image.nredirects, 1);
	assert_int_equal(l->image.redirects[0].replacement.v, TEXT);
	assert_int_equal(l->image.redirects[0].old.v, HELPER + 0x1000 + '1');
	close_it(l);
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
	begin();
	for (size_t i = 0; i < sizeof(dropped) / sizeof(*dropped); i++)
		object_section(&h.o, dropped[i], SHF_ALLOC, "somebyte", 8);
	close_it(good());
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		unsigned int s;
		char why[64];

		begin();
		s = object_section(&h.o, refused[i], SHF_ALLOC, "somebyte", 8);
		object_reloc(&h.o, s, 0, R_X86_64_PC32, func, 12);
		snprintf(why, sizeof(why), "section %s of fixed: ", refused[i]);
		refused_as(why);
	}
	begin();
	h.o.sections[object_section(&h.o, ".rodata", SHF_ALLOC, "x", 1)].type = 0x6fff4700;
	refused_as("type is unknown");
	begin();
	object_reloc(&h.o, text, 8, R_X86_64_PC32,
		     object_symbol(&h.o, "table", STT_OBJECT,
				   object_section(&h.o, ".eh_frame", SHF_ALLOC, "somebyte", 8), 0,
				   8),
		     0);
	refused_as(".text+0x8 (in fixed) refers to section .eh_frame, which is not taken");
}

/* --- relocations and symbols ------------------------------------------------------------------ */

static void relocations(void **state)
{
	struct linked *l;
	unsigned int helper;

	(void)state;
	begin();
	helper = outside("helper");
	object_reloc(&h.o, text, 0, R_X86_64_PLT32, helper, -4);
	object_reloc(&h.o, text, 4, R_X86_64_PC32, helper, 12);
	object_reloc(&h.o, text, 8, R_X86_64_32S, helper, 0);
	object_reloc(&h.o, text, 12, R_X86_64_64, helper, 1);
	object_reloc(&h.o, text, 20, R_X86_64_PC64, helper, 0);
	object_reloc(&h.o, text, 28, R_X86_64_PC32, outside("per_cpu"), -4);
	object_reloc(&h.o, text, 32, R_X86_64_32, outside("per_cpu"), 8);
	object_reloc(&h.o, text, 36, R_X86_64_NONE, 0, 0);
	object_reloc(&h.o, text, 40, R_X86_64_32, object_symbol(&h.o, "abs", 0, SHN_ABS, 7, 0), 1);
	object_reloc(&h.o, text, 44, R_X86_64_32, 0, 5);
	object_reloc(&h.o, text, 48, R_X86_64_PC32, func, -4); /* the edge of the section: */
	object_reloc(&h.o, text, 60, R_X86_64_PC32, func, -4);
	l = good();
	assert_int_equal(word(l, 0, 0), (int32_t)(HELPER - 4 - TEXT));
	assert_int_equal(word(l, 0, 4), (int32_t)(HELPER + 12 - TEXT - 4));
	assert_int_equal(word(l, 0, 8), (int32_t)HELPER);
	assert_memory_equal(l->image.areas[0].bytes + 12, &(uint64_t){ HELPER + 1 }, 8);
	assert_memory_equal(l->image.areas[0].bytes + 20, &(uint64_t){ HELPER - TEXT - 20 }, 8);
	assert_int_equal(word(l, 0, 28), (int32_t)(0x1c340 - 4 - (TEXT + 28)));
	assert_int_equal(word(l, 0, 32), 0x1c348);
	assert_int_equal(word(l, 0, 36), (int32_t)0x90909090);
	assert_int_equal(word(l, 0, 40), 8);
	assert_int_equal(word(l, 0, 44), 5);
	assert_int_equal(word(l, 0, 48), -52);
	assert_int_equal(word(l, 0, 60), -64);
	close_it(l);
}

#define REFUSED(why, more)       \
	do {                     \
		begin();         \
		more;            \
		refused_as(why); \
	} while (0)

#define RELOC(offset, type, sym) object_reloc(&h.o, text, offset, type, sym, 0)

static void refused_relocs(void **state)
{
	(void)state;
	REFUSED(".text+0x8 (in fixed): relocation R_X86_64_REX_GOTPCRELX (42) is not supported",
		RELOC(8, R_X86_64_REX_GOTPCRELX, outside("helper")));
	REFUSED("R_X86_64_GOTPCREL (9)", RELOC(8, R_X86_64_GOTPCREL, outside("helper")));
	REFUSED("R_X86_64_TPOFF32", RELOC(8, R_X86_64_TPOFF32, outside("helper")));
	REFUSED("unknown (200)", RELOC(8, 200, outside("helper")));
	REFUSED("does not end inside", RELOC(61, R_X86_64_PC32, func));
	REFUSED("does not end inside", RELOC(57, R_X86_64_64, func));
	REFUSED("two relocations of the same bytes", RELOC(11, R_X86_64_PC32, func);
		RELOC(8, R_X86_64_PC32, func));
	REFUSED("R_X86_64_32 to helper (0xffffffff81000010) is out of range",
		RELOC(8, R_X86_64_32, outside("helper")));
	REFUSED("out of range",
		object_reloc(&h.o, text, 8, R_X86_64_PC32, outside("helper"), 1ll << 40));
	REFUSED("symbol nothing: the guest's kernel has none: none",
		RELOC(8, R_X86_64_64, outside("nothing")));
	REFUSED("symbol many is ambiguous: 3 of that name", RELOC(8, R_X86_64_64, outside("many")));
	REFUSED("symbol broken: the guest cannot be read",
		RELOC(8, R_X86_64_64, outside("broken")));
	REFUSED("has no name", RELOC(8, R_X86_64_64, outside("")));
	REFUSED("common",
		RELOC(8, R_X86_64_64, object_symbol(&h.o, "c", STT_OBJECT, SHN_COMMON, 4, 4)));
	REFUSED("no such thunk", RELOC(8, R_X86_64_PLT32, outside("__x86_indirect_thunk_rbx")));
}

static void told_apart(void **state)
{
	struct linked *l;

	(void)state;
	begin();
	hotfix_symbol(&h, "many", VMPOKE_WHICH_NTH, NULL, 3);
	RELOC(8, R_X86_64_64, outside("many"));
	l = good();
	assert_memory_equal(l->image.areas[0].bytes + 8, &(uint64_t){ HELPER + 0x2003 }, 8);
	close_it(l);
}

static void functions(void **state)
{
	(void)state;
	REFUSED("function none: the guest's kernel has none", hotfix_function(&h, "none", func, 0));
	REFUSED("function many is ambiguous", hotfix_function(&h, "many", func, 0));
	REFUSED("functions old1 and old1x are the same one", hotfix_function(&h, "old1x", func, 0));
	REFUSED("its replacement is in section .init.text, which is not taken",
		hotfix_function(&h, "old2",
				object_symbol(&h.o, "init", STT_FUNC,
					      object_section(&h.o, ".init.text", RX, "\xc3", 1), 0,
					      1),
				0));
	REFUSED("function to call nothing: the guest's kernel has none",
		hotfix_call(&h, 1, outside("nothing")));
}

/* --- calls that become something else ------------------------------------------------------------
 */

static void entry_call(void **state)
{
	struct linked *l;
	uint8_t nop[5];

	(void)state;
	begin();
	code[0] = 0xe8;
	RELOC(1, R_X86_64_PLT32, outside("__fentry__"));
	l = good();
	vp_encode_nop(nop, 5);
	assert_memory_equal(l->image.areas[0].bytes, nop, 5);
	close_it(l);
	/* Not a call: the symbol is asked for, and this world has none. */
	REFUSED("symbol __fentry__", RELOC(1, R_X86_64_PLT32, outside("__fentry__")));
	REFUSED("symbol __fentry__", code[0] = 0xe8; RELOC(1, R_X86_64_64, outside("__fentry__")));
}

static void thunks(void **state)
{
	struct linked *l;

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		begin();
		return_thunk = plain ? 0 : THUNK;
		code[10] = 0xe9;
		object_reloc(&h.o, text, 11, R_X86_64_PLT32, outside("__x86_return_thunk"), -4);
		object_reloc(&h.o, text, 21, R_X86_64_PLT32, outside("__x86_indirect_thunk_rax"),
			     -4);
		l = good();
		if (plain)
			assert_memory_equal(l->image.areas[0].bytes + 10, "\xc3\xcc\xcc\xcc\xcc",
					    5);
		else
			assert_int_equal(word(l, 0, 11), (int32_t)(THUNK - TEXT - 15));
		assert_int_equal(word(l, 0, 21), (int32_t)(THUNK + 0x100 - TEXT - 25));
		close_it(l);
	}
	REFUSED("something else than a jump", return_thunk = 0;
		RELOC(11, R_X86_64_PLT32, outside("__x86_return_thunk")));
}

/* --- everything that is wrong -------------------------------------------------------------------
 */

static void all_blockers(void **state)
{
	struct linked *l;

	(void)state;
	begin();
	hotfix_function(&h, "none", func, 0);
	object_section(&h.o, "__ex_table", SHF_ALLOC, "somebyte", 8);
	RELOC(8, R_X86_64_64, outside("nothing"));
	RELOC(16, R_X86_64_64, outside("many"));
	RELOC(24, R_X86_64_GOTPCREL, func);
	RELOC(40, R_X86_64_64, outside("nothing2"));
	RELOC(48, R_X86_64_64, h.o.nsymbols - 1); /* the same: told once */
	l = link_it();
	assert_int_equal(l->rc, -ENOEXEC);
	assert_int_equal(l->b.n, 6);
	assert_null(l->link);
	close_it(l);
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
