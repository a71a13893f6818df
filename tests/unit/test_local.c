/* SPDX-License-Identifier: Apache-2.0 */
/* The local target's memory, and vp_local_run() in a VMM that has signals of its own. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <vmpoke/local.h>

#include "fake_kvm.h"
#include "unit.h"

#define RAM    0x3000u /* a page to write, a read-only one, one whose log is on */
#define ROM    0x1000u
#define LOGGED 0x2000u

struct local {
	struct vp_local *l;
	struct vp_target *t;
	uint8_t *ram;
};

static int setup(void **state)
{
	const struct vp_local_config config = { .route = VP_ROUTE_DEBUG,
						.serializer = VP_SERIALIZER_KICK };
	struct local *w = calloc(1, sizeof(*w));

	fake_kvm_reset();
	w->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(mprotect(w->ram + ROM, 0x1000, PROT_READ), 0);
	assert_int_equal(vp_local_new(&config, &w->l, NULL), 0);
	w->t = vp_local_target(w->l);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(0), w->ram, 0x1000, 0, NULL), 0);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(ROM), w->ram + ROM, 0x1000, KVM_MEM_READONLY,
					  NULL),
			 0);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(LOGGED), w->ram + LOGGED, 0x1000,
					  KVM_MEM_LOG_DIRTY_PAGES, NULL),
			 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct local *w = *state;

	assert_int_equal(vp_local_free(w->l), 0);
	munmap(w->ram, RAM);
	free(w);
	return 0;
}

/* --- what may be written ------------------------------------------------------ */

