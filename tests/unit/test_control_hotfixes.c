/* SPDX-License-Identifier: Apache-2.0 */
/* query-hotfixes: what a guest's memory says through the commands, and what the ledger adds. */
#include "linux_control.h"
#include "unit.h"

/* @args is stolen. */
static json_t *call(struct linux_control *r, const char *name, json_t *args, int want)
{
	struct vp_err err;

	return linux_control_call(r, name, args, want, &err);
}

static void expect(const json_t *object, const char *key, const char *text)
{
	const char *is = json_string_value(json_object_get(object, key));

	assert_non_null(is);
	assert_string_equal(is, text);
}

static void none(void **state)
{
	json_t *found = call(*state, "query-hotfixes", json_object(), 0);

	assert_int_equal(json_array_size(json_object_get(found, "hotfixes")), 0);
	assert_int_equal(json_array_size(json_object_get(found, "damaged")), 0);
	json_decref(found);
}

static void told(void **state)
{
	static const unsigned int funcs[] = { 1, 2 };
	struct linux_control *r = *state;
	const json_t *fix, *f;
	json_t *found;

	lg_put_hotfix(r->g, 0, "fix", 1000, funcs, 2);
	lg_redirect(r->g, 2, 0, 1);
	lg_put_hotfix(r->g, 1, "damaged", 2000, funcs, 2);
	*lg_at(r->g, LG_HOTFIX(1) + 0x30) ^= 1;
	*lg_at(r->g, LG_HOTFIX(0) + LG_REPLACEMENT(0)) ^= 1;
	found = call(r, "query-hotfixes", json_object(), 0);
	assert_int_equal(json_array_size(json_object_get(found, "hotfixes")), 1);
	fix = json_array_get(json_object_get(found, "hotfixes"), 0);
	expect(fix, "name", "fix");
	expect(fix, "version", "1");
	expect(fix, "who", "me@here");
	expect(fix, "stands", "mixed");
	expect(fix, "at", "0xffffffffc000a000");
	assert_int_equal(json_integer_value(json_object_get(fix, "when")), 1000);
	assert_true(json_is_false(json_object_get(fix, "whole")));
	assert_true(json_is_false(json_object_get(fix, "covered")));
	assert_true(json_is_false(json_object_get(fix, "recorded")));
	assert_null(json_object_get(fix, "batch"));
	f = json_array_get(json_object_get(fix, "functions"), 0);
	expect(f, "name", "filler_17");
	expect(f, "leads", "before");
	expect(f, "now", "0f1f440000");
	f = json_array_get(json_object_get(fix, "functions"), 1);
	expect(f, "leads", "here");
	expect(json_object_get(json_object_get(fix, "areas"), "text"), "addr",
	       "0xffffffffc000a000");
	assert_null(json_object_get(json_object_get(fix, "areas"), "data"));
	assert_string_equal(json_string_value(json_array_get(json_object_get(found, "damaged"), 0)),
			    "0xffffffffc000c000");
	json_decref(found);
}

/* A batch that wrote its jmp is its record. */
static void recorded(void **state)
{
	static const unsigned int funcs[] = { 4 };
	struct linux_control *r = *state;
	uint64_t site = r->g->text + LG_ENTRY(4);
	int32_t rel = (int32_t)(LG_HOTFIX(0) + LG_REPLACEMENT(0) - (site + 5));
	const json_t *fix;
	json_t *found, *args;

	lg_put_hotfix(r->g, 0, "fix", 1000, funcs, 1);
	args = json_pack("{s:[{s:o, s:s, s:o}]}", "sites", "addr",
			 json_sprintf("0x%llx", (unsigned long long)site), "old", "0f1f440000",
			 "new",
			 json_sprintf("e9%02x%02x%02x%02x", rel & 0xff, rel >> 8 & 0xff,
				      rel >> 16 & 0xff, rel >> 24 & 0xff));
	json_decref(call(r, "poke", args, 0));
	found = call(r, "query-hotfixes", json_object(), 0);
	fix = json_array_get(json_object_get(found, "hotfixes"), 0);
	expect(fix, "stands", "applied");
	assert_true(json_is_true(json_object_get(fix, "recorded")));
	assert_int_equal(json_integer_value(json_object_get(fix, "batch")), 1);
	json_decref(found);
}

static void no_linux(void **state)
{
	struct linux_control *r = *state;

	memset(r->g->ram, 0, LG_IMAGE_GPA); /* its page tables */
	assert_null(call(r, "query-hotfixes", json_object(), -ENOENT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(none, linux_control_setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(told, linux_control_setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(recorded, linux_control_setup,
						linux_control_teardown),
		cmocka_unit_test_setup_teardown(no_linux, linux_control_setup,
						linux_control_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
