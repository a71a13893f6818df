/* SPDX-License-Identifier: Apache-2.0 */
/* Every way a batch can fail half way: silent vCPUs, a guest that patches the same bytes. */
#include "fake.h"
#include "unit.h"

static void expect_bytes(struct world *w, uint64_t at, const char *bytes, size_t n)
{
	assert_memory_equal(fake_at(w->fake, at), bytes, n);
}

/* What the guest is given time by when a cap is in doubt. */
#define ROUND "unpark quiesce sync "

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
 * done with it: our int3 goes when it has had the time to show that it is not, or nobody would ever
 * take it away.
 */
static void test_same_head_before_cap(void **state)
{
	struct world *w = *state;
	struct meddle m = { "cap", 0, B + 4, 0x55 };

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	poke_fails(w, -EAGAIN,
		   "arm cap cap " ROUND ROUND ROUND "head head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\x0f\x1f\x44\x00\x55", 5);
}

/* As soon as our int3 stands at B the guest, whose own is invisible under it, writes its tail. */
static void write_tail_under_cap(struct fake *f, vp_gpa gpa)
{
	if (gpa.v != 0x40200 || *fake_at(f, B) != VP_INT3)
		return;
	f->on_read = NULL;
	memcpy(fake_at(f, B) + 1, "\x11\x22\x33\x44", 4);
}

/* It writes its head when every vCPU has answered. Never may the old head stand before its tail. */
static void write_head_late(struct fake *f, const char *op)
{
	assert_false(*fake_at(f, B) == 0x0f && fake_at(f, B)[1] == 0x11);
	if (!strcmp(op, "sync") && *fake_at(f, B) == VP_INT3 && f->hook_arg)
		*fake_at(f, B) = 0xb8;
}

/* We are preempted between the cap and the look at the tail, and the guest goes on in between. */
static void test_guest_pokes_after_cap(void **state)
{
	struct world *w = *state;

	w->fake->on_read = write_tail_under_cap;
	w->fake->hook = write_head_late;
	w->fake->hook_arg = w->fake;
	poke_fails(w, -EAGAIN, "arm cap cap " ROUND ROUND ROUND "head unpark sync quiesce disarm");
	assert_null(w->fake->on_read);
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\xb8\x11\x22\x33\x44", 5);
}

/* A vCPU does not answer meanwhile: capped and guarded, and decided later. */
static void test_doubt_waits(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };
	struct meddle m = { "cap", 0, B + 4, 0x55 };

	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	w->fake->fail_sync = 2;
	w->fake->never_answers = true;
	assert_int_equal(vp_poke(w->engine, s, 2, NULL, NULL, NULL), -EAGAIN);
	assert_string_equal(w->fake->trace, "arm cap cap " ROUND "unpark quiesce sync");
	expect_bytes(w, B, "\xcc\x1f\x44\x00\x55", 5);
	assert_int_equal(fake_trap(w->fake, B, NULL), VP_VERDICT_PARK);
	w->fake->never_answers = false;
	assert_int_equal(vp_engine_settle(w->engine, 10, NULL), 0);
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\x0f\x1f\x44\x00\x55", 5);
}

/* --- a target that swaps whole instructions ------------------------------------- */

static void whole_fails(struct world *w, struct meddle m, int rc, const char *trace)
{
	w->fake->whole = true;
	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	poke_fails(w, rc, trace);
}

/* No int3 is ever laid on what is not the old instruction. */
static void test_whole_cap(void **state)
{
	struct world *w = *state;

	whole_fails(w, (struct meddle){ "cap", 0, B + 4, 0x55 }, -EAGAIN,
		    "arm cap cap head unpark sync quiesce disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, "\x0f\x1f\x44\x00\x55", 5);
}

/* Between our look at the bytes and our write of the tail. */
static void test_whole_tail(void **state)
{
	struct world *w = *state;

	whole_fails(w, (struct meddle){ "tail", 1, A + 2, 0x55 }, -EAGAIN,
		    "arm cap cap sync tail head unpark sync quiesce disarm");
	expect_bytes(w, A, "\xcc\x1f\x55\x00\x00", 5); /* its own text_poke goes on */
	expect_bytes(w, B, NOP5, 5);
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_FOREIGN);
}

