/* SPDX-License-Identifier: Apache-2.0 */
/* Every way a batch can fail half way: silent vCPUs, a guest that patches the same bytes. */
#include "fake.h"
#include "unit.h"

static void expect_bytes(struct world *w, uint64_t at, const char *bytes, size_t n)
{
	assert_memory_equal(fake_at(w->fake, at), bytes, n);
}

/* --- failing half way -------------------------------------------------------- */

static void poke_fails(struct world *w, int rc, const char *trace)
{
	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_EMULATE) };
	struct vp_poke_stats st;
	struct vp_err err = { "" };

	w->fake->trace[0] = '\0';
	assert_int_equal(vp_poke(w->engine, s, 2, NULL, NULL, &err), rc);
	assert_string_equal(w->fake->trace, trace);
	assert_true(err.text[0]);
	vp_engine_stats(w->engine, &st);
	assert_int_equal(st.batches, 0);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), -ENOENT);
}

static void test_cannot_arm(void **state)
{
	struct world *w = *state;

	w->fake->arm_rc = -EIO;
	poke_fails(w, -EIO, "arm disarm");
	expect_bytes(w, A, NOP5, 5);
}

static void test_sync1_fails(void **state)
{
	struct world *w = *state;

	w->fake->fail_sync = 1;
	poke_fails(w, -ETIMEDOUT, "arm cap cap sync head head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, NOP5, 5);
}

static void test_sync2_fails(void **state)
{
	struct world *w = *state;

	w->fake->fail_sync = 2;
	poke_fails(w, -ETIMEDOUT,
		   "arm cap cap sync write write sync write write sync head head unpark sync "
		   "quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, NOP5, 5);
}

/* From the first new head on the way is forward; only the retirement waits. */
static void test_sync3_fails(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);
	struct vp_regs regs = { 0 };

	w->fake->fail_sync = 3;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	expect_bytes(w, A, JMP5, 5);
	assert_true(w->fake->armed);
	assert_int_equal(fake_trap(w->fake, A, &regs), VP_VERDICT_RESUME);
	assert_int_equal(regs.rip, A + 5); /* the record still answers */
	assert_int_equal(vp_engine_settle(w->engine, 10, NULL), 0);
	assert_false(w->fake->armed);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), 0);
	expect_bytes(w, A, NOP5, 5);
}

/*
 * A vCPU that never answers again: tails cannot be undone under it, so the heads stay capped and
 * guarded, every trap waits, and the next call finishes the job once it answers.
 */
static void test_never_answers(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);
	struct vp_err err = { "" };

	w->fake->fail_sync = 2;
	w->fake->never_answers = true;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), -ETIMEDOUT);
	assert_int_equal(*fake_at(w->fake, A), VP_INT3);
	assert_true(w->fake->armed);
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_PARK); /* not the new code */
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "earlier batch"));

	w->fake->never_answers = false;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	expect_bytes(w, A, JMP5, 5);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), 0);
	expect_bytes(w, A, NOP5, 5);
}

/* --- the guest patches the same bytes ----------------------------------------- */

struct meddle {
	const char *op;
	unsigned int at_sync; /* how many syncs were done when it happens */
	uint64_t gva;
	uint8_t byte;
};

static void meddle(struct fake *f, const char *op)
{
	const struct meddle *m = f->hook_arg;

	if (!strcmp(op, m->op) && f->syncs == m->at_sync)
		*fake_at(f, m->gva) = m->byte;
}

/* The guest took B's head between the check and the cap. */
static void test_head_changed_before_cap(void **state)
{
	struct world *w = *state;
	struct meddle m = { "cap", 0, B, 0x55 };

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	poke_fails(w, -EAGAIN, "arm cap cap head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\x55\x1f\x44\x00\x00", 5);
}

/* Its text_poke wrote B's tail under our int3: the int3 is its own now, and so is the trap. */
static void test_tail_changed_after_cap(void **state)
{
	struct world *w = *state;
	struct meddle m = { "sync", 0, B + 2, 0x55 };

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	poke_fails(w, -EAGAIN, "arm cap cap sync head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\xcc\x1f\x55\x00\x00", 5);
	assert_int_equal(fake_trap(w->fake, B, NULL), VP_VERDICT_FOREIGN);
}

