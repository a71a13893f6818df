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

bool vp_local_has_signal(const struct vp_local *l)
{
	struct sigaction now;

	return !sigaction(l->kick_signal, NULL, &now) && !(now.sa_flags & SA_SIGINFO) &&
	       now.sa_handler == on_kick;
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

/*
 * A real-time signal is queued, and the user's queue may be full of others. That passes, or it does
 * not.
 */
#define KICK_TRIES  50
#define KICK_NAP_NS 1000000

int vp_local_kick(struct vp_local_vcpu *v)
{
	const struct timespec nap = { .tv_nsec = KICK_NAP_NS };
	bool sent = false;

	/* The flag catches a thread that has not yet reached KVM_RUN. */
	__atomic_or_fetch(&v->run->immediate_exit, EXIT_OURS, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; !sent && i < KICK_TRIES; i++) {
		sent = !syscall(SYS_tgkill, getpid(), v->tid, v->l->kick_signal);
		if (!sent)
			nanosleep(&nap, NULL);
	}
	return sent ? 0 : -EAGAIN;
}

/*
 * `called` is set before the flag and the signal, and cleared after the flag. So as long as it is
 * set, both are in place since the vCPU's thread last went to enter the guest: it is out, or on its
 * way out; and when it goes to enter again it will see what is asked now.
 */
int vp_local_call(struct vp_local_vcpu *v)
{
	int rc;

	if (atomic_load(&v->called))
		return 0;
	atomic_store(&v->called, true);
	rc = vp_local_kick(v);
	if (rc)
		atomic_store(&v->called, false);
	return rc ? rc : 1;
}

void vp_local_clear_kick(struct vp_local_vcpu *v)
{
	__atomic_and_fetch(&v->run->immediate_exit, (uint8_t)~EXIT_OURS, __ATOMIC_SEQ_CST);
	atomic_store(&v->called, false);
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

bool vp_local_sleep(struct vp_local_vcpu *v, _Atomic uint32_t *word, uint32_t seen,
		    unsigned int limit_us)
{
	const struct timespec limit = { .tv_nsec = (long)limit_us * 1000 };
	int why = 0;

	vp_local_await_kick();
	if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0) < 0)
		why = errno;
	if ((why == EINTR && !kicked) ||
	    __atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST) & ~EXIT_OURS)
		atomic_store(&v->interrupt, true);
	return why != ETIMEDOUT;
}

/* --- waking who sleeps, on both sides ------------------------------------------ */

void vp_local_notify(struct vp_local *l)
{
	/* Our answer was stored before; the asking thread sets `waiting` before it reads answers.
	 */
	if (!atomic_load(&l->waiting))
		return;
	pthread_mutex_lock(&l->wait_lock);
	pthread_cond_broadcast(&l->has_answer);
	pthread_mutex_unlock(&l->wait_lock);
}

static void wake(struct vp_local *l, _Atomic uint32_t *word)
{
	long woken;

	atomic_fetch_add(word, 1);
	woken = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	if (woken > 0)
		vp_local_count(&l->wakes, (uint64_t)woken);
}

void vp_local_wake(struct vp_local *l)
{
	wake(l, &l->changes);
}

void vp_local_wake_gathered(struct vp_local *l)
{
	wake(l, &l->gathered);
}
