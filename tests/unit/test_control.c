/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands across processes. */
#include "control_rig.h"
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
		T(test_no_ledger_no_poke),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
