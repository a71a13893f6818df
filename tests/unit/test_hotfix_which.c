/* SPDX-License-Identifier: Apache-2.0 */
/* Which symbol of a guest a hotfix means. */
#include "unit.h"
#include "linux_build.h"
#include "hotfix/which.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_hotfix_which w;

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .slide = 0x200000, .modules = true });
	return vp_linux_open(&g->target, NULL, &l, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

static void expect(enum vmpoke_which which, const char *name, const char *where, unsigned int nth,
		   int wanted, const char *text)
{
	const struct vp_hotfix_name want = { name, which, where, nth };
	struct vp_err err = { "" };
	int rc = vp_hotfix_which(l, &want, &w, &err);

	if (rc != wanted || !strstr(err.text, text))
		fail_msg("%s: %d \"%s\", not %d \"%s\"", name, rc, err.text, wanted, text);
}

static void only(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_ONLY, "filler_16", "", 0, 0, "");
	assert_int_equal(w.at.v, g->text + 256);
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
	expect(VMPOKE_WHICH_BESIDE, "filler_17", "filler_16", 0, 0, "");
	assert_int_equal(w.at.v, g->text + 272);
	assert_int_equal(w.nth, 1);
	expect(VMPOKE_WHICH_BESIDE, "filler_17", "filler_18", 0, 0, "");
	assert_int_equal(w.at.v, g->text + 272);
	expect(VMPOKE_WHICH_BESIDE, "filler_17", "filler_19", 0, -ENOENT, "none stands beside");
	expect(VMPOKE_WHICH_BESIDE, "shared", "filler_16", 0, -ENOENT, "none stands beside");
}

/* kallsyms has no files: never guessed. */
static void of_a_file(void **state)
{
	(void)state;
	expect(VMPOKE_WHICH_FILE, "shared", "kernel/a.c", 0, -EOPNOTSUPP, "source files");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(only), TEST(by_place), TEST(of_a_module), TEST(beside), TEST(of_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
