/* SPDX-License-Identifier: Apache-2.0 */
/* Hotfixes that a guest's memory tells of: how they stand, in which order, and what is no label. */
#include "unit.h"
#include "hotfix/found.h"
#include "linux_hotfix.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_hotfix_found *found;
static size_t n;
static vp_gva *damaged;
static size_t ndamaged;
static struct vp_err err;

static const unsigned int one_two[] = { 1, 2 };

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .slide = 0x200000, .modules = true });
	return vp_linux_open(&g->target, NULL, &l, NULL);
}

static void forget(void)
{
	vp_hotfix_found_free(found, n);
	free(damaged);
	found = NULL;
	damaged = NULL;
	n = ndamaged = 0;
}

static int teardown(void **state)
{
	(void)state;
	forget();
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

static void look(size_t wanted)
{
	forget();
	assert_int_equal(vp_hotfix_look(l, &found, &n, &damaged, &ndamaged, &err), 0);
	assert_int_equal(n, wanted);
}

static void expect(size_t i, const char *name, enum vp_hotfix_stands stands, bool covered)
{
	assert_string_equal(found[i].label->name, name);
	assert_string_equal(vp_hotfix_stands_name(found[i].stands), vp_hotfix_stands_name(stands));
	assert_int_equal(found[i].covered, covered);
}

static void leads(size_t i, size_t function, enum vp_hotfix_leads wanted)
{
	assert_string_equal(vp_hotfix_leads_name(found[i].entries[function].leads),
			    vp_hotfix_leads_name(wanted));
}

static void nothing(void **state)
{
	(void)state;
	look(0);
	assert_int_equal(ndamaged, 0);
}

static void one(void **state)
{
	(void)state;
	lg_put_hotfix(g, 1, "fix", 1000, one_two, 2);
	look(1);
	expect(0, "fix", VP_HOTFIX_UNUSED, false);
	leads(0, 0, VP_LEADS_BEFORE);
	assert_int_equal(found[0].at.v, LG_HOTFIX(1));
	assert_true(found[0].whole);
	lg_redirect(g, 1, 1, 0);
	look(1);
	expect(0, "fix", VP_HOTFIX_MIXED, false);
	leads(0, 0, VP_LEADS_HERE);
	leads(0, 1, VP_LEADS_BEFORE);
	lg_redirect(g, 2, 1, 1);
	look(1);
	expect(0, "fix", VP_HOTFIX_APPLIED, false);
	assert_memory_equal(found[0].entries[1].now, lg_image(g, LG_ENTRY(2)), 5);
	assert_null(found[0].entries[1].over);
	*lg_image(g, LG_ENTRY(2)) = 0xcc; /* a kprobe */
	look(1);
	expect(0, "fix", VP_HOTFIX_MIXED, false);
	leads(0, 1, VP_LEADS_OTHER);
	lg_redirect(g, 2, 1, 2); /* into it, but to no replacement of that function */
	look(1);
	leads(0, 1, VP_LEADS_OTHER);
}

/* One that replaces a function of the other: what it found there tells the order. */
static void over(void **state)
{
	static const unsigned int two_three[] = { 2, 3 };

	(void)state;
	lg_put_hotfix(g, 1, "below", 2000, one_two, 2);
	lg_redirect(g, 1, 1, 0);
	lg_redirect(g, 2, 1, 1);
	lg_put_hotfix(g, 0, "above", 1000, two_three, 2); /* of a host whose clock was wrong */
	look(2);
	expect(0, "below", VP_HOTFIX_APPLIED, false);
	expect(1, "above", VP_HOTFIX_UNUSED, false);
	leads(1, 0, VP_LEADS_BEFORE);
	lg_redirect(g, 2, 0, 0);
	lg_redirect(g, 3, 0, 1);
	look(2);
	expect(0, "below", VP_HOTFIX_APPLIED, true);
	leads(0, 0, VP_LEADS_HERE);
	leads(0, 1, VP_LEADS_OVER);
	assert_ptr_equal(found[0].entries[1].over, found[1].label);
	assert_null(found[0].entries[0].over);
	expect(1, "above", VP_HOTFIX_APPLIED, false);
}

static void by_time(void **state)
{
	static const unsigned int other[] = { 4 };

	(void)state;
	lg_put_hotfix(g, 0, "second", 2000, one_two, 2);
	lg_put_hotfix(g, 1, "first", 1000, other, 1);
	look(2);
	expect(0, "first", VP_HOTFIX_UNUSED, false);
	lg_put_hotfix(g, 1, "first", 3000, other, 1);
	look(2);
	expect(1, "first", VP_HOTFIX_UNUSED, false);
}

/* Each says that it is over the other. */
static void circle(void **state)
{
	static const unsigned int both[] = { 1 };

	(void)state;
	lg_redirect(g, 1, 1, 0);
	lg_put_hotfix(g, 0, "a", 1000, both, 1);
	lg_redirect(g, 1, 0, 0);
	lg_put_hotfix(g, 1, "b", 2000, both, 1);
	look(2);
	expect(0, "a", VP_HOTFIX_APPLIED, false);
	lg_redirect(g, 1, 1, 0);
	look(2);
	expect(1, "b", VP_HOTFIX_APPLIED, false);
}

static void changed(void **state)
{
	static const uint32_t at[] = { LG_REPLACEMENT(0), 0xfff, 0x1000, 0x1fff };

	(void)state;
	lg_put_hotfix(g, 0, "fix", 1000, one_two, 2);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		*lg_at(g, LG_HOTFIX(0) + at[i]) ^= 1;
		look(1);
		assert_false(found[0].whole);
		*lg_at(g, LG_HOTFIX(0) + at[i]) ^= 1;
	}
	look(1);
	assert_true(found[0].whole);
}

