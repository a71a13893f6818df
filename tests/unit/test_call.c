/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of calls in a borrowed task: how they go, and how they are given up. */
#include "unit.h"

#include "fake_calls.h"

#define NONE           \
	{              \
		FC_END \
	}

static struct vp_err err;

static uint64_t add(struct fake_calls *c, const struct vp_regs *regs)
{
	(void)c;
	/* Two calls, two places; all of it far below what the task has on its stack. */
	assert_int_equal(regs->gpr[VP_RSP],
			 ((FC_STACK - 512) & ~15ull) - 8 - (regs->rip == FC_FN ? 0 : 16));
	return regs->gpr[VP_RDI] + 2 * regs->gpr[VP_RSI] + 3 * regs->gpr[VP_RDX] +
	       4 * regs->gpr[VP_RCX] + 5 * regs->gpr[VP_R8] + 6 * regs->gpr[VP_R9];
}

static int list(struct fake_calls *c, size_t n, struct vp_call *calls, size_t *made)
{
	struct vp_call_site site = fake_calls_site();

	for (size_t i = 0; i < n; i++)
		calls[i] = (struct vp_call){ .name = "fn",
					     .fn = VP_GVA(FC_FN + 16 * i),
					     .arg = { 1, 2, 3, 4, 5, 6 + i } };
	err = (struct vp_err){ "" };
	return vp_call_list(&c->f->target, &site, NULL, calls, n, made, &err);
}

static void has(const char *part)
{
	if (!strstr(err.text, part) || strchr(err.text, '\n'))
		fail_msg("'%s' lacks '%s'", err.text, part);
}

/* Two calls as they are meant to go, whatever happens between. */
static void goes_well(const enum fc_event *script)
{
	struct fake_calls *c = fake_calls_new(script);
	struct vp_call calls[2];
	size_t made = 0;

	c->function = add;
	if (list(c, 2, calls, &made))
		fail_msg("%s", err.text);
	assert_int_equal(made, 2);
	assert_int_equal(calls[0].result, 1 + 4 + 9 + 16 + 25 + 36);
	assert_int_equal(calls[1].result, 1 + 4 + 9 + 16 + 25 + 42);
	assert_int_equal(c->called[0].v, FC_FN);
	assert_int_equal(c->called[1].v, FC_FN + 16);
	assert_int_equal(*c->script, FC_END);
	fake_calls_clean(c);
	fake_calls_free(c);
}

