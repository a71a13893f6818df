/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "elf_build.h"

#include <vmpoke/symbol.h>

#include "elf/symtab.h"

static const struct elf_symbol syms[] = {
	{ "outer", 0x1000, 0x100, STT_FUNC, SEC_TEXT },
	{ "inner", 0x1010, 0x10, STT_FUNC, SEC_TEXT },
	{ "label", 0x1040, 0, STT_NOTYPE, SEC_TEXT },
	{ "object", 0x2000, 8, STT_OBJECT, SEC_TEXT },
	{ "twice", 0x3000, 4, STT_FUNC, SEC_TEXT },
	{ "twice", 0x3010, 4, STT_FUNC, SEC_TEXT },
	{ "same", 0x3020, 4, STT_FUNC, SEC_TEXT },
	{ "same", 0x3020, 4, STT_FUNC, SEC_TEXT },
	{ "top", -16ull, 64, STT_FUNC, SEC_TEXT },
	{ "last", -8ull, 0, STT_NOTYPE, SEC_TEXT },
	{ "dotted.isra.0", 0x4000, 0, STT_FUNC, SEC_TEXT },
	/* none of these */
	{ "file.c", 0x1018, 0, STT_FILE, SHN_ABS },
	{ "section", 0x1018, 0, STT_SECTION, SEC_TEXT },
	{ "undefined", 0x1018, 0, STT_NOTYPE, SHN_UNDEF },
	{ "absolute", 0x1018, 0, STT_NOTYPE, SHN_ABS },
	{ "common", 0x1018, 0, STT_OBJECT, SHN_COMMON },
	{ "tls", 0x1018, 0, STT_TLS, SEC_TEXT },
	{ "", 0x1018, 0, STT_FUNC, SEC_TEXT },
};

#define WANTED 11

static struct elf_image img;
static struct vp_symtab *tab;

static int setup(void **state)
{
	(void)state;
	elf_build(&img, syms, sizeof(syms) / sizeof(syms[0]));
	return vp_symtab_load(img.bytes, img.len, "FILE", &tab, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_symtab_free(tab);
	return 0;
}

static void find(void **state)
{
	struct vp_err err = { 0 };
	vp_gva a = VP_GVA(7);

	(void)state;
	assert_int_equal(vp_symtab_count(tab), WANTED);
	for (size_t i = 0; i < WANTED; i++) {
		if (!strcmp(syms[i].name, "twice"))
			continue;
		assert_int_equal(vp_symtab_find(tab, syms[i].name, &a, &err), 0);
		assert_int_equal(a.v, syms[i].value);
	}
	a = VP_GVA(7);
	for (size_t i = WANTED; i < sizeof(syms) / sizeof(syms[0]); i++)
		assert_int_equal(vp_symtab_find(tab, syms[i].name, &a, &err), -ENOENT);
	assert_int_equal(vp_symtab_find(tab, "zzz", &a, &err), -ENOENT);
	assert_string_equal(err.text, "unknown symbol \"zzz\"");
	assert_int_equal(vp_symtab_find(tab, "inne", &a, &err), -ENOENT);
	assert_int_equal(vp_symtab_find(tab, "twice", &a, &err), -EEXIST);
	assert_non_null(strstr(err.text, "0x3000 and at 0x3010"));
	assert_int_equal(a.v, 7);
}

/* By the size of what the address is named by; else the next symbol. */
static void ends(void **state)
{
	static const struct {
		uint64_t addr, end;
	} rows[] = {
		{ 0xfff, 0 },	    { 0x1000, 0x1100 }, { 0x1010, 0x1020 }, /* inner */
		{ 0x1020, 0x1100 },			/* behind it, so outer again */
		{ 0x1040, 0x1100 },			/* a label inside of it */
		{ 0x10ff, 0x1100 }, { 0x1100, 0x2000 }, /* behind its end: the next one */
		{ 0x3000, 0x3004 }, { 0x4000, -16ull }, /* no size is known */
		{ -16ull, -8ull },			/* its size would wrap */
		{ -8ull, 0 },
	};
	vp_gva end;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool known = vp_symtab_end(tab, VP_GVA(rows[i].addr), &end);

		assert_int_equal(known, rows[i].end != 0);
		if (known)
			assert_int_equal(end.v, rows[i].end);
	}
}

