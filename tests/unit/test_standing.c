/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots and clones: the memory decides what stands, not the ledger. */
#include <unistd.h>

#include "control_rig.h"
#include "unit.h"

/* A snapshot from before the poke is loaded: the record is taken back, nothing else is to be done.
 */
static void test_snapshot_from_before(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	memcpy(fake_at(r->w->fake, A), NOP5, 5);
	another_process(r);
	expect_poke(r, 1, "now", "old");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	expect_poke(r, 0, "", "");
	succeeds(r, "poke", POKE("place_a"));
}

/* One from when it stood, after it was taken back. */
static void test_snapshot_with_a_poke(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	succeeds(r, "revert", "{}");
	succeeds(r, "poke", POKE("place_b"));
	memcpy(fake_at(r->w->fake, A), JMP5, 5);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	another_process(r);
	expect_poke(r, 2, "now", "old"); /* that of place_b is recorded */
	succeeds(r, "revert", "{}");
	expect_poke(r, 1, "fate", "reverted");
	expect_poke(r, 1, "now", "new");
	fails(r, "revert", "{}", -ENOENT, "by its number");
	succeeds(r, "revert", "{\"id\": 1}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	expect_poke(r, 0, "", "");
}

/* What stands was explained by a newer batch, until that was gone. */
static void test_snapshot_below(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	succeeds(r, "revert", "{}");
	succeeds(r, "poke",
		 "{\"sites\": [{\"addr\": \"place_a\", \"old\": \"0f1f440000\", \"new\": "
		 "\"e920000000\"}]}");
	expect_poke(r, 1, "now", "new");
	memcpy(fake_at(r->w->fake, A), JMP5, 5);
	another_process(r);
	expect_poke(r, 2, "now", "other"); /* the recorded one */
	expect_poke_at(r, 0, "fate", "reverted");
}

/* There and back by two pokes, both taken back: what stands is the guest's own, nobody's poke. */
static void test_there_and_back(void **state)
{
	struct rig *r = *state;

	succeeds(r, "poke", POKE("place_a"));
	succeeds(r, "poke",
		 "{\"sites\": [{\"addr\": \"place_a\", \"old\": \"e910000000\", \"new\": "
		 "\"0f1f440000\"}]}");
	another_process(r);
	succeeds(r, "revert", "{}");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	expect_poke(r, 0, "", "");
	fails(r, "revert", "{}", -ENOENT, "nothing");
	/* What is no longer the guest's own is told as ever. */
	memcpy(fake_at(r->w->fake, A), JMP5, 5);
	another_process(r);
	expect_poke(r, 1, "now", "new");
}

/* What is done to a clone is not done to the other; each shows what stands in it. */
static void test_clone(void **state)
{
	struct rig *r = *state;
	struct vp_process us, init;

	assert_true(vp_process_find(getpid(), &us) && vp_process_find(1, &init));
	strcpy(r->process, init.text);
	another_process(r);
	succeeds(r, "poke", POKE("place_a"));
	strcpy(r->process, us.text); /* a copy of its memory */
	another_process(r);
	expect_poke(r, 1, "fate", "elsewhere");
	succeeds(r, "revert", "{\"id\": 1}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	expect_poke(r, 0, "", "");
	memcpy(fake_at(r->w->fake, A), JMP5, 5);
	strcpy(r->process, init.text);
	another_process(r);
	expect_poke(r, 1, "now", "new");
	succeeds(r, "revert", "{}");
	expect_poke(r, 0, "", "");
}

/* Half a batch of a clone whose process lives is that clone's business. */
static void test_clones_half_batch(void **state)
{
	struct rig *r = *state;
	struct vp_process us, init;

	assert_true(vp_process_find(getpid(), &us) && vp_process_find(1, &init));
	strcpy(r->process, init.text);
	another_process(r);
	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	assert_int_equal(vp_control_check(r->control, NULL), -EUCLEAN);
	memcpy(fake_at(r->w->fake, A), NOP5, 5); /* the other one's memory */
	strcpy(r->process, us.text);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	assert_int_equal(recover(r, NULL, 0).sites, 0);
	succeeds(r, "poke", POKE("place_b"));
	memcpy(fake_at(r->w->fake, A), JMP5, 5);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	strcpy(r->process, init.text);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), -EUCLEAN);
	assert_int_equal(recover(r, NULL, 0).sites, 2);
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, control_rig_setup, control_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_snapshot_from_before),
		T(test_snapshot_with_a_poke),
		T(test_snapshot_below),
		T(test_there_and_back),
		T(test_clone),
		T(test_clones_half_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
