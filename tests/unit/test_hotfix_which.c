/* SPDX-License-Identifier: Apache-2.0 */
/* Which symbol of a guest a hotfix means. */
#include <elf.h>

#include "unit.h"
#include "linux_build.h"
#include "hotfix/code.h"
#include "hotfix/which.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_hotfix_which w;

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){
		.layout = LG_6_1, .slide = 0x200000, .modules = true, .twins = true });
	return vp_linux_open(&g->target, NULL, &l, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

static void held(const struct vp_hotfix_name *want, int wanted, const char *text)
{
	struct vp_err err = { "" };
	int rc = vp_hotfix_which(l, want, &w, &err);

	if (rc != wanted || !strstr(err.text, text))
		fail_msg("%s: %d \"%s\", not %d \"%s\"", want->name, rc, err.text, wanted, text);
}

static void expect(enum vmpoke_which which, const char *name, const char *where, unsigned int nth,
		   int wanted, const char *text)
{
	const struct vp_hotfix_name want = { name, which, where, nth, NULL, NULL };

	held(&want, wanted, text);
}

static void only(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_ONLY, "filler_20", "", 0, 0, "");
	assert_int_equal(w.at.v, g->text + 320);
	assert_int_equal(w.nth, 0);
	expect(VMPOKE_WHICH_ONLY, "no_such", "", 0, -ENOENT, "no_such");
	expect(VMPOKE_WHICH_ONLY, "shared", "", 0, -EEXIST, "shared");
}

static void by_place(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_NTH, "shared", "", 1, 0, "");
	assert_int_equal(w.at.v, LG_MODULES + 0x180);
	assert_int_equal(w.nth, 1);
	expect(VMPOKE_WHICH_NTH, "shared", "", 2, 0, "");
	assert_int_equal(w.at.v, LG_BETA + 0x20);
	assert_int_equal(w.nth, 2);
	expect(VMPOKE_WHICH_NTH, "shared", "", 3, -ENOENT, "has 2 of that name, not 3");
}

static void of_a_module(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_MODULE, "shared", "alpha", 0, 0, "");
	assert_int_equal(w.at.v, LG_MODULES + 0x180);
	assert_string_equal(w.name, "alpha:shared");
	expect(VMPOKE_WHICH_MODULE, "shared", "gamma", 0, -ENOENT, "");
}

/* The symbol right before, or right behind; not one further on. */
static void beside(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_BESIDE, "filler_21", "filler_20", 0, 0, "");
	assert_int_equal(w.at.v, g->text + 336);
	assert_int_equal(w.nth, 1);
	expect(VMPOKE_WHICH_BESIDE, "filler_21", "filler_22", 0, 0, "");
	assert_int_equal(w.at.v, g->text + 336);
	expect(VMPOKE_WHICH_BESIDE, "filler_21", "filler_23", 0, -ENOENT, "none stands beside");
	expect(VMPOKE_WHICH_BESIDE, "shared", "filler_20", 0, -ENOENT, "none stands beside");
}

/* kallsyms has no files: never guessed. */
static void of_a_file(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_FILE, "shared", "kernel/a.c", 0, -EOPNOTSUPP, "source files");
}

/* The kernel has two local ones and a global one. */
static void global(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_ONLY, "twin", "", 0, -EEXIST, "twin");
	expect(VMPOKE_WHICH_GLOBAL, "twin", "", 0, 0, "");
	assert_int_equal(w.at.v, g->text + LG_FUNC(2));
	assert_int_equal(w.nth, 3);
	expect(VMPOKE_WHICH_GLOBAL, "linux_banner", "", 0, 0, "");
	assert_int_equal(w.nth, 0);
	expect(VMPOKE_WHICH_GLOBAL, "filler_20", "", 0, -ENOENT, "local, or a module's");
	expect(VMPOKE_WHICH_GLOBAL, "shared", "", 0, -ENOENT, "local, or a module's");
	expect(VMPOKE_WHICH_GLOBAL, "no_such", "", 0, -ENOENT, "unknown symbol");
}

/* Code that is the same for all, but for the number @imm: mov $imm,%esi; call; ret; nops. */
static uint8_t *put_code(unsigned int function, uint8_t imm)
{
	const uint8_t code[16] = { 0xbe, imm, 0,    0,	  0,	0xe8, 0,    0,
				   0,	 0,   0xc3, 0x90, 0x90, 0x90, 0x90, 0x90 };

	return memcpy(lg_image(g, LG_FUNC(function)), code, sizeof(code));
}

