/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands across processes. */
#include "control_rig.h"
#include "elf_build.h"
#include "unit.h"

static void test_across_processes(void **state)
{
	struct rig *r = *state;
	struct fake *f = r->w->fake;

	succeeds(r, "poke", POKE("place_a"));
	another_process(r);
	succeeds(r, "poke", POKE("place_b"));
	another_process(r);
	expect_poke(r, 2, "now", "new");
	expect_poke(r, 2, "symbol", "place_b");
	expect_poke(r, 2, "command", "poke");
	fake_at(f, B)[1] ^= 1; /* somebody else's doing is seen, and not undone */
	expect_poke(r, 2, "now", "other");
	fails(r, "revert", "{}", -ESTALE, "not the old bytes");
	fake_at(f, B)[1] ^= 1;
	succeeds(r, "revert", "{\"id\": 1}");
	assert_memory_equal(fake_at(f, A), NOP5, 5);
	assert_memory_equal(fake_at(f, B), JMP5, 5);
	another_process(r);
	fails(r, "revert", "{\"id\": 1}", -ENOENT, "no batch 1");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(f, B), NOP5, 5);
	expect_poke(r, 0, "", "");
}

/* Newest first where they cover the same bytes. */
static void test_order(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	another_process(r);
	succeeds(r, "poke",
		 "{\"sites\": [{\"addr\": \"place_a\", \"old\": \"e910000000\", \"new\": "
		 "\"e920000000\"}]}");
	another_process(r);
	fails(r, "revert", "{\"id\": 1}", -EBUSY, "batch 2");
	succeeds(r, "revert", "{}");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
}

static void test_refused_is_not_recorded(void **state)
{
	struct rig *r = *state;
	struct vp_err err;
	json_t *lines;
	int code;

	fails(r, "poke", POKE("place_a+1"), -EINVAL, "inside the instruction at place_a+0x0");
	fails(r, "poke", POKE("place_a+5"), -ESTALE, "");
	fails(r, "poke", POKE("nowhere"), -ENOENT, "nowhere");
	lines = call(r, "query-ledger", "{}", &code, &err);
	assert_int_equal(json_array_size(lines), 0);
	json_decref(lines);
}

/* --- what is so already ---------------------------------------------------------- */

static size_t lines_of(struct rig *r)
{
	struct vp_err err;
	int code;
	json_t *lines = call(r, "query-ledger", "{}", &code, &err);
	size_t n = json_array_size(lines);

	json_decref(lines);
	return n;
}

/* The poke changes nothing: it says so, and by which batch (0: none), and is in no ledger. */
static void is_already(struct rig *r, const char *args, json_int_t by)
{
	size_t lines = lines_of(r);
	struct vp_err err = { "" };
	int code;
	json_t *ret = call(r, "poke", args, &code, &err);

	if (!ret)
		fail_msg("%s: %s", args, err.text);
	assert_true(json_is_true(json_object_get(ret, "already")));
	assert_int_equal(json_integer_value(json_object_get(ret, "id")), 0);
	assert_int_equal(json_integer_value(json_object_get(ret, "sites")), 0);
	assert_int_equal(json_is_true(json_object_get(ret, "dry-run")),
			 strstr(args, "dry-run") != NULL);
	assert_int_equal(json_integer_value(json_object_get(ret, "by")), by);
	assert_int_equal(json_object_get(ret, "by") != NULL, by != 0);
	json_decref(ret);
	assert_int_equal(lines_of(r), lines);
}

#define SITE(where, old, new) \
	"{\"addr\": \"" where "\", \"old\": \"" old "\", \"new\": \"" new "\"}"
#define NOP "0f1f440000"
#define JMP "e910000000"

static void test_already(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	another_process(r);
	is_already(r, POKE("place_a"), 1);
	is_already(r, "{\"sites\": [" SITE("place_a", "b811223344", JMP) "]}", 1);
	is_already(r, "{\"sites\": [" SITE("place_a", NOP, JMP) "], \"dry-run\": true}", 1);
	is_already(r, "{\"sites\": [" SITE("place_a", JMP, JMP) "]}", 1);
	is_already(r, "{\"sites\": [" SITE("place_b", NOP, NOP) "]}", 0);
	assert_memory_equal(fake_at(r->w->fake, A), JMP5, 5);
	assert_memory_equal(fake_at(r->w->fake, B), NOP5, 5);
	expect_poke(r, 1, "now", "new");
	succeeds(r, "revert", "{}");
	another_process(r);
	is_already(r, "{\"sites\": [" SITE("place_a", JMP, NOP) "]}", 0);
}

