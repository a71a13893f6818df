/* SPDX-License-Identifier: Apache-2.0 */
/* The asking side waits for vCPUs: vp_local_notify() (local_kick.c) is the other half. */
#include <errno.h>

#include "target/local_internal.h"
#include "target/wait.h"

int vp_local_await(struct vp_local *l, bool (*done)(struct vp_local *l, void *arg), void *arg,
		   uint64_t timeout_us)
{
	bool there = done(l, arg);
	int64_t asleep = vp_now_us() + VP_LOCAL_LOOK_US;
	struct timespec until;
	int rc = 0;

	while (!there && vp_now_us() < asleep) {
		__builtin_ia32_pause();
		there = done(l, arg);
	}
	if (there)
		return 0;
	until = vp_deadline_us(timeout_us);
	pthread_mutex_lock(&l->wait_lock);
	/* Set before the answers are read again; its partner is in vp_local_notify(). */
	atomic_store(&l->waiting, true);
	while (!(there = done(l, arg)) && !rc)
		rc = pthread_cond_timedwait(&l->has_answer, &l->wait_lock, &until);
	atomic_store(&l->waiting, false);
	pthread_mutex_unlock(&l->wait_lock);
	return there ? 0 : -ETIMEDOUT;
}

struct question {
	vp_local_answer_fn done;
	uint64_t arg;
	struct vp_local_vcpu *silent; /* the first that has not answered */
};

static bool all_have_answered(struct vp_local *l, void *arg)
{
	struct question *q = arg;

	q->silent = NULL;
	for (unsigned int i = 0; i < l->top && !q->silent; i++)
		if (l->vcpus[i] && !q->done(l->vcpus[i], q->arg))
			q->silent = l->vcpus[i];
	return !q->silent;
}

int vp_local_wait_all(struct vp_local *l, vp_local_answer_fn done, uint64_t arg,
		      unsigned int timeout_ms, struct vp_err *err)
{
	struct question q = { .done = done, .arg = arg };

	if (!vp_local_await(l, all_have_answered, &q, timeout_ms * 1000ull))
		return 0;
	return vp_err_set(err, -ETIMEDOUT,
			  "vCPU %u did not answer within %u ms; is the host overloaded, or "
			  "does its thread block signal %d?",
			  q.silent->id, timeout_ms, l->kick_signal);
}
