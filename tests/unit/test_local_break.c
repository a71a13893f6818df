/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints of the local target, and calls of guest functions by them. */
#include <sched.h>
#include <signal.h>

#include "fake_local.h"
#include "hotfix/call.h"
#include "unit.h"

#define w fake_local

static struct vp_err err;

static int setup(void **state)
{
	(void)state;
	return fake_local_new(VP_ROUTE_DEBUG);
}

static int setup_none(void **state)
{
	(void)state;
	return fake_local_new(VP_ROUTE_NONE);
}

static int teardown(void **state)
{
	(void)state;
	fake_local_free();
	return 0;
}

static void has(const char *part)
{
	if (!strstr(err.text, part) || strchr(err.text, '\n'))
		fail_msg("'%s' lacks '%s'", err.text, part);
}

static void stop(void)
{
	assert_int_equal(w.t->ops->lock(w.t, NULL), 0);
	assert_int_equal(w.t->ops->stop(w.t, 10000, NULL), 0);
}

static void resume(void)
{
	w.t->ops->resume(w.t);
	w.t->ops->unlock(w.t);
}

static int set(uint64_t addr)
{
	return w.t->ops->breaks->set(w.t, VP_GVA(addr), &err);
}

static int clear(uint64_t addr)
{
	return w.t->ops->breaks->clear(w.t, VP_GVA(addr), &err);
}

static int wait(unsigned int ms)
{
	return w.t->ops->breaks->wait(w.t, ms, &err);
}

/* --- calls ------------------------------------------------------------------------ */

static const struct vp_call_site site = {
	.safe = { { TEXT + SAFE } },
	.nsafe = 1,
	.pad = { TEXT + PAD },
	.oops = { TEXT + OOPS },
};

static int call(unsigned int fn, unsigned int n, unsigned int safe_ms, unsigned int call_ms,
		uint64_t *result)
{
	const struct vp_call_opts opts = { safe_ms, call_ms };
	struct vp_call calls[8] = { { 0 } };
	size_t made = 0;
	int rc;

	for (unsigned int i = 0; i < n; i++)
		calls[i].fn = VP_GVA(TEXT + fn);
	assert_int_equal(w.t->ops->lock(w.t, NULL), 0);
	rc = vp_call_list(w.t, &site, &opts, calls, n, &made, &err);
	w.t->ops->unlock(w.t);
	*result = made ? calls[made - 1].result : 0;
	return rc;
}

/* The task has its registers, and goes on. */
static void goes_on(unsigned int vcpu)
{
	const struct kvm_regs *r = &fake_kvm[vcpu].regs;

	fake_local_inside(vcpu);
	stop();
	assert_in_range(r->rip, TEXT + SAFE, TEXT + SAFE + 2);
	assert_int_equal(r->rsp, STACKS + 0xff8 - 0x800ull * vcpu);
	assert_int_equal(r->rbx, 0x1111 * (vcpu + 1));
	assert_int_equal(r->rflags, IF);
	resume();
	fake_local_inside(vcpu);
}

static void test_calls(void **state)
{
	uint64_t result;

	(void)state;
	fake_local_start(0, TEXT + SAFE);
	fake_local_start(1, TEXT + SAFE);
	for (unsigned int i = 0; i < 20; i++) {
		if (call(FN, 8, 10000, 10000, &result))
			fail_msg("%s", err.text);
		assert_int_equal(result, 42);
	}
	fake_local_clean();
	goes_on(0);
	goes_on(1);
}

/* The guest's own int3 in a function that is called: it gets its #BP. */
static void test_own_int3(void **state)
{
	uint64_t result;

	(void)state;
	fake_local_start(0, TEXT + SAFE);
	assert_int_equal(call(OWN, 2, 10000, 10000, &result), 0);
	assert_int_equal(result, 7);
	assert_int_equal(atomic_load(&w.own), 2);
	fake_local_clean();
	goes_on(0);
}

static void test_no_safe_point(void **state)
{
	uint64_t result;

	(void)state;
	fake_local_start(0, TEXT + IDLE);
	assert_int_equal(call(FN, 1, 50, 50, &result), -ETIMEDOUT);
	has("no point within 50 ms");
	fake_local_clean();
	fake_local_inside(0);
	assert_false(vp_local_paused(w.l));
}

static void test_paused(void **state)
{
	uint64_t result;

	(void)state;
	fake_local_start(0, TEXT + SAFE);
	assert_int_equal(vp_local_pause(w.l, 10000, NULL), 0);
	assert_int_equal(call(FN, 1, 50, 50, &result), -EBUSY);
	has("paused");
	fake_local_clean();
	assert_true(vp_local_paused(w.l));
	vp_local_cont(w.l);
	goes_on(0);
	assert_int_equal(call(FN, 1, 10000, 10000, &result), 0);
}