static void nearest(void **state)
{
	static const struct {
		uint64_t addr;
		const char *name;
		uint64_t offset;
	} rows[] = {
		{ 0xfff, NULL, 0 },
		{ 0x1000, "outer", 0 },
		{ 0x100f, "outer", 0xf },
		{ 0x1010, "inner", 0 },
		{ 0x101f, "inner", 0xf },
		{ 0x1020, "outer", 0x20 }, /* inner is nearer, but ends before */
		{ 0x1041, "outer", 0x41 }, /* so is label, which covers nothing */
		{ 0x10ff, "outer", 0xff },
		{ 0x1100, "label", 0xc0 }, /* nothing covers: the nearest below */
		{ 0x2007, "object", 7 },
		{ 0x2008, "object", 8 },
		{ 0x3020, "same", 0 },
		{ 0x9000, "dotted.isra.0", 0x5000 },
		{ -16ull, "top", 0 },
		{ -1ull, "top", 15 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t offset = 0;
		const char *name = vp_symtab_nearest(tab, VP_GVA(rows[i].addr), &offset);

		if (!rows[i].name) {
			assert_null(name);
			continue;
		}
		assert_string_equal(name, rows[i].name);
		assert_int_equal(offset, rows[i].offset);
		assert_ptr_equal(vp_symtab_nearest(tab, VP_GVA(rows[i].addr), NULL), name);
	}
}

static void parse(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t addr;
	} rows[] = {
		{ "0x1234", 0, 0x1234 },
		{ "4660", 0, 0x1234 },
		{ "0", 0, 0 },
		{ "010", -EINVAL, 0 },
		{ "00", -EINVAL, 0 },
		{ "12ab", -EINVAL, 0 },
		{ "ffffffff81000000", 0, 0xffffffff81000000 },
		{ "0000000000001010", 0, 0x1010 },
		{ "1234567890123456", 0, 0x1234567890123456 },
		{ "ffffffff8100000", -ENOENT, 0 },
		{ "inner+0000000000000010", 0, 0x1020 },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "0x12zz", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "12 ", -EINVAL, 0 },
		{ "0x10+4", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "+4", -EINVAL, 0 },
		{ "-4", -EINVAL, 0 },
		{ "inner", 0, 0x1010 },
		{ "inner+0x10", 0, 0x1020 },
		{ "inner+16", 0, 0x1020 },
		{ "inner-4", 0, 0x100c },
		{ "inner-0x1010", 0, 0 },
		{ "inner-0x1011", -ERANGE, 0 },
		{ "top+15", 0, UINT64_MAX },
		{ "top+16", -ERANGE, 0 },
		{ "inner+", -EINVAL, 0 },
		{ "inner+x", -EINVAL, 0 },
		{ "inner+-4", -EINVAL, 0 },
		{ "inner+ff", -EINVAL, 0 },
		{ "inner+ 4", -EINVAL, 0 },
		{ "inner+4+4", -EINVAL, 0 },
		{ "inner+0x10000000000000000", -ERANGE, 0 },
		{ " inner", -ENOENT, 0 },
		{ "nobody", -ENOENT, 0 },
		{ "nobody+4", -ENOENT, 0 },
		{ "twice+4", -EEXIST, 0 },
		{ "dotted.isra.0+1", 0, 0x4001 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vp_err err = { 0 };
		vp_gva a = VP_GVA(0xdead);
		int rc = vp_symtab_parse(tab, rows[i].text, &a, &err);

		if (rc != rows[i].rc)
			fail_msg("\"%s\": %d, %s", rows[i].text, rc, err.text);
		assert_int_equal(a.v, rc ? 0xdead : rows[i].addr);
		assert_int_equal(!err.text[0], !rc);
	}
}

