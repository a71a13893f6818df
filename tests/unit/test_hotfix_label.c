/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "hotfix/label.h"

#define TEXT 0xffffffffc0400000ull

static const struct vp_hotfix_label_function functions[] = {
	{ "one",
	  VP_GVA(0xffffffff81000000),
	  VP_GVA(0xffffffff81000000),
	  VP_GVA(TEXT + 4096),
	  VP_GVA(0xffff888000001000),
	  { 0x0f, 0x1f, 0x44, 0, 0 } },
	{ "two",
	  VP_GVA(0xffffffff81000100),
	  VP_GVA(0xffffffff81000104),
	  VP_GVA(TEXT + 4160),
	  VP_GVA(0),
	  { 0x66, 0x66, 0x66, 0x66, 0x90 } },
};

static const struct vp_hotfix_label_call calls[] = {
	{ VMPOKE_WHEN_BEFORE_REMOVE, VP_GVA(TEXT + 4100) },
	{ VMPOKE_WHEN_AFTER_REMOVE, VP_GVA(0xffffffff81000200) },
};

static const struct vp_hotfix_label good = {
	.name = "arp-length",
	.version = "1.2",
	.description = "arp: check the length",
	.who = "root@host",
	.when = 1700000000,
	.areas = { { VP_GVA(TEXT), 8192 }, { VP_GVA(0), 0 }, { VP_GVA(TEXT + 8192), 4096 } },
	.code = 0x0123456789abcdef,
	.object = { 1, 2, 3, [31] = 4 },
	.functions = functions,
	.nfunctions = 2,
	.calls = calls,
	.ncalls = 2,
};

static uint8_t bytes[VP_LABEL_MAX];

static size_t written(const struct vp_hotfix_label *l)
{
	struct vp_err err = { "" };

	memset(bytes, 0xee, sizeof(bytes));
	assert_int_equal(vp_hotfix_label_write(l, bytes, &err), 0);
	assert_int_equal(bytes[vp_hotfix_label_size(l)], 0xee);
	return vp_hotfix_label_size(l);
}

static int read_it(size_t len, struct vp_hotfix_label **out)
{
	struct vp_err err = { "" };
	/* Of just that many bytes, for the sanitizer to see what is read behind them. */
	uint8_t *copy = malloc(len + !len);
	int rc;

	memcpy(copy, bytes, len);
	rc = vp_hotfix_label_read(copy, len, VP_GVA(TEXT), out, &err);
	free(copy);
	assert_int_equal(!rc, !err.text[0]);
	return rc;
}

static void test_there_and_back(void **state)
{
	size_t len = written(&good);
	struct vp_hotfix_label *l;

	(void)state;
	assert_int_equal(vp_hotfix_label_length(bytes), len);
	assert_int_equal(read_it(sizeof(bytes), &l), 0);
	assert_string_equal(l->name, good.name);
	assert_string_equal(l->version, good.version);
	assert_string_equal(l->description, good.description);
	assert_string_equal(l->who, good.who);
	assert_int_equal(l->when, good.when);
	assert_int_equal(l->code, good.code);
	assert_memory_equal(l->areas, good.areas, sizeof(good.areas));
	assert_memory_equal(l->object, good.object, 32);
	assert_int_equal(l->nfunctions, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(l->functions[i].name, functions[i].name);
		assert_int_equal(l->functions[i].old.v, functions[i].old.v);
		assert_int_equal(l->functions[i].site.v, functions[i].site.v);
		assert_int_equal(l->functions[i].replacement.v, functions[i].replacement.v);
		assert_int_equal(l->functions[i].record.v, functions[i].record.v);
		assert_memory_equal(l->functions[i].before, functions[i].before, 8);
	}
	assert_int_equal(l->ncalls, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(l->calls[i].when, calls[i].when);
		assert_int_equal(l->calls[i].at.v, calls[i].at.v);
	}
	free(l);
}