/* Every way to write, at @gpa. */
static void expect_writes(struct local *w, uint64_t gpa, int rc)
{
	static const uint8_t zero[8], some[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	const struct vp_target_ops *ops = w->t->ops;

	memset(w->ram, 0, 0x1000);
	assert_int_equal(ops->check_write(w->t, VP_GPA(gpa), 8, NULL), rc);
	assert_int_equal(ops->swap_head(w->t, VP_GPA(gpa), 0, 0, NULL), rc);
	assert_int_equal(ops->swap_word(w->t, VP_GPA(gpa), 0, 0, NULL), rc);
	assert_int_equal(ops->swap_bytes(w->t, VP_GPA(gpa), zero, some, 8, NULL), rc);
	assert_int_equal(ops->write(w->t, VP_GPA(gpa), zero, 8, NULL), rc);
}

/* A store into the read-only page would be a SIGSEGV. */
static void test_read_only(void **state)
{
	struct local *w = *state;
	uint8_t byte;

	expect_writes(w, 0x100, 0);
	expect_writes(w, ROM, -EROFS);
	expect_writes(w, ROM + 0xff8, -EROFS);
	expect_writes(w, LOGGED, -EBUSY);
	expect_writes(w, RAM, -EFAULT);
	assert_int_equal(w->t->ops->read(w->t, VP_GPA(ROM), &byte, 1, NULL), 0);
	assert_int_equal(vp_local_set_ram_flags(w->l, VP_GPA(LOGGED), 0, NULL), 0);
	assert_int_equal(vp_local_set_ram_flags(w->l, VP_GPA(0), KVM_MEM_READONLY, NULL), 0);
	expect_writes(w, LOGGED, 0);
	expect_writes(w, 0x100, -EROFS);
}

/* --- several bytes at once ----------------------------------------------------- */

/* Eight bytes in a cache line, or more in an aligned sixteen: all lengths at all places. */
static void test_swap_bytes(void **state)
{
	struct local *w = *state;
	uint8_t want[256], old[VP_INSN_MAX], new[VP_INSN_MAX];

	for (unsigned int len = 1; len <= VP_INSN_MAX; len++) {
		for (unsigned int at = 0; at <= 0x1000 - len; at++) {
			bool fits = len <= 8 ? at % 64 + len <= 64 : at % 16 + len <= 16;
			unsigned int from = at < 64 ? 0 : at - 64, n;
			int rc;

			for (unsigned int i = 0; i < 0x1000; i += at ? 0x1000 : 1)
				w->ram[i] = (uint8_t)(i * 7);
			n = 0x1000 - from < sizeof(want) ? 0x1000 - from : sizeof(want);
			memcpy(want, w->ram + from, n);
			memcpy(old, w->ram + at, len);
			for (unsigned int i = 0; i < len; i++)
				new[i] = (uint8_t)~old[i];
			rc = w->t->ops->swap_bytes(w->t, VP_GPA(at), old, new, len, NULL);
			assert_int_equal(rc, fits ? 0 : -EOPNOTSUPP);
			if (fits)
				memcpy(want + at - from, new, len);
			assert_memory_equal(w->ram + from, want, n);
			new[len - 1] ^= 1;
			if (fits)
				assert_int_equal(w->t->ops->swap_bytes(w->t, VP_GPA(at), new, old,
								       len, NULL),
						 -EAGAIN);
			assert_memory_equal(w->ram + from, want, n);
		}
	}
}

#define ROUNDS 20000u

static void *count_up(void *arg)
{
	uint32_t *neighbour = arg;

	for (unsigned int i = 0; i < ROUNDS; i++)
		__atomic_fetch_add(neighbour, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The guest writes next to it all the time: nothing of that is lost. */
static void test_swap_beside_writes(void **state)
{
	struct local *w = *state;
	const uint8_t one[4] = { 1, 2, 3, 4 }, two[4] = { 5, 6, 7, 8 };
	pthread_t thread;

	memset(w->ram, 0, 0x1000);
	memcpy(w->ram + 0x104, one, 4);
	pthread_create(&thread, NULL, count_up, w->ram + 0x100);
	for (unsigned int i = 0; i < ROUNDS; i++)
		assert_int_equal(w->t->ops->swap_bytes(w->t, VP_GPA(0x104), i & 1 ? two : one,
						       i & 1 ? one : two, 4, NULL),
				 0);
	pthread_join(thread, NULL);
	assert_int_equal(*(uint32_t *)(void *)(w->ram + 0x100), ROUNDS);
}

/* --- the signal ---------------------------------------------------------------- */

static void on_foreign(int sig)
{
	(void)sig;
}

static int new_with(int sig, struct vp_err *err)
{
	struct vp_local_config config = { .route = VP_ROUTE_DEBUG, .kick_signal = sig };
	struct vp_local *l = NULL;
	int rc = vp_local_new(&config, &l, err);

	if (!rc)
		assert_int_equal(vp_local_kick_signal(l), sig);
	assert_int_equal(vp_local_free(l), 0);
	return rc;
}

static void test_signal_is_taken(void **state)
{
	struct local *w = *state;
	struct vp_err err = { "" };
	struct sigaction now;

	assert_int_equal(vp_local_kick_signal(w->l), SIGRTMIN + 1);
	signal(SIGRTMIN + 3, on_foreign);
	assert_int_equal(new_with(SIGRTMIN + 3, &err), -EBUSY);
	assert_non_null(strstr(err.text, "kick_signal"));
	sigaction(SIGRTMIN + 3, NULL, &now);
	assert_true(now.sa_handler == on_foreign);
	signal(SIGRTMIN + 3, SIG_IGN);
	assert_int_equal(new_with(SIGRTMIN + 3, NULL), -EBUSY);
	signal(SIGRTMIN + 3, SIG_DFL);
	assert_int_equal(new_with(SIGRTMIN + 3, NULL), 0);
	assert_int_equal(new_with(SIGRTMIN + 3, NULL), 0); /* ours already */
	sigaction(SIGRTMIN + 3, NULL, &now);
	assert_true(now.sa_flags & SA_RESTART);
	assert_int_equal(new_with(SIGKILL, NULL), -EINVAL);
	assert_int_equal(new_with(-1, NULL), -EINVAL);
	assert_int_equal(new_with(1000, NULL), -EINVAL);
}

static void test_blocked(void **state)
{
	struct local *w = *state;
	struct vp_local_vcpu *v = NULL;
	struct vp_err err = { "" };
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	assert_int_equal(vp_local_vcpu_attach(w->l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &v, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "blocks signal"));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(vp_local_vcpu_attach(w->l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &v, &err), 0);
	vp_local_vcpu_detach(v);
}

/* --- called at a wrong moment --------------------------------------------------- */

static void test_no_ram(void **state)
{
	struct local *w = *state;

	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(0x10000), NULL, 0x1000, 0, NULL), -EINVAL);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(0x10000), w->ram, 0, 0, NULL), -EINVAL);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(~0xfffull), w->ram, 0x2000, 0, NULL),
			 -EINVAL);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(0xf00), w->ram, 0x1000, 0, NULL), -EEXIST);
	assert_null(vp_local_hva(w->l, VP_GPA(0x10000), 1));
}