/* Between our last look and our write of the head: said, and no mixture is made. */
static void test_whole_head(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };
	struct meddle m = { "head", 2, B + 2, 0x55 };

	w->fake->whole = true;
	w->fake->hook = meddle;
	w->fake->hook_arg = &m;
	assert_int_equal(vp_poke(w->engine, s, 2, NULL, NULL, NULL), -EIO);
	expect_bytes(w, A, JMP5, 5);
	expect_bytes(w, B, "\xcc\x10\x55\x00\x00", 5);
}

static void test_whole_timeout(void **state)
{
	struct world *w = *state;

	w->fake->whole = true;
	w->fake->fail_sync = 2;
	poke_fails(w, -ETIMEDOUT,
		   "arm cap cap sync tail tail sync tail tail sync head head unpark sync quiesce "
		   "disarm");
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, NOP5, 5);
}

/* --- leaving, and being saved ---------------------------------------------------- */

/* A batch that a vCPU did not answer: its int3 stands at A. */
static void leave_unfinished(struct world *w)
{
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);

	w->fake->fail_sync = 2;
	w->fake->never_answers = true;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), -ETIMEDOUT);
	assert_int_equal(*fake_at(w->fake, A), VP_INT3);
}

static void test_free_unfinished(void **state)
{
	struct world *w = *state;
	unsigned int unparks;

	leave_unfinished(w);
	unparks = w->fake->unparks;
	assert_int_equal(vp_engine_free(w->engine), -EBUSY);
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_PARK); /* it is there still */
	w->fake->never_answers = false;
	assert_int_equal(vp_engine_free(w->engine), 0);
	expect_bytes(w, A, NOP5, 5);
	assert_true(w->fake->unparks > unparks);
	assert_false(w->fake->armed);
	assert_int_equal(vp_engine_new(&w->fake->target, &w->engine, NULL), 0);
}

/* What is put back would be missing in the dirty log. */
static void test_settle_while_logging(void **state)
{
	struct world *w = *state;

	leave_unfinished(w);
	w->fake->never_answers = false;
	w->fake->writable_rc = -EBUSY;
	w->fake->trace[0] = '\0';
	assert_int_equal(vp_engine_settle(w->engine, 10, NULL), -EBUSY);
	assert_int_equal(vp_engine_free(w->engine), -EBUSY);
	assert_int_equal(vp_engine_freeze(w->engine, 10, NULL), -EBUSY);
	assert_string_equal(w->fake->trace, "");
	assert_int_equal(*fake_at(w->fake, A), VP_INT3);
	w->fake->writable_rc = 0;
	assert_int_equal(vp_engine_settle(w->engine, 10, NULL), 0);
	expect_bytes(w, A, NOP5, 5);
}

static void test_freeze(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(B, VP_RESUME_PARK);
	struct vp_err err = { "" };

	leave_unfinished(w);
	assert_int_equal(vp_engine_freeze(w->engine, 10, NULL), -EBUSY);
	w->fake->never_answers = false;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0); /* not frozen by that */
	assert_int_equal(vp_engine_freeze(w->engine, 10, NULL), 0);
	assert_int_equal(vp_engine_freeze(w->engine, 0, NULL), 0);
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, JMP5, 5);
	w->fake->trace[0] = '\0';
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.text, "saved"));
	vp_engine_thaw(w->engine);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), -EBUSY);
	assert_string_equal(w->fake->trace, "");
	vp_engine_thaw(w->engine);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), 0);
}

/* What cannot be written back now stays capped and guarded, and is tried again. */
static void test_rollback_cannot_write(void **state)
{
	struct world *w = *state;

	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };

	w->fake->fail_write = w->fake->write_stays_broken = true;
	w->fake->writes_left = 1;
	assert_int_equal(vp_poke(w->engine, s, 2, NULL, NULL, NULL), -EIO);
	assert_string_equal(w->fake->trace, "arm cap cap sync write write");
	assert_int_equal(*fake_at(w->fake, A), VP_INT3);
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_PARK);
	w->fake->fail_write = false;
	assert_int_equal(vp_engine_settle(w->engine, 10, NULL), 0);
	expect_bytes(w, A, NOP5, 5);
	expect_bytes(w, B, NOP5, 5);
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
		T(test_guest_pokes_after_cap),
		T(test_doubt_waits),
		T(test_own_int3_while_unfinished),
		T(test_whole_cap),
		T(test_whole_tail),
		T(test_whole_head),
		T(test_whole_timeout),
		T(test_free_unfinished),
		T(test_settle_while_logging),
		T(test_freeze),
		T(test_rollback_cannot_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