/* What was meant: what the compiler made of the name, or the nearest one; aliases, too. */
static void meant(void **state)
{
	static const struct vp_symbol some[] = { { "vfs_read", VP_GVA(0x10) },
						 { "tcp_v4_rcv.part.0", VP_GVA(0x20) },
						 { "tcp_v4_rcb", VP_GVA(0x30) } };
	static const struct vp_symbol more[] = { { "do_idle", VP_GVA(0x40) } };
	static const struct {
		const char *text, *best;
	} rows[] = {
		{ "vfs_raed", "\"vfs_read\"?" },
		{ "tcp_v4_rcv+4", "\"tcp_v4_rcv.part.0\"?" },
		{ "do_idel", "\"do_idle\"?" },
		{ "frobnicate", NULL },
	};
	struct vp_symtab *a, *b, *t;
	vp_gva addr;

	(void)state;
	assert_int_equal(vp_symtab_make(some, 3, &a, NULL), 0);
	assert_int_equal(vp_symtab_make(NULL, 0, &b, NULL), 0);
	assert_int_equal(vp_symtab_make(more, 1, &t, NULL), 0);
	assert_int_equal(vp_symtab_merge(a, b, t, &t, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vp_err err = { 0 };

		assert_int_equal(vp_symtab_parse(t, rows[i].text, &addr, &err), -ENOENT);
		if (rows[i].best && !strstr(err.text, rows[i].best))
			fail_msg("'%s' lacks '%s'", err.text, rows[i].best);
		if (!rows[i].best)
			assert_null(strstr(err.text, "did you mean"));
	}
	vp_symtab_free(a);
	vp_symtab_free(b);
	vp_symtab_free(t);
}

static void parse_without_table(void **state)
{
	struct vp_err err = { 0 };
	vp_gva a;

	(void)state;
	assert_int_equal(vp_symtab_parse(NULL, "0x10", &a, &err), 0);
	assert_int_equal(a.v, 0x10);
	assert_int_equal(vp_symtab_parse(NULL, "inner", &a, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no symbols"));
}

static void no_symbols(void **state)
{
	struct vp_symtab *empty;
	struct elf_image none;
	vp_gva a;

	(void)state;
	elf_build(&none, NULL, 0);
	assert_int_equal(vp_symtab_load(none.bytes, none.len, "FILE", &empty, NULL), 0);
	assert_int_equal(vp_symtab_count(empty), 0);
	assert_null(vp_symtab_nearest(empty, VP_GVA(~0ull), NULL));
	assert_int_equal(vp_symtab_find(empty, "inner", &a, NULL), -ENOENT);
	vp_symtab_free(empty);
	vp_symtab_free(NULL);
}

static void bad_image(void **state)
{
	struct vp_symtab *bad = NULL;
	struct vp_err err;

	(void)state;
	assert_int_equal(vp_symtab_load("hello", 5, "FILE", &bad, &err), -ENOEXEC);
	assert_string_equal(err.text, "FILE: not an ELF file");
	assert_int_equal(vp_symtab_load(img.bytes, img.len - 1, "FILE", &bad, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "truncated ELF"));
	elf_shdr(&img, SEC_SYMTAB)->sh_link = 99;
	assert_int_equal(vp_symtab_load(img.bytes, img.len, "FILE", &bad, &err), -ENOEXEC);
	assert_null(bad);
}

/* Many symbols that share one long name would take the square of the file's size. */
static void shared_long_name(void **state)
{
	static struct elf_symbol many[200];
	static char name[3000];
	struct elf_image big;
	struct vp_symtab *bad;
	struct vp_err err;
	Elf64_Sym *sym;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	for (size_t i = 0; i < 200; i++)
		many[i] = (struct elf_symbol){ i ? "" : name, i, 0, STT_FUNC, SEC_TEXT };
	elf_build(&big, many, 200);
	sym = (Elf64_Sym *)(void *)(big.bytes + big.symtab);
	for (size_t i = 1; i <= 200; i++)
		sym[i].st_name = 1;
	assert_int_equal(vp_symtab_load(big.bytes, big.len, "FILE", &bad, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "longer than the file"));
}

/* 300 symbols in no order: the indexes agree with a linear search. */
static void against_linear_search(void **state)
{
	static struct elf_symbol many[300];
	static char names[300][8];
	struct vp_symtab *t;
	struct elf_image big;
	uint64_t seed = 0xda942042e4dd58b5;

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "s%zu", i);
		many[i] = (struct elf_symbol){ names[i], unit_random(&seed) % 4096,
					       unit_random(&seed) % 32, STT_FUNC, SEC_TEXT };
	}
	elf_build(&big, many, 300);
	assert_int_equal(vp_symtab_load(big.bytes, big.len, "FILE", &t, NULL), 0);
	for (uint64_t addr = 0; addr < 4200; addr++) {
		uint64_t offset = 0, below = UINT64_MAX, covers = UINT64_MAX;
		const char *name = vp_symtab_nearest(t, VP_GVA(addr), &offset);

		for (size_t i = 0; i < 300; i++) {
			uint64_t d = addr - many[i].value;

			if (many[i].value > addr)
				continue;
			below = d < below ? d : below;
			covers = d < many[i].size && d < covers ? d : covers;
		}
		assert_int_equal(!name, below == UINT64_MAX);
		if (name)
			assert_int_equal(offset, covers != UINT64_MAX ? covers : below);
	}
	for (size_t i = 0; i < 300; i++) {
		vp_gva a;

		assert_int_equal(vp_symtab_find(t, names[i], &a, NULL), 0);
		assert_int_equal(a.v, many[i].value);
	}
	vp_symtab_free(t);
}

/* Made by hand: in no order, with names and addresses that several have; the names are copied. */
static void made(void **state)
{
	char late[] = "late", early[] = "early", both[] = "both";
	const struct vp_symbol given[] = { { late, VP_GVA(0x3000) },	{ early, VP_GVA(0x1000) },
					   { both, VP_GVA(0x2000) },	{ both, VP_GVA(0x2800) },
					   { "alias", VP_GVA(0x1000) }, { "same", VP_GVA(0x10) },
					   { "same", VP_GVA(0x10) } };
	struct vp_symtab *t = NULL;
	struct vp_err err = { 0 };
	uint64_t offset = 0;
	vp_gva a;

	(void)state;
	assert_int_equal(vp_symtab_make(given, 7, &t, &err), 0);
	memset(late, 'x', 4);
	memset(early, 'x', 5);
	assert_int_equal(vp_symtab_count(t), 7);
	assert_int_equal(vp_symtab_find(t, "late", &a, &err), 0);
	assert_int_equal(a.v, 0x3000);
	assert_int_equal(vp_symtab_find(t, "alias", &a, &err), 0);
	assert_int_equal(a.v, 0x1000);
	assert_int_equal(vp_symtab_find(t, "same", &a, &err), 0);
	assert_int_equal(vp_symtab_find(t, "both", &a, &err), -EEXIST);
	assert_string_equal(vp_symtab_nearest(t, VP_GVA(0x2fff), &offset), "both");
	assert_int_equal(offset, 0x7ff);
	assert_null(vp_symtab_nearest(t, VP_GVA(0xf), &offset));
	vp_symtab_free(t);
	assert_int_equal(vp_symtab_make(NULL, 0, &t, &err), 0);
	assert_int_equal(vp_symtab_count(t), 0);
	assert_null(vp_symtab_nearest(t, VP_GVA(1), NULL));
	vp_symtab_free(t);
}

/* Of several with one name the global one, if it is one; also when tables are put together. */
static void global(void **state)
{
	static const struct vp_symbol some[] = {
		{ "path", VP_GVA(0x30) },  { "path", VP_GVA(0x10) }, { "two", VP_GVA(0x40) },
		{ "two", VP_GVA(0x50) },   { "own", VP_GVA(0x60) },  { "alias", VP_GVA(0x70) },
		{ "alias", VP_GVA(0x70) },
	};
	static const bool is[] = { false, true, true, true, false, true, true };
	static const struct vp_symbol more[] = { { "path", VP_GVA(0x100) } };
	struct vp_symtab *a, *b, *both, *aliases;
	vp_gva at;

	(void)state;
	assert_int_equal(vp_symtab_make_global(some, is, 7, &a, NULL), 0);
	assert_int_equal(vp_symtab_make(more, 1, &b, NULL), 0);
	assert_int_equal(vp_symtab_make_global(more, is + 1, 1, &aliases, NULL), 0);
	assert_int_equal(vp_symtab_merge(a, b, aliases, &both, NULL), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const struct vp_symtab *t = i ? both : a;

		assert_int_equal(vp_symtab_find(t, "path", &at, NULL), -EEXIST);
		assert_int_equal(vp_symtab_find_global(t, "path", &at, NULL), 0);
		assert_int_equal(at.v, 0x10);
		assert_int_equal(vp_symtab_find_global(t, "two", &at, NULL), -EEXIST);
		assert_int_equal(vp_symtab_find_global(t, "own", &at, NULL), -ENOENT);
		assert_int_equal(vp_symtab_find_global(t, "none", &at, NULL), -ENOENT);
		assert_int_equal(vp_symtab_find_global(t, "alias", &at, NULL), 0);
		assert_int_equal(at.v, 0x70);
	}
	assert_int_equal(vp_symtab_find_global(b, "path", &at, NULL), -ENOENT);
	vp_symtab_free(a);
	vp_symtab_free(b);
	vp_symtab_free(both);
}

/* Two tables in one: as if it had been made of all symbols at once; aliases are only found. */
static void merged(void **state)
{
	const struct vp_symbol all[] = {
		{ "c", VP_GVA(0x30) }, { "a", VP_GVA(0x10) },	  { "twice", VP_GVA(0x20) },
		{ "e", VP_GVA(0x50) }, { "twice", VP_GVA(0x8) },  { "b", VP_GVA(0x28) },
		{ "c", VP_GVA(0x30) }, { "last", VP_GVA(~0ull) },
	};
	const struct vp_symbol more[] = { { "m:b", VP_GVA(0x28) } };

	(void)state;
	for (size_t n = 0; n <= 8; n++) {
		struct vp_symtab *a, *b, *aliases, *both, *one;
		vp_gva got, want;

		assert_int_equal(vp_symtab_make(all, n, &a, NULL), 0);
		assert_int_equal(vp_symtab_make(all + n, 8 - n, &b, NULL), 0);
		assert_int_equal(vp_symtab_make(all, 8, &one, NULL), 0);
		assert_int_equal(vp_symtab_make(more, 1, &aliases, NULL), 0);
		assert_int_equal(vp_symtab_merge(a, b, aliases, &both, NULL), 0);
		vp_symtab_free(a);
		vp_symtab_free(b);
		assert_int_equal(vp_symtab_count(both), 8);
		for (size_t i = 0; i < 8; i++) {
			const char *name = all[i].name;
			int rc = vp_symtab_find(one, name, &want, NULL);

			assert_int_equal(vp_symtab_find(both, name, &got, NULL), rc);
			if (!rc)
				assert_int_equal(got.v, want.v);
		}
		for (uint64_t at = 0; at < 0x60; at++) {
			const char *near = vp_symtab_nearest(one, VP_GVA(at), NULL);
			const char *now = vp_symtab_nearest(both, VP_GVA(at), NULL);

			assert_int_equal(!near, !now);
			if (near)
				assert_string_equal(near, now);
		}
		assert_int_equal(vp_symtab_find(both, "m:b", &got, NULL), 0);
		assert_int_equal(got.v, 0x28);
		assert_int_equal(vp_symtab_find(both, "m:c", &got, NULL), -ENOENT);
		vp_symtab_free(both);
		vp_symtab_free(one);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(find, setup, teardown),
		cmocka_unit_test_setup_teardown(nearest, setup, teardown),
		cmocka_unit_test_setup_teardown(ends, setup, teardown),
		cmocka_unit_test_setup_teardown(parse, setup, teardown),
		cmocka_unit_test(meant),
		cmocka_unit_test(parse_without_table),
		cmocka_unit_test(no_symbols),
		cmocka_unit_test_setup_teardown(bad_image, setup, teardown),
		cmocka_unit_test(shared_long_name),
		cmocka_unit_test(against_linear_search),
		cmocka_unit_test(made),
		cmocka_unit_test(global),
		cmocka_unit_test(merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