static void no_label(void **state)
{
	uint8_t label[0x400];

	(void)state;
	lg_put_hotfix(g, 0, "fix", 1000, one_two, 2);
	*lg_at(g, LG_HOTFIX(0) + 0x30) ^= 1;
	look(0);
	assert_int_equal(ndamaged, 1);
	assert_int_equal(damaged[0].v, LG_HOTFIX(0));
	/* in a module, and amid a page, it is nothing */
	*lg_at(g, LG_HOTFIX(0) + 0x30) ^= 1;
	memcpy(label, lg_at(g, LG_HOTFIX(0)), sizeof(label));
	memset(lg_at(g, LG_HOTFIX(0)), 0, sizeof(label));
	memcpy(lg_at(g, LG_HOTFIX(0) + 0x100), label, sizeof(label));
	memcpy(lg_at(g, LG_BETA), label, sizeof(label));
	look(0);
	assert_int_equal(ndamaged, 0);
}

/* It speaks of more memory than there is; only that cannot be compared. */
static void lies(void **state)
{
	static const struct vp_hotfix_label_function f = {
		.name = "x",
		.old = VP_GVA(0x1000),
		.site = VP_GVA(0x1000),
		.replacement = VP_GVA(LG_HOTFIX(0) + 0x800),
	};
	struct vp_hotfix_label label = {
		.name = "lie",
		.version = "1",
		.description = "",
		.who = "",
		.when = -1,
		.areas = { { VP_GVA(LG_HOTFIX(0)), 0x30000000 },
			   { VP_GVA(0x1000), 0x7fffffff000 } },
		.functions = &f,
		.nfunctions = 1,
	};

	(void)state;
	assert_int_equal(vp_hotfix_label_write(&label, lg_at(g, LG_HOTFIX(0)), NULL), 0);
	look(1);
	expect(0, "lie", VP_HOTFIX_UNUSED, false);
	leads(0, 0, VP_LEADS_UNKNOWN);
	assert_false(found[0].whole);
	label.areas[VP_AREA_TEXT].size = 0x800000; /* not all of it is mapped */
	label.areas[VP_AREA_RODATA].at.v = label.areas[VP_AREA_RODATA].size = 0;
	assert_int_equal(vp_hotfix_label_write(&label, lg_at(g, LG_HOTFIX(0)), NULL), 0);
	look(1);
	assert_false(found[0].whole);
}

/* A page that is in no RAM has no label; the others are found all the same. */
static void no_ram(void **state)
{
	uint64_t pte = 0x63 | 1ull << 40;

	(void)state;
	lg_put_hotfix(g, 0, "fix", 1000, one_two, 2);
	memcpy(g->ram + 0xb000 + 8 * 9, &pte, sizeof(pte));
	look(1);
	assert_true(found[0].whole);
	memcpy(g->ram + 0xb000 + 8 * 11, &pte, sizeof(pte)); /* its read-only data */
	look(1);
	assert_false(found[0].whole);
}

/* No answer is no fact: whichever read fails, it is an error. */
static void no_answer(void **state)
{
	unsigned long reads;

	(void)state;
	lg_put_hotfix(g, 0, "fix", 1000, one_two, 2);
	reads = g->reads;
	look(1);
	reads = g->reads - reads;
	assert_true(reads >= 4);
	g->fail_with = -EIO;
	for (unsigned long i = 1; i <= reads; i++) {
		struct vp_hotfix_found *list = NULL;
		size_t count = 0;

		g->fail_at = g->reads + i;
		err.text[0] = '\0';
		assert_int_equal(vp_hotfix_find(l, &list, &count, &err), -EIO);
		assert_non_null(strstr(err.text, "the target does not answer"));
		assert_null(list);
	}
	g->fail_at = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(one, setup, teardown),
		cmocka_unit_test_setup_teardown(over, setup, teardown),
		cmocka_unit_test_setup_teardown(by_time, setup, teardown),
		cmocka_unit_test_setup_teardown(circle, setup, teardown),
		cmocka_unit_test_setup_teardown(changed, setup, teardown),
		cmocka_unit_test_setup_teardown(no_label, setup, teardown),
		cmocka_unit_test_setup_teardown(lies, setup, teardown),
		cmocka_unit_test_setup_teardown(no_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(no_answer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