/* That it stands there does not make it ours. */
static void test_already_by_others(void **state)
{
	struct rig *r = *state;

	memcpy(fake_at(r->w->fake, A), JMP5, 5);
	is_already(r, POKE("place_a"), 0);
	expect_poke(r, 0, "", "");
	fails(r, "revert", "{}", -ENOENT, "nothing is applied");
	assert_memory_equal(fake_at(r->w->fake, A), JMP5, 5);

	/* One of them is ours, the other one is not: neither are both. */
	succeeds(r, "poke", POKE("place_b"));
	another_process(r);
	is_already(r, "{\"sites\": [" SITE("place_a", NOP, JMP) ", " SITE("place_b", NOP, JMP) "]}",
		   0);
	is_already(r, POKE("place_b"), 1);
}

static void test_half_already(void **state)
{
	struct rig *r = *state;

	memcpy(fake_at(r->w->fake, B), JMP5, 5);
	fails(r, "poke",
	      "{\"sites\": [" SITE("place_a", NOP, JMP) ", " SITE("place_b", NOP, JMP) "]}",
	      -ESTALE, "1 of the 2 sites (the first: site 1) have their new bytes already");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	assert_int_equal(lines_of(r), 0);
}

/* All checks are made all the same. */
static void test_already_is_checked(void **state)
{
	struct rig *r = *state;

	fails(r, "poke", "{\"sites\": [" SITE("place_a", "6690", "0f1f") "]}", -EINVAL,
	      "does not end");
	fails(r, "poke",
	      "{\"sites\": [" SITE("place_a", NOP, NOP) ", " SITE("place_a", NOP, NOP) "]}",
	      -EINVAL, "overlaps");
	fails(r, "poke", "{\"sites\": [" SITE("place_a", NOP, NOP) "], \"strategy\": \"sideways\"}",
	      -EINVAL, "strategy");
	assert_int_equal(lines_of(r), 0);
}

/* --- times, and where a symbol ends ------------------------------------------------ */

static void test_times(void **state)
{
	struct rig *r = *state;
	struct vp_err err;
	const char *time;
	json_t *lines;
	int code;

	succeeds(r, "poke", POKE("place_a"));
	lines = call(r, "query-ledger", "{}", &code, &err);
	time = json_string_value(json_object_get(json_array_get(lines, 0), "time"));
	assert_non_null(time);
	assert_int_equal(strlen(time), strlen("2026-11-26T14:41:20Z"));
	assert_int_equal(time[10], 'T');
	assert_int_equal(time[19], 'Z');
	json_decref(lines);
	lines = call(r, "query-pokes", "{}", &code, &err);
	time = json_string_value(json_object_get(json_array_get(lines, 0), "time"));
	assert_non_null(time);
	assert_int_equal(time[19], 'Z');
	json_decref(lines);
}

/* The batches that show in @len bytes from @where, as text: "1" or "1 2". */
static void show(struct rig *r, const char *where, int len, const char *want)
{
	char args[80], have[64] = "";
	struct vp_err err;
	json_t *list;
	int code;

	snprintf(args, sizeof(args), "{\"addr\": \"%s\", \"len\": %d}", where, len);
	list = call(r, "query-pokes", args, &code, &err);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *batch = json_array_get(list, i);

		assert_int_equal(json_array_size(json_object_get(batch, "sites")), 1);
		snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%lld", i ? " " : "",
			 json_integer_value(json_object_get(batch, "id")));
	}
	assert_string_equal(have, want);
	json_decref(list);
}

/* Who looks at some bytes need not hear of all that was ever done. */
static void test_what_shows(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	succeeds(r, "poke", "{\"sites\": [" SITE("place_b", NOP, JMP) "]}");
	show(r, "place_a", 5, "1");
	show(r, "place_a+4", 1, "1");
	show(r, "place_a+5", 1, "");
	show(r, "place_a", (int)(B - A) + 1, "1 2");
	succeeds(r, "poke", "{\"sites\": [" SITE("place_a", JMP, "b811223344") "]}");
	show(r, "place_a", 5, "3");
	show(r, "place_a", (int)(B - A) + 1, "2 3");
	succeeds(r, "revert", "{\"id\": 3}");
	show(r, "place_a", 5, "1");
	fails(r, "query-pokes", "{\"addr\": \"place_a\"}", -EINVAL, "either id, or");
	fails(r, "query-pokes", "{\"id\": 1, \"addr\": \"place_a\", \"len\": 1}", -EINVAL,
	      "either id, or");
	fails(r, "query-pokes", "{\"addr\": \"place_a\", \"len\": 2000000}", -EINVAL, "len");
}