static enum vp_verdict sink(void *arg, struct vp_trap *trap)
{
	(void)arg;
	(void)trap;
	return VP_VERDICT_FOREIGN;
}

/* While a vCPU or an engine would still look at it. */
static void test_free_too_early(void **state)
{
	struct local *w = *state;
	struct vp_local_vcpu *v;

	assert_int_equal(vp_local_vcpu_attach(w->l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &v, NULL), 0);
	assert_int_equal(vp_local_vcpu_count(w->l), 1);
	assert_int_equal(vp_local_free(w->l), -EBUSY);
	vp_local_vcpu_detach(v);
	w->t->sink.handle = sink;
	assert_int_equal(vp_local_free(w->l), -EBUSY);
	w->t->sink.handle = NULL;
	assert_int_equal(vp_local_vcpu_count(w->l), 0);
	assert_int_equal(vp_local_free(NULL), 0);
}

/* As in a callback of the engine: this thread has the lock. */
static void test_with_the_lock(void **state)
{
	struct local *w = *state;
	struct vp_err err = { "" };
	struct vp_local_vcpu *v, *w2;

	assert_int_equal(vp_local_vcpu_attach(w->l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &v, NULL), 0);
	assert_int_equal(vp_local_pause(w->l, 10000, NULL), 0);
	assert_int_equal(w->t->ops->lock(w->t, NULL), 0);
	assert_int_equal(w->t->ops->lock(w->t, &err), -EDEADLK);
	assert_non_null(strstr(err.text, "callback"));
	assert_int_equal(vp_local_pause(w->l, 10000, NULL), -EDEADLK);
	assert_int_equal(vp_local_set_ram_flags(w->l, VP_GPA(0), 0, NULL), -EDEADLK);
	assert_int_equal(vp_local_add_ram(w->l, VP_GPA(0x10000), w->ram, 1, 0, NULL), -EDEADLK);
	assert_int_equal(vp_local_vcpu_attach(w->l, 1, FAKE_KVM_FD + 1, &fake_kvm[1].run, &w2,
					      NULL),
			 -EDEADLK);
	assert_int_equal(vp_local_free(w->l), -EBUSY);
	assert_true(vp_local_paused(w->l));
	assert_int_equal(vp_local_vcpu_count(w->l), 1);
	assert_int_equal(vp_local_vcpu_interrupt(w->l, 0), 0);
	vp_local_cont(w->l);
	assert_false(vp_local_paused(w->l));
	vp_local_vcpu_detach(v);
	w->t->ops->unlock(w->t); /* which it has still */
	assert_int_equal(vp_local_pause(w->l, 10000, NULL), 0);
	vp_local_cont(w->l);
}

static void *run_of_another(void *arg)
{
	struct vp_err err = { "" };

	assert_int_equal(vp_local_run(arg, &err), -EPERM);
	assert_non_null(strstr(err.text, "another thread"));
	return NULL;
}

static void test_other_thread(void **state)
{
	struct local *w = *state;
	struct vp_local_vcpu *v;
	pthread_t thread;

	assert_int_equal(vp_local_vcpu_attach(w->l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &v, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_of_another, v), 0);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&fake_kvm[0].runs), 0);
	vp_local_vcpu_detach(v);
}

