/* SPDX-License-Identifier: Apache-2.0 */
/* A process is killed in a run of calls; the next one brings the task home. */
#include "unit.h"

#include "fake_calls.h"
#include "hotfix/call_task.h"

static struct vp_err err;

static uint64_t result(struct fake_calls *c, const struct vp_regs *regs)
{
	(void)c;
	return regs->rip == FC_FN ? 100 : 200;
}

/*
 * Two calls, cut off at the @regs-th change of registers, before it is done or behind; 0: where the
 * script says. Then as QEMU would be found: stopped, and without our breakpoints.
 */
static struct fake_calls *cut_off(const enum fc_event *script, int regs, bool before)
{
	struct fake_calls *c = fake_calls_new(script);
	struct vp_call_site site = fake_calls_site();
	struct vp_call calls[2] = { { .fn = VP_GVA(FC_FN) }, { .fn = VP_GVA(FC_FN + 16) } };
	size_t made;

	c->function = result;
	c->fail_regs = regs;
	c->skip_regs = before;
	c->fail_rc = -ECONNRESET;
	assert_int_equal(vp_call_list(&c->f->target, &site, NULL, calls, 2, &made, &err), -EUCLEAN);
	c->f->stopped = true;
	c->abandoned = c->left = false;
	c->nbreaks = 0;
	return c;
}

/* The window that recovery had been in ends. */
static void resumed(struct fake_calls *c)
{
	assert_true(c->f->stopped);
	c->f->target.ops->resume(&c->f->target);
	fake_calls_clean(c);
	fake_calls_free(c);
}

static const enum fc_event well[] = { FC_AT_SAFE, FC_RETURN, FC_RETURN, FC_END };

static void test_each_point(void **state)
{
	static const struct {
		int regs;
		bool before, returned;
		unsigned int nr;
		uint64_t result;
	} cases[] = {
		{ 1, true, false, 0, 0 },  /* about to make the first */
		{ 1, false, false, 0, 0 }, /* at its entry: it is not made */
		{ 2, true, true, 0, 100 }, /* behind it, about to make the second */
		{ 2, false, false, 1, 0 }, /* at that one's entry */
		{ 3, true, true, 1, 200 }, /* behind it */
		{ 3, false, false, 1, 0 }, /* with its own registers, but that is not known */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_calls *c = cut_off(well, cases[i].regs, cases[i].before);
		struct vp_call_recovered done;

		if (vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err))
			fail_msg("%zu: %s", i, err.text);
		assert_true(done.found);
		assert_int_equal(done.returned, cases[i].returned);
		assert_int_equal(done.nr, cases[i].nr);
		assert_int_equal(done.fn.v, cases[i].nr ? FC_FN + 16 : FC_FN);
		assert_int_equal(done.result, cases[i].result);
		resumed(c);
	}
}

static void test_in_call(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_LOST, FC_FOREIGN,
						FC_AGAIN,   FC_MOVED,  FC_END };
	struct fake_calls *c = cut_off(script, 0, false);
	struct vp_call_recovered done;

	(void)state;
	fake_calls_sleep(c);
	assert_int_equal(vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err), 0);
	assert_true(done.found && done.returned);
	assert_int_equal(done.nr, 1);
	assert_int_equal(done.result, 200);
	resumed(c);
}

/* It does not come back: the breakpoint and what is known stay, so that the next one can try. */
static void test_still_in_call(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_LOST, FC_TIMEOUT, FC_RETURN,
						FC_END };
	struct fake_calls *c = cut_off(script, 0, false);
	struct vp_call_recovered done;

	(void)state;
	fake_calls_sleep(c);
	assert_int_equal(vp_call_recover(&c->f->target, 7, NULL, NULL, &done, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "within 7 ms"));
	assert_true(c->left && c->nkept && c->nbreaks);
	c->left = false;
	c->f->stopped = true;
	c->nbreaks = 0;
	assert_int_equal(vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err), 0);
	assert_true(done.returned);
	resumed(c);
}

/* The VM was let go on: the task was never in the call, and its stack has been used since. */
static void test_never_begun(void **state)
{
	struct fake_calls *c = cut_off(well, 1, true);
	struct vp_call_recovered done;

	(void)state;
	c->vcpu[0].rip = FC_IDLE;
	memset(fake_at(c->f, FAKE_DATA + 0x3000), 0, 0x1000);
	assert_int_equal(vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err), 0);
	assert_true(done.found && !done.returned);
	resumed(c);
}

static void test_nonsense(void **state)
{
	static const enum fc_event none[] = { FC_END };
	struct fake_calls *c = fake_calls_new(none);
	struct vp_call_kept kept = { .magic = VP_CALL_MAGIC, .phase = 7 };
	struct vp_call_recovered done;

	(void)state;
	c->f->stopped = true;
	assert_int_equal(vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err), 0);
	assert_false(done.found);
	memcpy(c->kept, &kept, sizeof(kept));
	for (c->nkept = 1; c->nkept <= sizeof(kept); c->nkept++)
		assert_int_equal(vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err),
				 -EBADMSG);
	kept.phase = VP_CALL_BEGUN;
	kept.magic++;
	memcpy(c->kept, &kept, sizeof(kept));
	c->nkept = sizeof(kept);
	assert_int_equal(vp_call_recover(&c->f->target, 0, NULL, NULL, &done, &err), -EBADMSG);
	assert_int_equal(c->nbreaks, 0);
	c->f->stopped = false;
	fake_calls_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_point),    cmocka_unit_test(test_in_call),
		cmocka_unit_test(test_still_in_call), cmocka_unit_test(test_never_begun),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