static void test_well(void **state)
{
	static const enum fc_event scripts[][12] = {
		{ FC_AT_SAFE, FC_RETURN, FC_RETURN },
		{ FC_BOTH, FC_RETURN, FC_RETURN },
		{ FC_AT_SAFE, FC_MOVED, FC_MOVED },
		{ FC_BOTH, FC_MOVED, FC_RETURN },
		{ FC_FOREIGN, FC_FOREIGN, FC_AT_SAFE, FC_FOREIGN, FC_RETURN, FC_FOREIGN, FC_MOVED },
		{ FC_AGAIN, FC_AT_SAFE, FC_AGAIN, FC_RETURN, FC_AGAIN, FC_RETURN },
		{ FC_AT_SAFE, FC_RETURN_LATE, FC_RETURN },
		{ FC_AT_SAFE, FC_OTHER_OOPS, FC_RETURN, FC_RETURN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		goes_well(scripts[i]);
}

/* Who may not run for long is let go by, a few times: perhaps there is nobody else. */
static void test_nice(void **state)
{
	static const struct {
		uint32_t prio, policy;
		bool low;
	} tasks[] = { { 120, 0, false }, { 139, 0, true }, { 121, 3, true }, { 120, 5, true },
		      { 100, 0, false }, { 98, 1, false }, { 140, 0, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
		enum fc_event script[20] = { FC_AT_SAFE, FC_RETURN };
		struct vp_call call = { .name = "fn", .fn = VP_GVA(FC_FN) };
		struct fake_calls *c = fake_calls_new(script);
		struct vp_call_site site = fake_calls_nice(c, tasks[i].prio, tasks[i].policy);
		size_t made = 0;

		if (tasks[i].low) {
			for (size_t k = 0; k < 17; k++)
				script[k] = FC_AT_SAFE;
			script[17] = FC_RETURN;
			script[18] = FC_END;
			c->passes = 16;
		}
		if (vp_call_list(&c->f->target, &site, NULL, &call, 1, &made, &err))
			fail_msg("%s", err.text);
		assert_int_equal(made, 1);
		assert_int_equal(c->passed, tasks[i].low ? 16 : 0);
		assert_int_equal(*c->script, FC_END);
		fake_calls_clean(c);
		fake_calls_free(c);
	}
}

/* What cannot be read tells nothing: it will do. */
static void test_nice_unknown(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_END };
		struct vp_call call = { .name = "fn", .fn = VP_GVA(FC_FN) };
		struct fake_calls *c = fake_calls_new(script);
		struct vp_call_site site = fake_calls_nice(c, 139, 0);
		const uint64_t bad[] = { 0x1000, FAKE_DATA + 0x8000, UINT64_MAX - 3 };
		size_t made = 0;

		if (i == 3)
			site.priority.current = 0;
		else if (i == 1) /* another stack */
			memcpy(fake_at(c->f, FAKE_DATA + 0x220), &bad[1], 8);
		else
			memcpy(fake_at(c->f, FAKE_DATA + 0x100), &bad[i], 8);
		assert_int_equal(vp_call_list(&c->f->target, &site, NULL, &call, 1, &made, &err),
				 0);
		assert_int_equal(made, 1);
		fake_calls_clean(c);
		fake_calls_free(c);
	}
}

/* --- given up before the first call --------------------------------------------- */

static int gives_up(const enum fc_event *script, const char *part)
{
	struct fake_calls *c = fake_calls_new(script);
	struct vp_call calls[2];
	size_t made = 7;
	int rc = list(c, 2, calls, &made);

	assert_int_equal(made, 0);
	assert_int_equal(c->ncalls, 0);
	has(part);
	fake_calls_clean(c);
	fake_calls_free(c);
	return rc;
}

static void test_no_safe_point(void **state)
{
	static const enum fc_event never[] = NONE, foreign[] = { FC_FOREIGN, FC_AGAIN, FC_TIMEOUT },
				   unfit[] = { FC_UNFIT, FC_END }, busy[] = { FC_BUSY, FC_END };

	(void)state;
	assert_int_equal(gives_up(never, "reached no point within 5000 ms"), -ETIMEDOUT);
	assert_int_equal(gives_up(foreign, "reached no point"), -ETIMEDOUT);
	assert_int_equal(gives_up(unfit, "reached no point"), -ETIMEDOUT);
	assert_int_equal(gives_up(busy, "postmigrate"), -EBUSY);
}

/* At each breakpoint, each note, before the first call. */
static void test_first_steps_fail(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_END };

	(void)state;
	for (int i = 0; i < 7; i++) {
		struct fake_calls *c = fake_calls_new(script);
		struct vp_call call;
		size_t made = 0;

		c->fail_rc = i == 5 ? -EAGAIN : -ENOSPC;
		c->fail_set = i < 4 ? i + 1 : 0;
		c->fail_keep = i == 4;
		c->fail_regs = i == 5;
		c->skip_regs = true;
		if (i == 6)
			c->f->fail_write = true, c->f->writes_left = 1;
		assert_true(list(c, 1, &call, &made) < 0);
		assert_int_equal(c->ncalls, 0);
		fake_calls_clean(c);
		fake_calls_free(c);
	}
}

/* --- given up later ---------------------------------------------------------------- */

static void test_no_return(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_FOREIGN, FC_END };
	struct fake_calls *c = fake_calls_new(script);
	struct vp_call calls[2];
	size_t made = 0;

	(void)state;
	assert_int_equal(list(c, 2, calls, &made), -EUCLEAN);
	has("has not returned within 300000 ms");
	has("vmpoke recover");
	assert_int_equal(made, 1);
	/* The breakpoint that it will run into, and what is to be done then, are there. */
	assert_true(c->left && !c->resumed && !c->abandoned);
	assert_true(c->nbreaks && c->nkept);
	fake_calls_free(c);
}

static void test_oops(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_OOPSED, FC_END };
	struct fake_calls *c = fake_calls_new(script);
	struct vp_call calls[2];
	size_t made = 0;

	(void)state;
	assert_int_equal(list(c, 2, calls, &made), -EFAULT);
	has("oopsed");
	assert_int_equal(made, 0);
	assert_true(c->resumed && !c->left && !c->abandoned);
	assert_int_equal(c->nbreaks + c->nkept, 0);
	fake_calls_free(c);
}