/* --- a vCPU thread -------------------------------------------------------------- */

struct runner {
	struct local *w;
	pthread_t thread;
	_Atomic bool there;
	_Atomic int rc;
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct vp_local_vcpu *v;

	assert_int_equal(vp_local_vcpu_attach(r->w->l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &v, NULL),
			 0);
	atomic_store(&r->there, true);
	r->rc = vp_local_run(v, NULL);
	vp_local_vcpu_detach(v);
	return NULL;
}

static void wait_for(_Atomic bool *flag)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 20000 && !atomic_load(flag); i++)
		nanosleep(&nap, NULL);
	assert_true(atomic_load(flag));
}

static struct runner *start(struct local *w)
{
	struct runner *r = calloc(1, sizeof(*r));

	r->w = w;
	r->rc = 1;
	assert_int_equal(pthread_create(&r->thread, NULL, runner_main, r), 0);
	return r;
}

static void expect_back(struct runner *r, int rc)
{
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	assert_int_equal(r->rc, rc);
	free(r);
}

/* A VMM that stops its vCPU by a signal gets its thread back; our kicks it does not see. */
static void test_foreign_signal(void **state)
{
	struct local *w = *state;
	struct runner *r;

	signal(SIGUSR1, on_foreign);
	r = start(w);
	wait_for(&fake_kvm[0].inside);
	for (unsigned int i = 0; i < 100; i++) {
		wait_for(&fake_kvm[0].inside); /* who is out is not kicked */
		w->t->ops->lock(w->t, NULL);
		assert_int_equal(w->t->ops->sync(w->t, VP_SYNC_CORE, 10000, NULL), 0);
		w->t->ops->unlock(w->t);
	}
	wait_for(&fake_kvm[0].inside);
	assert_true(atomic_load(&fake_kvm[0].runs) > 50);
	assert_int_equal(r->rc, 1);
	pthread_kill(r->thread, SIGUSR1);
	expect_back(r, -EINTR);
	assert_int_equal(fake_kvm[0].run.immediate_exit, 0);
}

static void test_foreign_flag(void **state)
{
	struct local *w = *state;

	fake_kvm[0].run.immediate_exit = 1; /* before it gets there: the signal came too early */
	expect_back(start(w), -EINTR);
	assert_int_equal(fake_kvm[0].run.immediate_exit, 1); /* for the VMM to clear */
}

