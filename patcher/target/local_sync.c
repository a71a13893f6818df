/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine asks of the vCPUs: serialize, arm, hold, stop. The serializer
 * is `kick`: local_kick.c sends a vCPU thread out of KVM_RUN, and local_run.c serves the request
 * before it enters again.
 *
 * Everything here runs under l->lock, so the set of vCPUs does not change.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "target/local_internal.h"
#include "target/wait.h"
#include "x86/walk.h"

#define HOLD_TIMEOUT_MS 5000u

/* Has this vCPU done what is asked? @arg as given to wait_all(). */
typedef bool (*answer_fn)(struct vp_local_vcpu *v, uint64_t arg);

int vp_local_await(struct vp_local *l, bool (*done)(struct vp_local *l, void *arg), void *arg,
		   unsigned int timeout_ms)
{
	struct timespec until;
	bool there = done(l, arg);
	int rc = 0;

	if (there)
		return 0;
	until = vp_deadline(timeout_ms);
	pthread_mutex_lock(&l->wait_lock);
	/* Set before the answers are read again; its partner is in vp_local_notify(). */
	atomic_store(&l->waiting, true);
	while (!(there = done(l, arg)) && !rc)
		rc = pthread_cond_timedwait(&l->answered, &l->wait_lock, &until);
	atomic_store(&l->waiting, false);
	pthread_mutex_unlock(&l->wait_lock);
	return there ? 0 : -ETIMEDOUT;
}

struct question {
	answer_fn done;
	uint64_t arg;
	struct vp_local_vcpu *silent; /* the first that has not answered */
};

static bool all_have_answered(struct vp_local *l, void *arg)
{
	struct question *q = arg;

	q->silent = NULL;
	for (unsigned int i = 0; i < VP_VCPU_MAX && !q->silent; i++)
		if (l->vcpus[i] && !q->done(l->vcpus[i], q->arg))
			q->silent = l->vcpus[i];
	return !q->silent;
}

/* Wait until every vCPU has answered. */
static int wait_all(struct vp_local *l, answer_fn done, uint64_t arg, unsigned int timeout_ms,
		    struct vp_err *err)
{
	struct question q = { .done = done, .arg = arg };

	if (!vp_local_await(l, all_have_answered, &q, timeout_ms))
		return 0;
	return vp_err_set(err, -ETIMEDOUT,
			  "vCPU %u did not answer within %u ms; is the host overloaded, or "
			  "does its thread block signal %d?",
			  q.silent->id, timeout_ms, l->kick_signal);
}

/* --- serialize --------------------------------------------------------------- */

static bool has_serialized(struct vp_local_vcpu *v, uint64_t epoch)
{
	return atomic_load(&v->mode) != VP_MODE_GUEST || atomic_load(&v->ack) >= epoch;
}

int vp_local_op_sync(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	uint64_t epoch = atomic_fetch_add(&l->epoch, 1) + 1;

	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i] && !has_serialized(l->vcpus[i], epoch))
			vp_local_kick(l->vcpus[i]);
	return wait_all(l, has_serialized, epoch, timeout_ms, err);
}

/* --- #BP interception -------------------------------------------------------- */

static bool is_armed(struct vp_local_vcpu *v)
{
	return atomic_load(&v->armed);
}

static int arm_error(struct vp_local *l, struct vp_err *err)
{
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++) {
		int rc = l->vcpus[i] ? atomic_load(&l->vcpus[i]->arm_error) : 0;

		if (rc)
			return vp_err_set(
				err, rc, "vCPU %u: KVM_SET_GUEST_DEBUG failed; use --strategy stop",
				i);
	}
	return 0;
}

/*
 * A vCPU that is still armed from the batch before needs no kick: it disarms itself only
 * after it has read want_armed again (local_run.c), which is set by then.
 */
int vp_local_arm_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err)
{
	bool all = true;
	int rc;

	if (l->target.no_int3)
		return vp_err_set(err, -EOPNOTSUPP, "%s", l->target.no_int3);
	atomic_store(&l->want_armed, true);
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i] && !is_armed(l->vcpus[i]))
			all = false;
	if (all)
		return 0;
	rc = vp_local_op_sync(&l->target, timeout_ms, err);
	return rc ? rc : arm_error(l, err);
}

/* Lazy: each vCPU disarms when it next passes through user space. */
void vp_local_disarm_all(struct vp_local *l)
{
	atomic_store(&l->want_armed, false);
	vp_local_wake(l); /* a vCPU that could not be armed waits for this */
}

/* A batch and breakpoints (local_break.c) may both need it: sites that are guarded still, say. */
int vp_local_op_arm(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);

	l->batch_armed = true;
	return vp_local_arm_all(l, timeout_ms, err);
}

void vp_local_op_disarm(struct vp_target *t)
{
	struct vp_local *l = vp_local_of(t);

	l->batch_armed = false;
	if (!atomic_load(&l->nbreaks))
		vp_local_disarm_all(l);
}

/* --- S4 ---------------------------------------------------------------------- */

struct trap_counts {
	uint64_t of[VP_VCPU_MAX];
};

static bool has_left_trap(struct vp_local_vcpu *v, uint64_t arg)
{
	const struct trap_counts *before = (const struct trap_counts *)(uintptr_t)arg;

	return atomic_load(&v->mode) != VP_MODE_TRAP || atomic_load(&v->traps) != before->of[v->id];
}

int vp_local_op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct trap_counts before = { 0 };

	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i])
			before.of[i] = atomic_load(&l->vcpus[i]->traps);
	return wait_all(l, has_left_trap, (uintptr_t)&before, timeout_ms, err);
}