/* The call does not return; when it does, at last, the task is given its registers. */
static void test_late(void **state)
{
	struct vp_call_recovered done;
	uint64_t result;

	(void)state;
	fake_local_start(0, TEXT + SAFE);
	fake_local_start(1, TEXT + IDLE);
	assert_int_equal(call(SPIN, 1, 10000, 50, &result), -EUCLEAN);
	has("has not returned within 50 ms");
	fake_local_clean(); /* the guest runs, and none of our int3s is in its code */
	fake_local_inside(0);
	assert_int_equal(call(FN, 1, 50, 50, &result), -EBUSY);
	has("has not returned yet");
	stop();
	assert_int_equal(vp_call_recover(w.t, 50, NULL, NULL, &done, &err), -ETIMEDOUT);
	w.t->ops->unlock(w.t); /* left again */
	fake_local_inside(0);
	stop();
	__atomic_store_n(w.ram + CODE + SPIN + 2, 0, __ATOMIC_SEQ_CST); /* jmp to the ret */
	resume();
	for (unsigned int i = 0; i < 1000 && fake_kvm[0].inside; i++)
		sched_yield();
	fake_local_inside(1); /* the others run on, and are no worse off */
	stop();
	assert_int_equal(vp_call_recover(w.t, 10000, NULL, NULL, &done, &err), 0);
	resume();
	assert_true(done.found && done.returned);
	goes_on(0);
	w.before[SPIN + 2] = 0;
	fake_local_clean();
	assert_int_equal(call(FN, 2, 10000, 10000, &result), 0);
	assert_int_equal(result, 42);
}

static void *end_soon(void *arg)
{
	const struct timespec nap = { .tv_nsec = 50000000 };

	do
		nanosleep(&nap, NULL);
	while (*(const unsigned int *)arg == SPIN && !atomic_load(&w.spinning));
	fake_local_end_all();
	return NULL;
}