/* Every byte counts, and every length. */
static void test_damaged(void **state)
{
	size_t len = written(&good);
	struct vp_hotfix_label *l;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		bytes[i] ^= 0x40;
		assert_int_not_equal(read_it(len, &l), 0);
		bytes[i] ^= 0x40;
		assert_int_equal(read_it(i, &l), i < VP_LABEL_HEAD ? -ENOENT : -EBADMSG);
	}
	assert_int_equal(read_it(len, &l), 0);
	free(l);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(read_it(4096, &l), -ENOENT);
}

/* A copy of it that lies elsewhere is none. */
static void test_elsewhere(void **state)
{
	size_t len = written(&good);
	struct vp_hotfix_label *l;
	struct vp_err err;

	(void)state;
	assert_int_equal(vp_hotfix_label_read(bytes, len, VP_GVA(TEXT + 4096), &l, &err), -EBADMSG);
}

static void refused(const struct vp_hotfix_label *l, const char *why)
{
	struct vp_err err = { "" };

	assert_int_equal(vp_hotfix_label_write(l, bytes, &err), -EINVAL);
	assert_non_null(strstr(err.text, why));
}

static void test_no_sense(void **state)
{
	struct vp_hotfix_label_function f = functions[0];
	struct vp_hotfix_label_call call = calls[0];
	struct vp_hotfix_label l = good;
	char name[VMPOKE_NAME_MAX + 2];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	l.name = name;
	refused(&l, "texts");
	l.name = "";
	refused(&l, "texts");
	l = good;
	l.who = "\x1b[31m";
	refused(&l, "texts");
	l = good;
	l.nfunctions = 0;
	refused(&l, "no functions");
	l = good;
	l.areas[VP_AREA_TEXT].at.v++;
	refused(&l, "areas");
	l = good;
	l.areas[VP_AREA_RODATA].size = 4096; /* at 0 */
	refused(&l, "areas");
	l = good;
	l.areas[VP_AREA_DATA].at.v = -4096ull;
	l.areas[VP_AREA_DATA].size = 8192;
	refused(&l, "areas");
	l = good;
	l.functions = &f;
	l.nfunctions = 1;
	f.replacement.v = TEXT + 8192; /* behind its end */
	refused(&l, "function");
	f.replacement.v = TEXT; /* the label itself */
	refused(&l, "function");
	f = functions[0];
	f.site.v = f.old.v + 5;
	refused(&l, "function");
	f = functions[0];
	f.name = "";
	refused(&l, "function");
	f = functions[0];
	f.before[5] = 1;
	refused(&l, "function");
	l = good;
	l.calls = &call;
	l.ncalls = 1;
	call.when = VMPOKE_WHEN_AFTER_APPLY;
	refused(&l, "call");
	call = calls[0];
	call.at.v = 0x400000; /* user space */
	refused(&l, "call");
	l.ncalls = VMPOKE_CALL_COUNT + 1;
	refused(&l, "calls");
}

/* As many functions as there may be, with the longest names. */
static void test_largest(void **state)
{
	static struct vp_hotfix_label_function many[VMPOKE_FUNCTION_COUNT];
	static char name[VMPOKE_SYMBOL_MAX + 1];
	struct vp_hotfix_label l = good, *back;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	l.areas[VP_AREA_TEXT].size = VP_LABEL_MAX + 4096;
	l.areas[VP_AREA_DATA].at.v = TEXT + VP_LABEL_MAX + 4096;
	for (size_t i = 0; i < VMPOKE_FUNCTION_COUNT; i++) {
		many[i] = functions[0];
		many[i].name = name;
		many[i].replacement.v = TEXT + VP_LABEL_MAX + i;
	}
	l.functions = many;
	l.nfunctions = VMPOKE_FUNCTION_COUNT;
	assert_true(vp_hotfix_label_size(&l) <= VP_LABEL_MAX);
	assert_int_equal(read_it(written(&l), &back), 0);
	assert_string_equal(back->functions[VMPOKE_FUNCTION_COUNT - 1].name, name);
	free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_elsewhere),      cmocka_unit_test(test_no_sense),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