static void stop_like_a_vmm(struct runner *r)
{
	__atomic_store_n(&fake_kvm[0].run.immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(r->thread, SIGUSR1);
	expect_back(r, -EINTR);
}

/* Also while we hold the vCPU out of the guest. */
static void test_foreign_while_held(void **state)
{
	struct local *w = *state;
	struct runner *r;

	signal(SIGUSR1, on_foreign);
	r = start(w);
	wait_for(&fake_kvm[0].inside);
	assert_int_equal(vp_local_pause(w->l, 10000, NULL), 0);
	stop_like_a_vmm(r);
	fake_kvm[0].run.immediate_exit = 0;
	r = start(w);
	wait_for(&r->there);
	pthread_kill(r->thread, SIGUSR1);
	stop_like_a_vmm(r);
	vp_local_cont(w->l);
}

static _Atomic bool enough;

static void *interrupter_main(void *arg)
{
	const struct timespec nap = { .tv_nsec = 10000 };
	struct local *w = arg;

	while (!atomic_load(&enough)) {
		int rc = vp_local_vcpu_interrupt(w->l, 0);

		assert_true(!rc || rc == -ENOENT);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

/* By its number: whether it is there, comes or goes just then. */
static void test_interrupt(void **state)
{
	struct local *w = *state;
	pthread_t interrupter;

	assert_int_equal(vp_local_vcpu_interrupt(w->l, 0), -ENOENT);
	assert_int_equal(vp_local_vcpu_interrupt(w->l, VP_VCPU_MAX), -ENOENT);
	assert_int_equal(pthread_create(&interrupter, NULL, interrupter_main, w), 0);
	for (unsigned int i = 0; i < 200; i++)
		expect_back(start(w), -EINTR);
	atomic_store(&enough, true);
	pthread_join(interrupter, NULL);
	assert_int_equal(vp_local_vcpu_interrupt(w->l, 0), -ENOENT);
}

/* --- slots that come and go ---------------------------------------------------- */

#define SLOT 0x100000u

struct moving {
	struct vp_local *l;
	_Atomic bool stop;
	unsigned int there, away;
};

static void *look_on(void *arg)
{
	struct moving *m = arg;
	struct vp_target *t = vp_local_target(m->l);
	uint8_t *all = malloc(SLOT);

	while (!atomic_load(&m->stop)) {
		int rc = t->ops->read(t, VP_GPA(SLOT), all, SLOT, NULL);

		rc ? m->away++ : m->there++;
		if (rc && rc != -EFAULT)
			abort();
	}
	free(all);
	return NULL;
}

/* When a slot is removed its memory goes at once: whoever still read it would die. */
static void test_moving_ram(void **state)
{
	const struct vp_local_config config = { .route = VP_ROUTE_DEBUG,
						.serializer = VP_SERIALIZER_KICK,
						.ram_moves = true };
	struct moving m = { .stop = false };
	uint8_t *keeps = calloc(1, SLOT), byte = 1;
	struct vp_target *t;
	pthread_t thread;

	(void)state;
	assert_int_equal(vp_local_new(&config, &m.l, NULL), 0);
	t = vp_local_target(m.l);
	assert_int_equal(pthread_create(&thread, NULL, look_on, &m), 0);
	for (unsigned int i = 0; i < 300 || !m.there || !m.away; i++) {
		uint8_t *ram = mmap(NULL, SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);

		assert_int_equal(vp_local_add_ram(m.l, VP_GPA(SLOT), ram, SLOT, 0, NULL), 0);
		assert_int_equal(vp_local_add_ram(m.l, VP_GPA(0), keeps, SLOT, 0, NULL), 0);
		assert_int_equal(t->ops->write(t, VP_GPA(SLOT), &byte, 1, NULL), 0);
		sched_yield();
		assert_int_equal(vp_local_remove_ram(m.l, VP_GPA(SLOT), NULL), 0);
		munmap(ram, SLOT);
		assert_int_equal(t->ops->write(t, VP_GPA(SLOT), &byte, 1, NULL), -EFAULT);
		/* the other one, which took its place in the table */
		assert_int_equal(t->ops->write(t, VP_GPA(7), &byte, 1, NULL), 0);
		assert_int_equal(vp_local_remove_ram(m.l, VP_GPA(0), NULL), 0);
	}
	atomic_store(&m.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(vp_local_remove_ram(m.l, VP_GPA(0), NULL), -ENOENT);
	assert_int_equal(keeps[7], 1);
	assert_int_equal(vp_local_free(m.l), 0);
	free(keeps);
}

static void test_still_ram(void **state)
{
	struct local *w = *state;

	assert_int_equal(vp_local_remove_ram(w->l, VP_GPA(0), NULL), -EINVAL);
}

/* A framebuffer is logged at all times, all of RAM while the guest is saved. */
static void test_logged(void **state)
{
	struct local *w = *state;

	assert_int_equal(w->t->ops->writable(w->t, NULL), 0);
	assert_int_equal(vp_local_set_ram_flags(w->l, VP_GPA(0), KVM_MEM_LOG_DIRTY_PAGES, NULL), 0);
	assert_int_equal(w->t->ops->writable(w->t, NULL), -EBUSY);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_read_only),
		T(test_swap_bytes),
		T(test_swap_beside_writes),
		T(test_signal_is_taken),
		T(test_blocked),
		T(test_no_ram),
		T(test_free_too_early),
		T(test_with_the_lock),
		T(test_other_thread),
		T(test_foreign_signal),
		T(test_foreign_flag),
		T(test_foreign_while_held),
		T(test_interrupt),
		T(test_still_ram),
		T(test_logged),
		cmocka_unit_test(test_moving_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
