/* SPDX-License-Identifier: Apache-2.0 */
/* A function by its name, each reason why it cannot be redirected; what the linker must know. */
#include "unit.h"
#include "linux_build.h"
#include "linux_tasks.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_linux_function f;
static struct vp_err err;

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

static void expect(const char *name, unsigned int which, int wanted, const char *text)
{
	int rc;

	err.text[0] = '\0';
	rc = vp_linux_function_find(l, name, which, NULL, &f, &err);
	if (rc != wanted || !strstr(err.text, text))
		fail_msg("%s: %d \"%s\", not %d \"%s\"", name, rc, err.text, wanted, text);
}

static void can_be_redirected(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LG_FUNCS - 1; i++) {
		char name[32];

		snprintf(name, sizeof(name), "filler_%u", LG_FUNC(i) / 16);
		expect(name, 0, 0, "");
		assert_int_equal(f.start.v, g->text + LG_FUNC(i));
		assert_int_equal(f.len, 16);
		assert_int_equal(f.site.v, g->text + LG_ENTRY(i));
		assert_int_equal(f.count, 1);
		assert_memory_equal(f.old_bytes, "\x0f\x1f\x44\x00\x00", 5);
	}
}

static void names(void **state)
{
	(void)state;
	expect("no_such", 0, -ENOENT, "no symbol no_such");
	expect("filler_16", 1, 0, "");
	expect("filler_16", 2, -ENOENT, "only 1");
	expect("shared", 0, -EEXIST, "2 symbols are named shared");
	assert_int_equal(f.count, 2);
	expect("shared", 1, -EBUSY, "shared: ");
	assert_int_equal(f.start.v, LG_MODULES + 0x180);
	expect("shared", 2, -EBUSY, "shared: ");
	assert_int_equal(f.start.v, LG_BETA + 0x20);
	expect("alpha:shared", 0, -EBUSY, "alpha:shared: ");
	assert_int_equal(f.start.v, LG_MODULES + 0x180);
	expect("alpha:no_such", 0, -ENOENT, "");
	expect("key_off", 0, -ENOENT, "is no function");
}

static void refused(void **state)
{
	uint8_t *p = lg_image(g, LG_FUNC(0));

	(void)state;
	expect("filler_201", 0, -EBUSY, "no nop of ftrace's: 90 90");
	expect("filler_24", 0, -EBUSY, "no record");
	*p = 0xcc;
	expect("filler_16", 0, -EBUSY, "int3");
	*p = 0xe9;
	expect("filler_16", 0, -EBUSY, "redirected already");
	*p = 0xe8;
	expect("filler_16", 0, -EBUSY, "traced or probed");
	*p = 0x0f;
	lg_put(g, LG_RECORD(0) + 8, LG_DISABLED, 8);
	expect("filler_16", 0, -EBUSY, "itself has disabled");
	lg_put(g, LG_RECORD(0) + 8, 1u << 27, 8);
	expect("filler_16", 0, -EBUSY, "direct call");
	lg_put(g, LG_RECORD(0) + 8, 1u << 26, 8);
	expect("filler_16", 0, -EBUSY, "livepatch");
	lg_put(g, LG_RECORD(0) + 8, LG_FTRACE_ENABLED | 1, 8);
	expect("filler_16", 0, -EBUSY, "traces now");
	lg_put(g, LG_RECORD(0) + 8, 0, 8);
	lg_put(g, LG_PROBE_STRUCT + 0x28, g->text + LG_FUNC(0) + 9, 8);
	expect("filler_16", 0, -EBUSY, "kprobe at filler_16+0x9");
	expect("filler_18", 0, 0, "");
	lg_put(g, LG_PROBE_STRUCT + 0x28, g->text + LG_PROBED, 8);
	lg_put(g, LG_FTRACE_OPS, g->text + 0x1000, 8);
	expect("filler_16", 0, -EAGAIN, "ftrace is in use");
	assert_int_equal(f.site.v, g->text + LG_FUNC(0)); /* known all the same */
	lg_put(g, LG_FTRACE_OPS, g->text + LG_FTRACE_END, 8);
	expect("filler_16", 0, 0, "");
}

