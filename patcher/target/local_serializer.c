/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync(): every vCPU has serialized. docs/serialization.md says why each way is right, and where.
 *
 *	kick			each vCPU that is in the guest is called out, and answers
 *	kick-membarrier		each is called; a membarrier then leaves nobody in the guest, and
 *				nobody comes back who has not seen the call: no answer is awaited
 *	membarrier		the kernel serializes the cores that our threads run on
 *
 * The latter two say nothing of an instruction that KVM is emulating, so VP_SYNC_EXIT is always a
 * kick.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "target/local_internal.h"

/* --- who has served an epoch stays out for the others ------------------------------- */

/*
 * On a host with more to do than cores a vCPU that does not answer waits for a core, and those that
 * have answered would take it: each sync would last as long as the scheduler's slices. So they stay
 * out until the lock is let go, or for LOOK_US times GATHER_LOOKS; whoever is the first to see that
 * it is over wakes the others. But not if all answer at once: then each goes on.
 */
#define LOOK_US	     150u
#define GATHER_LOOKS 7

bool vp_local_stay_out(struct vp_local_vcpu *v, uint64_t epoch)
{
	int64_t asleep = vp_now_us() + VP_LOCAL_LOOK_US;
	struct vp_local *l = v->l;

	if (!atomic_load(&l->gather))
		return false;
	do {
		if (atomic_load(&l->answered) >= epoch)
			return false;
		__builtin_ia32_pause();
	} while (vp_now_us() < asleep);
	atomic_store(&v->mode, VP_MODE_OUT);
	vp_local_notify(l);
	vp_local_count(&v->stayed, 1);
	for (unsigned int looks = 0; looks < GATHER_LOOKS && !atomic_load(&v->interrupt);) {
		uint32_t seen = atomic_load(&l->gathered);

		if (!atomic_load(&l->gather)) {
			vp_local_wake_gathered(l);
			break;
		}
		if (!vp_local_sleep(v, &l->gathered, seen, LOOK_US))
			looks++;
	}
	return true;
}

/* Nobody is woken here: they would take the caller's core, for slices of milliseconds. */
void vp_local_end_gathering(struct vp_local *l)
{
	if (atomic_load(&l->gather))
		atomic_store(&l->gather, false);
}

#define RUN_NS 10000000

void vp_local_op_let_run(struct vp_target *t)
{
	const struct timespec some_time = { .tv_nsec = RUN_NS };

	vp_local_end_gathering(vp_local_of(t));
	nanosleep(&some_time, NULL);
}

/* --- sync -------------------------------------------------------------------------- */

static bool has_serialized(struct vp_local_vcpu *v, uint64_t epoch)
{
	return atomic_load(&v->mode) != VP_MODE_GUEST || atomic_load(&v->ack) >= epoch;
}

/* Call those that have not. How many; -1: somebody could not be called. */
static int call_all(struct vp_local *l, uint64_t epoch, bool gather)
{
	bool failed = false;
	int n = 0, rc;

	for (unsigned int i = 0; i < l->top; i++) {
		if (!l->vcpus[i] || has_serialized(l->vcpus[i], epoch))
			continue;
		if (!n++ && gather)
			atomic_store(&l->gather, true);
		rc = vp_local_call(l->vcpus[i]);
		failed = failed || rc < 0;
		if (rc > 0)
			vp_local_count(&l->vcpus[i]->kicks, 1);
	}
	return failed ? -1 : n;
}

static bool barrier(struct vp_local *l, int command)
{
	vp_local_count(&l->barriers, 1);
	return !syscall(SYS_membarrier, command, 0, 0);
}

static bool all_have_serialized(struct vp_local *l, uint64_t epoch)
{
	for (unsigned int i = 0; i < l->top; i++)
		if (l->vcpus[i] && !has_serialized(l->vcpus[i], epoch))
			return false;
	return true;
}

/* Call who has to be called; with a barrier @in_place of their answers, nobody is waited for. */
static int kick(struct vp_local *l, uint64_t epoch, bool in_place, unsigned int timeout_ms,
		struct vp_err *err)
{
	int called = call_all(l, epoch, !in_place);

	if (!called || (called > 0 && in_place && barrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED)))
		return 0;
	return vp_local_wait_all(l, has_serialized, epoch, timeout_ms, err);
}

int vp_local_op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		     struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	bool core = what == VP_SYNC_CORE && !atomic_load(&l->emulates);
	enum vp_serializer by = core ? l->serializer : VP_SERIALIZER_KICK;
	/* Whoever is out serializes by the epoch before it enters. */
	uint64_t epoch = atomic_fetch_add(&l->epoch, 1) + 1;
	int rc = 0;

	vp_local_count(&l->syncs, 1);
	if (by != VP_SERIALIZER_MEMBARRIER ||
	    (!all_have_serialized(l, epoch) &&
	     !barrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)))
		rc = kick(l, epoch, by == VP_SERIALIZER_KICK_MEMBARRIER, timeout_ms, err);
	if (!rc)
		atomic_store(&l->answered, epoch);
	return rc;
}