/* The VM ends in mid-call: nobody waits for what cannot come any more. */
static void ends_in(uint64_t rip, unsigned int fn, int rc)
{
	struct timespec begin, end;
	pthread_t ender;
	uint64_t result;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	fake_local_start(0, rip);
	fake_local_start(1, TEXT + IDLE);
	pthread_create(&ender, NULL, end_soon, &fn);
	assert_int_equal(call(fn, 1, 60000, 60000, &result), rc);
	has("the VM is ending");
	pthread_join(ender, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_in_range(end.tv_sec - begin.tv_sec, 0, 30);
	assert_int_equal(vp_local_vcpu_count(w.l), 0);
	fake_local_clean();
}

static void test_vm_ends_in_call(void **state)
{
	(void)state;
	ends_in(TEXT + SAFE, SPIN, -EUCLEAN);
}

static void test_vm_ends_before(void **state)
{
	(void)state;
	ends_in(TEXT + IDLE, FN, -ESHUTDOWN);
}

static void on_foreign(int sig)
{
	(void)sig;
}

static void *disturb(void *arg)
{
	const struct timespec nap = { .tv_nsec = 300000 };

	while (!atomic_load((_Atomic bool *)arg)) {
		pthread_kill(w.threads[0].id, SIGUSR1);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

/* The VMM's own signals all the while, at the breakpoints too. */
static void test_signals(void **state)
{
	_Atomic bool enough = false;
	pthread_t other;
	uint64_t result;

	(void)state;
	signal(SIGUSR1, on_foreign);
	fake_local_start(0, TEXT + SAFE);
	pthread_create(&other, NULL, disturb, &enough);
	for (unsigned int i = 0; i < 1000 && atomic_load(&w.interrupts) < 50; i++) {
		if (call(FN, 8, 20000, 20000, &result))
			fail_msg("%s", err.text);
		assert_int_equal(result, 42);
	}
	atomic_store(&enough, true);
	pthread_join(other, NULL);
	assert_true(atomic_load(&w.interrupts) >= 50);
	fake_local_clean();
	goes_on(0);
}

/* --- breakpoints ------------------------------------------------------------------- */

static void test_refused(void **state)
{
	(void)state;
	fake_local_start(0, TEXT + IDLE);
	w.t->ops->lock(w.t, NULL);
	assert_int_equal(set(TEXT + SAFE), -EPERM);
	w.t->ops->unlock(w.t);
	stop();
	assert_int_equal(set(TEXT + 0x5000), -EFAULT);
	assert_int_equal(set(READONLY), -EROFS);
	for (unsigned int i = 0; i < VP_BREAKS_MAX; i++)
		assert_int_equal(set(TEXT + 0x500 + 16ull * i), 0);
	assert_int_equal(set(TEXT + 0x500), 0); /* it is there */
	assert_int_equal(set(TEXT + SAFE), -ENOSPC);
	assert_int_equal(clear(TEXT + SAFE), 0); /* it is not */
	resume();
	fake_local_clean(); /* they went with resume() */
	fake_local_inside(0);
	assert_false(atomic_load(&fake_kvm[0].armed));
}

static void test_no_route(void **state)
{
	(void)state;
	fake_local_start(0, TEXT + IDLE);
	stop();
	assert_int_equal(set(TEXT + SAFE), -EOPNOTSUPP);
	has("does not report");
	resume();
	fake_local_clean();
}

/* It stands at the int3 itself, and goes on where it is told to. */
static void test_set_regs(void **state)
{
	struct vp_regs regs = { .rip = TEXT + IDLE, .rflags = IF };

	(void)state;
	fake_local_start(0, TEXT + SAFE);
	fake_local_start(1, TEXT + IDLE);
	stop();
	assert_int_equal(set(TEXT + SAFE), 0);
	assert_int_equal(wait(10000), 0);
	assert_int_equal(fake_kvm[0].regs.rip, TEXT + SAFE);
	assert_int_equal(w.t->ops->breaks->set_regs(w.t, 7, &regs, &err), -ENOENT);
	assert_int_equal(w.t->ops->breaks->set_regs(w.t, -1, &regs, &err), -ENOENT);
	assert_int_equal(w.t->ops->breaks->set_regs(w.t, 0, &regs, &err), 0);
	assert_int_equal(wait(30), -ETIMEDOUT);
	assert_int_equal(fake_kvm[0].regs.rip, TEXT + IDLE);
	resume();
	fake_local_clean();
}

/* Through another mapping of the page: held, but it stands at no breakpoint; and it goes on. */
static void test_alias(void **state)
{
	(void)state;
	fake_local_start(0, ALIAS + SAFE);
	stop();
	assert_int_equal(set(TEXT + SAFE), 0);
	for (unsigned int i = 0; i < 1000 && (!i || fake_kvm[0].regs.rip != ALIAS + SAFE); i++)
		assert_int_equal(wait(30), -ETIMEDOUT); /* a busy host: it may not get there yet */
	assert_int_equal(fake_kvm[0].regs.rip, ALIAS + SAFE);
	assert_int_equal(clear(TEXT + SAFE), 0);
	resume();
	fake_local_clean();
	fake_local_inside(0);
	assert_int_equal(atomic_load(&w.own), 0);
}

/* The guest patches itself where our int3 stands. Its bytes stay. */
static void test_guest_writes(void **state)
{
	(void)state;
	fake_local_start(0, TEXT + IDLE);
	stop();
	assert_int_equal(set(TEXT + FN), 0);
	assert_int_equal(set(TEXT + OWN + 1), 0);
	w.ram[CODE + FN + 1] = 0x55;  /* its tail; the head is to come, behind its own int3 */
	w.ram[CODE + OWN + 1] = 0x90; /* all of it */
	assert_int_equal(clear(TEXT + FN), 0);
	assert_int_equal(clear(TEXT + OWN + 1), 0);
	assert_int_equal(w.ram[CODE + FN], VP_INT3);
	assert_int_equal(w.ram[CODE + OWN + 1], 0x90);
	resume();
}

/* A batch that is guarded still: breakpoints come and go, and its int3s stay exits to us. */
static void test_armed_for_a_batch(void **state)
{
	(void)state;
	fake_local_start(0, TEXT + IDLE);
	w.t->ops->lock(w.t, NULL);
	assert_int_equal(w.t->ops->arm(w.t, 10000, NULL), 0);
	w.t->ops->unlock(w.t);
	stop();
	assert_int_equal(set(TEXT + SAFE), 0);
	assert_int_equal(wait(10), -ETIMEDOUT);
	resume();
	stop();
	resume();
	fake_local_inside(0);
	assert_true(atomic_load(&fake_kvm[0].armed));
	stop();
	w.t->ops->disarm(w.t);
	resume();
	/* It stays armed for a while, and then until it passes by. */
	for (unsigned int i = 0; i < 20000 && atomic_load(&fake_kvm[0].armed); i++) {
		stop();
		resume();
		fake_local_inside(0);
	}
	assert_false(atomic_load(&fake_kvm[0].armed));
	fake_local_clean();
}

/* The kernel's page tables, where no vCPU has the page. */
static void test_space(void **state)
{
	const struct vp_paging space = { 0x80000001, 0x1000, 0x20, 0xd01 };

	(void)state;
	fake_kvm[0].sregs.cr3 = 0xa000; /* empty */
	fake_local_start(0, TEXT + IDLE);
	stop();
	assert_int_equal(set(TEXT + SAFE), -EFAULT);
	w.t->ops->breaks->space(w.t, &space);
	assert_int_equal(set(TEXT + SAFE), 0);
	assert_int_equal(w.ram[CODE + SAFE], VP_INT3);
	resume();
	fake_local_clean();
	stop();
	assert_int_equal(set(TEXT + SAFE), -EFAULT); /* forgotten */
	resume();
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_calls),
		T(test_own_int3),
		T(test_no_safe_point),
		T(test_paused),
		T(test_late),
		T(test_vm_ends_in_call),
		T(test_vm_ends_before),
		T(test_signals),
		T(test_refused),
		cmocka_unit_test_setup_teardown(test_no_route, setup_none, teardown),
		T(test_set_regs),
		T(test_alias),
		T(test_guest_writes),
		T(test_armed_for_a_batch),
		T(test_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