void vp_local_op_unpark(struct vp_target *t)
{
	struct vp_local *l = vp_local_of(t);

	atomic_fetch_add(&l->unparks, 1);
	vp_local_wake(l);
}

/* --- hold one, hold all ------------------------------------------------------ */

static bool is_outside(struct vp_local_vcpu *v, uint64_t arg)
{
	(void)arg;
	return !atomic_load(&v->hold) || atomic_load(&v->mode) != VP_MODE_GUEST;
}

#define MSR_KERNEL_GS_BASE 0xc0000102u

/* The vCPU is out of the guest and stays there, so its fd may be used from any thread. */
static int read_state(struct vp_local_vcpu *v, struct vp_vcpu_state *out, struct vp_err *err)
{
	_Alignas(struct kvm_msrs)
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)(void *)room;
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0 || ioctl(v->fd, KVM_GET_REGS, &r) < 0)
		return vp_err_set(err, -errno, "vCPU %u: its registers cannot be read", v->id);
	msrs->nmsrs = 1;
	msrs->entries[0].index = MSR_KERNEL_GS_BASE;
	ioctl(v->fd, KVM_GET_MSRS, msrs); /* stays 0 where KVM does not know it */
	*out = (struct vp_vcpu_state){
		.paging = { s.cr0, s.cr3, s.cr4, s.efer },
		.code64 = s.efer & VP_EFER_LMA && s.cs.l,
		.nested = vp_local_runs_nested(v->fd),
		.cs = s.cs.selector,
		.ss = s.ss.selector,
		.cs_base = s.cs.base,
		.fs_base = s.fs.base,
		.gs_base = s.gs.base,
		.kernel_gs_base = msrs->entries[0].data,
		.idt_base = s.idt.base,
	};
	vp_regs_from_kvm(&out->regs, &r);
	return 0;
}

static int hold_one(struct vp_local *l, struct vp_local_vcpu *v, struct vp_vcpu_state *state,
		    struct vp_err *err)
{
	int rc;

	l->held = v;
	atomic_store(&v->hold, true);
	if (atomic_load(&v->mode) == VP_MODE_GUEST)
		vp_local_kick(v);
	rc = wait_all(l, is_outside, 0, HOLD_TIMEOUT_MS, err);
	if (!rc)
		rc = read_state(v, state, err);
	if (rc)
		vp_local_op_release(&l->target);
	return rc;
}

int vp_local_op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	bool nested = false;

	if (vcpu >= 0) {
		if (vcpu >= VP_VCPU_MAX || !l->vcpus[vcpu])
			return vp_err_set(err, vcpu >= VP_VCPU_MAX ? -ERANGE : -ENOENT,
					  "there is no vCPU %d", vcpu);
		return hold_one(l, l->vcpus[vcpu], state, err);
	}
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++) {
		int rc;

		if (!l->vcpus[i])
			continue;
		rc = hold_one(l, l->vcpus[i], state, err);
		if (rc || (vp_paging_is_long(&state->paging) && !state->nested))
			return rc;
		nested = nested || state->nested;
		vp_local_op_release(t);
	}
	if (nested)
		return vp_err_set(err, -EAGAIN,
				  "every vCPU runs a guest of the guest's own just now: try again");
	return vp_err_set(err, -EOPNOTSUPP, "no vCPU runs in 64-bit mode with paging");
}

void vp_local_op_release(struct vp_target *t)
{
	struct vp_local *l = vp_local_of(t);

	atomic_store(&l->held->hold, false);
	l->held = NULL;
	vp_local_wake(l);
}

static bool is_held(struct vp_local_vcpu *v, uint64_t arg)
{
	(void)arg;
	return atomic_load(&v->mode) == VP_MODE_OUT;
}

/* Every vCPU out of the guest and out of trap handling, and it stays so. */
int vp_local_hold_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err)
{
	atomic_fetch_add(&l->holds, 1);
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i] && atomic_load(&l->vcpus[i]->mode) == VP_MODE_GUEST)
			vp_local_kick(l->vcpus[i]);
	return wait_all(l, is_held, 0, timeout_ms, err);
}

int vp_local_op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	int rc = vp_local_hold_all(l, timeout_ms, err);

	if (rc)
		vp_local_let_go(l);
	return rc;
}

void vp_local_let_go(struct vp_local *l)
{
	/* So that every vCPU serializes on its way in. */
	atomic_fetch_add(&l->epoch, 1);
	atomic_fetch_sub(&l->holds, 1);
	vp_local_wake(l);
}

int vp_local_pause(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err)
{
	int rc = vp_local_lock(l, err);

	if (rc)
		return rc;
	if (!atomic_load(&l->paused))
		rc = vp_local_op_stop(&l->target, timeout_ms ? timeout_ms : VP_TIMEOUT_MS, err);
	if (!rc)
		atomic_store(&l->paused, true);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* Also by the thread that has the lock: then a batch of it is in flight, which holds for itself. */
void vp_local_cont(struct vp_local *l)
{
	int rc = vp_local_lock(l, NULL);

	if (atomic_exchange(&l->paused, false))
		vp_local_let_go(l);
	if (!rc)
		pthread_mutex_unlock(&l->lock);
}

bool vp_local_paused(struct vp_local *l)
{
	return atomic_load(&l->paused);
}

int vp_local_vcpu_interrupt(struct vp_local *l, unsigned int id)
{
	struct vp_local_vcpu *v = NULL;

	pthread_mutex_lock(&l->table_lock);
	if (id < VP_VCPU_MAX)
		v = l->vcpus[id];
	if (v) {
		atomic_store(&v->interrupt, true);
		vp_local_kick(v);
	}
	pthread_mutex_unlock(&l->table_lock);
	if (!v)
		return -ENOENT;
	vp_local_wake(l);
	return 0;
}