static void features(void **state)
{
	struct vp_linux_features x;

	(void)state;
	assert_int_equal(vp_linux_features_read(l, &x, &err), 0);
	assert_int_equal(x.nwords, LG_CAP_WORDS);
	assert_int_equal(x.ncaps, 21);
	assert_int_equal(x.words[1], 0x12345678);
	assert_int_equal(x.words[21], 0x8000);
	assert_int_equal(x.return_thunk.v, g->text + 0x700);
	assert_false(x.ibt || x.cfi || x.call_depth);
	lg_put(g, LG_CPU + LG_CAPS + 4 * 18, 1u << 20, 4);
	assert_int_equal(vp_linux_features_read(l, &x, &err), 0);
	assert_true(x.ibt);
	/* A CPU that needs no thunk: returns are plain ones. */
	lg_put(g, LG_CPU + LG_CAPS + 4 * 11, 0, 4);
	assert_int_equal(vp_linux_features_read(l, &x, &err), 0);
	assert_int_equal(x.return_thunk.v, 0);
	lg_put(g, LG_THUNK, g->text + LG_DATA, 8);
	assert_int_equal(vp_linux_features_read(l, &x, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "no code"));
}

/* A jmp at the entry is right where it is known what it leads to. */
static void redirected(void **state)
{
	const struct vp_linux_range ranges[] = { { VP_GVA(LG_MODULES), 0x40 },
						 { VP_GVA(LG_MODULES + 0x1000), 0x100 } };
	const struct vp_linux_ranges known = { ranges, 2 };
	uint64_t site = g->text + LG_ENTRY(0);
	char name[32];

	(void)state;
	snprintf(name, sizeof(name), "filler_%u", LG_FUNC(0) / 16);
	lg_put(g, LG_ENTRY(0), 0xe9, 1);
	for (int i = 0; i < 4; i++) {
		uint64_t to = LG_MODULES + (uint64_t[]){ 0x1000, 0x10ff, 0xfff, 0x1100 }[i];

		lg_put(g, LG_ENTRY(0) + 1, (uint32_t)(to - site - 5), 4);
		err.text[0] = '\0';
		assert_int_equal(vp_linux_function_find(l, name, 0, NULL, &f, &err), -EBUSY);
		assert_non_null(strstr(err.text, "redirected already"));
		/* and ftrace has to agree: it has not let go of it */
		vp_linux_function_find(l, name, 0, &known, &f, &err);
		assert_int_equal(!strstr(err.text, "redirected already"), i < 2);
		assert_int_equal(f.old_bytes[0], 0xe9);
	}
}

static void sealed(void **state)
{
	bool is = true;
	int32_t count;

	(void)state;
	assert_int_equal(vp_linux_key_count(l, VP_GVA(g->text + LG_KEY_ON), &count, &is, &err), 0);
	assert_false(is);
	assert_int_equal(count, 1);
	lg_put(g, LG_RODATA + 0x300, 7, 4);
	assert_int_equal(
		vp_linux_key_count(l, VP_GVA(g->text + LG_RODATA + 0x300), &count, &is, &err), 0);
	assert_true(is);
	assert_int_equal(count, 7);
}

static void not_known(void **state)
{
	struct linux_guest *old = lg_new(&(struct lg_opts){ .layout = LG_6_1, .no_btf = true });
	struct vp_linux_features x;
	struct vp_linux *lo;

	(void)state;
	assert_int_equal(vp_linux_open(&old->target, NULL, &lo, NULL), 0);
	assert_int_equal(vp_linux_features_read(lo, &x, &err), -EOPNOTSUPP);
	assert_int_equal(vp_linux_function_find(lo, "filler_16", 0, NULL, &f, &err), -EOPNOTSUPP);
	vp_linux_free(lo);
	lg_free(old);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(can_be_redirected), T(redirected), T(names),	   T(refused),
		T(features),	      T(sealed),     T(not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