static void test_contact_lost(void **state)
{
	static const enum fc_event lost[] = { FC_AT_SAFE, FC_LOST, FC_END },
				   busy[] = { FC_AT_SAFE, FC_BUSY, FC_END },
				   well[] = { FC_AT_SAFE, FC_RETURN, FC_RETURN, FC_END };

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct fake_calls *c = fake_calls_new(i == 0 ? lost : i == 1 ? busy : well);
		struct vp_call calls[2];
		size_t made = 0;

		c->fail_rc = -ECONNRESET;
		c->fail_regs = i < 2 ? 0 : i - 1; /* begin, begin, end */
		c->skip_regs = i % 2;
		assert_int_equal(list(c, 2, calls, &made), -EUCLEAN);
		has("vmpoke recover");
		assert_true(c->abandoned && !c->resumed && !c->left);
		assert_true(c->nkept);
		fake_calls_free(c);
	}
}

/* Behind a call an owner's `cont` leads nowhere: the breakpoint at the pad is there. */
static void test_again_behind_call(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_RETURN, FC_END };

	(void)state;
	for (int i = 2; i <= 3; i++) {
		struct fake_calls *c = fake_calls_new(script);
		struct vp_call calls[2];
		size_t made = 0;

		c->fail_rc = -EAGAIN;
		c->fail_regs = i;
		c->skip_regs = true;
		assert_int_equal(list(c, 2, calls, &made), 0);
		assert_int_equal(made, 2);
		fake_calls_clean(c);
		fake_calls_free(c);
	}
}

/* --- the caller decides ------------------------------------------------------------ */

static int decide(void *arg, const struct vp_call *done, const struct vp_paging *space,
		  struct vp_call *next, struct vp_err *e)
{
	int *stop_at = arg;

	assert_int_equal(space->efer, 0xd01);
	if (!done) {
		*next = (struct vp_call){ .fn = VP_GVA(FC_FN), .arg = { 5 } };
		return 1;
	}
	if (--*stop_at == 0)
		return vp_err_set(e, -ENOMEM, "enough of it");
	*next = (struct vp_call){ .fn = VP_GVA(FC_FN), .arg = { done->result } };
	return done->result < 20 ? 1 : 0;
}

static uint64_t twice(struct fake_calls *c, const struct vp_regs *regs)
{
	(void)c;
	return 2 * regs->gpr[VP_RDI];
}

static void test_next(void **state)
{
	static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_MOVED, FC_END };
	struct vp_call_site site = fake_calls_site();
	struct vp_call_report report;

	(void)state;
	for (int stop_at = 1; stop_at <= 3; stop_at++) {
		struct fake_calls *c = fake_calls_new(script);
		int left = stop_at;
		int rc;

		c->function = twice;
		rc = vp_call_run(&c->f->target, &site, NULL, decide, &left, &report, &err);
		assert_int_equal(rc, stop_at < 3 ? -ENOMEM : 0);
		assert_int_equal(report.calls, stop_at < 3 ? stop_at : 2);
		assert_int_equal(report.stops, 2 + report.calls);
		assert_int_equal(report.moved, report.calls > 1);
		fake_calls_clean(c);
		fake_calls_free(c);
	}
}

static void test_cannot(void **state)
{
	static const enum fc_event script[] = NONE;
	struct fake_calls *c = fake_calls_new(script);
	struct vp_call_site site = { .nsafe = 0 };
	struct fake *plain = fake_new();
	struct vp_call_recovered done;
	int n = 1;

	(void)state;
	assert_int_equal(vp_call_run(&c->f->target, &site, NULL, decide, &n, NULL, &err),
			 -EOPNOTSUPP);
	site = fake_calls_site();
	assert_int_equal(vp_call_run(&plain->target, &site, NULL, decide, &n, NULL, &err),
			 -EOPNOTSUPP);
	assert_int_equal(vp_call_recover(&plain->target, 0, NULL, NULL, &done, &err), 0);
	assert_false(done.found);
	c->f->stop_rc = -EBUSY;
	assert_int_equal(vp_call_run(&c->f->target, &site, NULL, decide, &n, NULL, &err), -EBUSY);
	assert_false(c->resumed);
	fake_free(plain);
	fake_calls_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well),
		cmocka_unit_test(test_nice),
		cmocka_unit_test(test_nice_unknown),
		cmocka_unit_test(test_no_safe_point),
		cmocka_unit_test(test_first_steps_fail),
		cmocka_unit_test(test_no_return),
		cmocka_unit_test(test_oops),
		cmocka_unit_test(test_contact_lost),
		cmocka_unit_test(test_again_behind_call),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