static void test_symbol_end(void **state)
{
	struct rig *r = *state;
	char want[32];
	struct vp_err err;
	json_t *ret;
	int code;

	ret = call(r, "resolve-symbol", "{\"addr\": \"place_a+1\"}", &code, &err);
	snprintf(want, sizeof(want), "0x%llx", (unsigned long long)A + 5);
	assert_string_equal(json_string_value(json_object_get(ret, "end")), want);
	json_decref(ret);
	ret = call(r, "resolve-symbol", "{\"addr\": \"place_a+5\"}", &code, &err);
	snprintf(want, sizeof(want), "0x%llx", (unsigned long long)B);
	assert_string_equal(json_string_value(json_object_get(ret, "end")), want);
	json_decref(ret);
	ret = call(r, "resolve-symbol", "{\"addr\": \"place_b+5\"}", &code, &err);
	assert_non_null(ret);
	assert_null(json_object_get(ret, "end"));
	json_decref(ret);
}

/* What a revert tells: enough to do it again. */
static void test_took_back(void **state)
{
	struct rig *r = *state;
	struct vp_err err;
	json_t *ret, *was;
	int code;

	succeeds(r, "poke", POKE("place_a"));
	another_process(r);
	ret = call(r, "revert", "{}", &code, &err);
	was = json_object_get(ret, "took-back");
	assert_string_equal(json_string_value(json_object_get(was, "command")), "poke");
	assert_string_equal(json_string_value(json_object_get(was, "old")), NOP);
	assert_string_equal(json_string_value(json_object_get(was, "new")), JMP);
	json_decref(ret);
}

/* A name that says nothing, or something else, is no help to do it again: the address is. */
static void test_took_back_nameless(void **state)
{
	static const struct elf_symbol symbols[] = {
		{ "twice", A, 5, STT_FUNC, SEC_TEXT },
		{ "twice", B, 5, STT_FUNC, SEC_TEXT },
		{ "a+1", B + 8, 5, STT_FUNC, SEC_TEXT },
	};
	static struct elf_image image;
	struct rig *r = *state;
	struct vp_err err;
	json_t *ret, *was;
	int code;

	vp_symtab_free(r->symbols);
	elf_build(&image, symbols, 3);
	assert_int_equal(vp_symtab_load(image.bytes, image.len, "test", &r->symbols, NULL), 0);
	memcpy(fake_at(r->w->fake, B + 8), NOP5, 5);
	another_process(r);
	for (int i = 0; i < 2; i++) {
		succeeds(r, "poke", i ? POKE("0xffffffff80000208") : POKE("0xffffffff80000100"));
		ret = call(r, "revert", "{}", &code, &err);
		was = json_object_get(ret, "took-back");
		assert_string_equal(json_string_value(json_object_get(was, "addr")),
				    i ? "0xffffffff80000208" : "0xffffffff80000100");
		assert_null(json_object_get(was, "symbol"));
		json_decref(ret);
	}
}

/* A ledger that cannot be written: not one byte is changed. */
static void test_no_ledger_no_poke(void **state)
{
	struct rig *r = *state;
	struct vp_control_config cfg = {
		.target = &r->w->fake->target,
		.engine = r->w->engine,
		.symbols = r->symbols,
		.ledger = "/proc/nowhere/vm.jsonl",
	};

	vp_control_free(r->control);
	assert_int_equal(vp_control_new(&cfg, &r->control, NULL), 0);
	fails(r, "poke", POKE("place_a"), -ENOENT, "/proc/nowhere");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, control_rig_setup, control_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_across_processes),
		T(test_order),
		T(test_refused_is_not_recorded),
		T(test_already),
		T(test_already_by_others),
		T(test_half_already),
		T(test_already_is_checked),
		T(test_times),
		T(test_what_shows),
		T(test_symbol_end),
		T(test_took_back),
		T(test_took_back_nameless),
		T(test_no_ledger_no_poke),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