static void digest_of(unsigned int function, uint8_t *out)
{
	const struct vp_linux_function f = { .start = { g->text + LG_FUNC(function) }, .len = 16 };

	assert_int_equal(vp_hotfix_code_digest(l, &f, out, NULL), 0);
}

static void by_code(void **state)
{
	uint8_t digest[VP_SHA256_SIZE];
	struct vp_hotfix_name want = { "twin", VMPOKE_WHICH_CODE, "", 0, digest, NULL };

	(void)state;
	for (unsigned int i = 0; i < LG_TWINS; i++)
		put_code(i, (uint8_t)(7 + i));
	for (unsigned int i = 0; i < LG_TWINS; i++) {
		digest_of(i, digest);
		held(&want, 0, "");
		assert_int_equal(w.at.v, g->text + LG_FUNC(i));
		assert_int_equal(w.nth, i + 1);
		assert_string_equal(w.name, "twin");
	}
	put_code(2, 7);
	digest_of(0, digest);
	held(&want, -EEXIST, "2 of that name have the code");
	put_code(0, 8);
	held(&want, 0, "");
	put_code(2, 8);
	held(&want, -ESTALE, "none of the 3 of that name has the code");
	/* Where there is one only it is that one; whether it fits is asked later. */
	want.name = "filler_20";
	held(&want, 0, "");
	want.name = "shared"; /* of two modules, and not of the kernel */
	held(&want, -ENOENT, "shared");
	want.where = "alpha";
	held(&want, 0, "");
	assert_int_equal(w.at.v, LG_MODULES + 0x180);
	assert_string_equal(w.name, "alpha:shared");
}

/* The call in @from goes to @to. */
static void lead(unsigned int from, unsigned int to)
{
	lg_put(g, LG_FUNC(from) + 6, LG_FUNC(to) - LG_FUNC(from) - 10, 4);
}

static void by_use(void **state)
{
	struct vp_hotfix_use use = {
		.function = { "filler_20", VMPOKE_WHICH_ONLY, "", 0, NULL, NULL },
		.offset = 6,
		.type = R_X86_64_PLT32,
		.addend = -4,
	};
	const struct vp_hotfix_name want = { "twin", VMPOKE_WHICH_USED, "", 1, NULL, &use };

	(void)state;
	put_code(4, 7);
	digest_of(4, use.expected);
	for (unsigned int i = 0; i < LG_TWINS; i++) {
		lead(4, i);
		held(&want, 0, "");
		assert_int_equal(w.at.v, g->text + LG_FUNC(i));
		assert_int_equal(w.nth, i + 1);
	}
	lead(4, 5);
	held(&want, -ESTALE, "what filler_20 uses is none of the 3");
	use.offset = 13;
	held(&want, -EINVAL, "told by filler_20: its code ends before");
	use.offset = UINT64_MAX;
	held(&want, -EINVAL, "told by filler_20: its code ends before");
	use.offset = 6;
	put_code(4, 8);
	lead(4, 1);
	held(&want, -ESTALE, "told by filler_20: it has other code");
	use.function.name = "no_such";
	held(&want, -ESTALE, "told by no_such: unknown symbol");
}

/* An address, as a number of 4 bytes and of 8: a bit further on. */
static void by_address(void **state)
{
	struct vp_hotfix_use use = {
		.function = { "filler_20", VMPOKE_WHICH_ONLY, "", 0, NULL, NULL },
		.offset = 3,
		.type = R_X86_64_32S,
		.addend = 0x20,
	};
	const struct vp_hotfix_name want = { "twin", VMPOKE_WHICH_USED, "", 1, NULL, &use };

	(void)state;
	memset(lg_image(g, LG_FUNC(4)), 0x90, 16);
	memcpy(lg_image(g, LG_FUNC(4)), "\x48\xc7\xc7", 3); /* mov $imm32,%rdi */
	lg_put(g, LG_FUNC(4) + 3, g->text + LG_FUNC(1) + 0x20, 4);
	digest_of(4, use.expected);
	held(&want, 0, "");
	assert_int_equal(w.nth, 2);
	memset(lg_image(g, LG_FUNC(4)), 0x90, 16);
	memcpy(lg_image(g, LG_FUNC(4)), "\x48\xbf", 2); /* mov $imm64,%rdi */
	lg_put(g, LG_FUNC(4) + 2, g->text + LG_FUNC(0) + 0x20, 8);
	digest_of(4, use.expected);
	use.offset = 2;
	use.type = R_X86_64_64;
	held(&want, 0, "");
	assert_int_equal(w.nth, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(only),   TEST(by_place), TEST(of_a_module), TEST(beside),	   TEST(of_a_file),
		TEST(global), TEST(by_code),  TEST(by_use),	 TEST(by_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