/* The same while our tail stands there: A's is taken back, B's is left alone. */
static void test_tail_changed_after_tail(void **state)
{
	struct world *w = *state;
	struct meddle m = { "sync", 1, B + 2, 0x55 };

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	poke_fails(w, -EAGAIN,
		   "arm cap cap sync write write sync write sync head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\xcc\x10\x55\x00\x00", 5);
}

/* In the very last step: said, recorded, and the other site is applied. */
static void test_head_changed_at_the_end(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };
	struct meddle m = { "head", 2, B, 0x55 };
	struct vp_poke_result res;

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	assert_int_equal(vp_poke(w->engine, s, 2, NULL, &res, NULL), -EIO);
	assert_int_equal(res.bad_site, 1);
	assert_int_equal(res.id, 1);
	expect_bytes(w, A, JMP5, 5);
	expect_bytes(w, B, "\x55\x10\x00\x00\x00", 5);
	w->fake->hook = NULL;
	/* The revert takes back what is still ours. */
	assert_int_equal(vp_revert(w->engine, 1, NULL, &res, NULL), 0);
	assert_int_equal(res.sites, 1);
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\x55\x10\x00\x00\x00", 5);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), -ENOENT);
}

/* Both sites are in the guest's own text_poke: neither gets its old head over a new tail. */
static void write_both_tails(struct fake *f, const char *op)
{
	if (strcmp(op, "sync") || f->hook_arg)
		return;
	f->hook_arg = f;
	memcpy(fake_at(f, A) + 1, "\x11\x22\x33\x44", 4);
	memcpy(fake_at(f, B) + 1, "\x11\x22\x33\x44", 4);
}

static void test_all_tails_changed(void **state)
{
	for (int timeout = 0; timeout < 2; timeout++) {
		struct world *w = *state;

		w->fake->hook = write_both_tails;
		w->fake->hook_arg = NULL;
		w->fake->syncs = 0;
		w->fake->fail_sync = timeout;
		w->fake->trace[0] = '\0';
		memcpy(fake_at(w->fake, A), NOP5, 5);
		memcpy(fake_at(w->fake, B), NOP5, 5);
		poke_fails(w, timeout ? -ETIMEDOUT : -EAGAIN,
			   "arm cap cap sync unpark sync quiesce disarm");
		expect_bytes(w, A, "\xcc\x11\x22\x33\x44", 5);
		expect_bytes(w, B, "\xcc\x11\x22\x33\x44", 5);
	}
}

/* While a rollback waits for a vCPU the guest writes its tail: settling leaves it alone. */
static void test_tail_changed_while_unfinished(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_PARK);

	w->fake->fail_sync = 2;
	w->fake->never_answers = true;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), -ETIMEDOUT);
	memcpy(fake_at(w->fake, A) + 1, "\x11\x22\x33\x44", 4);
	w->fake->never_answers = false;
	assert_int_equal(vp_engine_settle(w->engine, 1, NULL), 0);
	expect_bytes(w, A, "\xcc\x11\x22\x33\x44", 5);
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_FOREIGN);
}

/*
 * The guest had put another instruction with the same first byte there before the cap, and is
 * done with it: our int3 goes at once, or nobody would ever take it away.
 */
static void test_same_head_before_cap(void **state)
{
	struct world *w = *state;
	struct meddle m = { "cap", 0, B + 4, 0x55 };

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	poke_fails(w, -EAGAIN, "arm cap cap head head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\x0f\x1f\x44\x00\x55", 5);
}

/* The guest probes the new instruction while only our retirement waits: its int3, its trap. */
static void test_own_int3_while_unfinished(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);

	w->fake->fail_sync = 3;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	*fake_at(w->fake, A) = VP_INT3;
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_FOREIGN);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fake_world_setup, fake_world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_cannot_arm),
		T(test_sync1_fails),
		T(test_sync2_fails),
		T(test_sync3_fails),
		T(test_never_answers),
		T(test_head_changed_before_cap),
		T(test_tail_changed_after_cap),
		T(test_tail_changed_after_tail),
		T(test_head_changed_at_the_end),
		T(test_all_tails_changed),
		T(test_tail_changed_while_unfinished),
		T(test_same_head_before_cap),
		T(test_own_int3_while_unfinished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
