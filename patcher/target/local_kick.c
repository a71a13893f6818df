/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a vCPU thread is called out of the guest: a signal plus kvm_run.immediate_exit. And how it
 * sleeps when it must not go in: such that a signal of the VMM's own wakes it, too.
 *
 * KVM only looks whether immediate_exit is zero (KVM api.rst, 5). Bit 1 of it is ours; every other
 * one is the VMM's, which writes 1.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "target/local_internal.h"

#define EXIT_OURS 2u

/* In this thread a kick came since vp_local_await_kick(). */
static __thread volatile sig_atomic_t kicked;

static void on_kick(int sig)
{
	(void)sig;
	kicked = 1;
}

/* One handler for all targets of the process; it stays for good, a kick may still be under way. */
static pthread_mutex_t taking = PTHREAD_MUTEX_INITIALIZER;

static int take(int sig, struct vp_err *err)
{
	/* KVM_RUN ends all the same; what the VMM was doing outside of it goes on. */
	struct sigaction kick = { .sa_handler = on_kick, .sa_flags = SA_RESTART }, now;

	sigemptyset(&kick.sa_mask);
	if (sig < 1 || sigaction(sig, NULL, &now))
		return vp_err_set(err, -EINVAL, "%d is no signal that can kick a vCPU", sig);
	if (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_kick)
		return 0;
	if (now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL)
		return vp_err_set(
			err, -EBUSY,
			"signal %d has a handler already, or is ignored: give another one "
			"as vp_local_config.kick_signal",
			sig);
	if (sigaction(sig, &kick, NULL))
		return vp_err_set(err, -EINVAL, "signal %d can have no handler: %s", sig,
				  strerror(errno));
	return 0;
}

int vp_local_take_signal(int sig, struct vp_err *err)
{
	int rc;

	pthread_mutex_lock(&taking);
	rc = take(sig, err);
	pthread_mutex_unlock(&taking);
	return rc;
}

int vp_local_check_mask(const struct vp_local *l, unsigned int id, struct vp_err *err)
{
	sigset_t blocked;

	if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) || !sigismember(&blocked, l->kick_signal))
		return 0;
	return vp_err_set(err, -EINVAL,
			  "vCPU %u: its thread blocks signal %d, which calls it out of the guest: "
			  "unblock it there before vp_local_vcpu_attach()",
			  id, l->kick_signal);
}

/* --- kicks ------------------------------------------------------------------- */

void vp_local_kick(struct vp_local_vcpu *v)
{
	/* The flag catches a thread that has not yet reached KVM_RUN. */
	__atomic_or_fetch(&v->run->immediate_exit, EXIT_OURS, __ATOMIC_SEQ_CST);
	syscall(SYS_tgkill, getpid(), v->tid, v->l->kick_signal);
}

void vp_local_clear_kick(struct vp_local_vcpu *v)
{
	__atomic_and_fetch(&v->run->immediate_exit, (uint8_t)~EXIT_OURS, __ATOMIC_SEQ_CST);
}

void vp_local_await_kick(void)
{
	kicked = 0;
}

/*
 * What the VMM does not tell by immediate_exit it must keep pending by KVM_SET_SIGNAL_MASK, or it
 * loses its own signals: then the next KVM_RUN ends as well, and no kick explains it.
 */
bool vp_local_was_foreign(const struct vp_local_vcpu *v)
{
	uint8_t flag = __atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST);

	return flag & ~EXIT_OURS || !(flag & EXIT_OURS || kicked);
}

/* --- sleeping ---------------------------------------------------------------- */

#define LOOK_NS 100000000 /* how long a flag may go unseen whose signal came a moment too early */

void vp_local_sleep(struct vp_local_vcpu *v, uint32_t seen)
{
	const struct timespec limit = { .tv_nsec = LOOK_NS };
	bool woken_by_signal;

	vp_local_await_kick();
	woken_by_signal =
		syscall(SYS_futex, &v->l->changes, FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0) < 0 &&
		errno == EINTR && !kicked;
	if (woken_by_signal ||
	    __atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST) & ~EXIT_OURS)
		atomic_store(&v->interrupt, true);
}

/* --- waking who sleeps, on both sides ------------------------------------------ */

void vp_local_notify(struct vp_local *l)
{
	/* Our answer was stored before; the asking thread sets `waiting` before it reads answers.
	 */
	if (!atomic_load(&l->waiting))
		return;
	pthread_mutex_lock(&l->wait_lock);
	pthread_cond_broadcast(&l->answered);
	pthread_mutex_unlock(&l->wait_lock);
}

void vp_local_wake(struct vp_local *l)
{
	atomic_fetch_add(&l->changes, 1);
	syscall(SYS_futex, &l->changes, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
