/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine asks of the vCPUs, but for sync() (local_serializer.c): arm, quiesce, hold, stop.
 * local_kick.c sends a vCPU thread out of KVM_RUN, and local_run.c serves the request before it
 * enters again.
 *
 * Everything here runs under l->lock, so the set of vCPUs does not change.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "target/local_internal.h"
#include "target/wait.h"
#include "x86/walk.h"

#define HOLD_TIMEOUT_MS 5000u

/* --- #BP interception -------------------------------------------------------- */

static bool is_armed(struct vp_local_vcpu *v)
{
	return atomic_load(&v->armed);
}

static int arm_error(struct vp_local *l, struct vp_err *err)
{
	for (unsigned int i = 0; i < l->top; i++) {
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
 * after it has read want_armed again (local_run.c), which is set by then. One that is out needs
 * none either: it reads that before it enters.
 */
int vp_local_arm_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err)
{
	bool all = true;
	int rc;

	if (l->target.no_int3)
		return vp_err_set(err, -EOPNOTSUPP, "%s", l->target.no_int3);
	/* What KVM said to an earlier one is forgotten: it is asked again. */
	if (!atomic_load(&l->want_armed)) {
		for (unsigned int i = 0; i < l->top; i++)
			if (l->vcpus[i])
				atomic_store(&l->vcpus[i]->arm_error, 0);
		atomic_store(&l->want_armed, true);
	}
	for (unsigned int i = 0; i < l->top; i++)
		if (l->vcpus[i] && !is_armed(l->vcpus[i]) &&
		    atomic_load(&l->vcpus[i]->mode) == VP_MODE_GUEST)
			all = false;
	if (all)
		return 0;
	/* Each has to answer: it may be refused. */
	rc = vp_local_op_sync(&l->target, VP_SYNC_EXIT, timeout_ms, err);
	return rc ? rc : arm_error(l, err);
}

#define ARMED_MS 250

/* Lazy: each vCPU disarms when it passes through user space after some time. */
void vp_local_disarm_all(struct vp_local *l)
{
	atomic_store(&l->armed_until, vp_now_ms() + ARMED_MS);
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
	int mode = atomic_load(&v->mode);

	return (mode != VP_MODE_TRAP && mode != VP_MODE_PARK) ||
	       atomic_load(&v->traps) != before->of[v->id];
}

int vp_local_op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct trap_counts before = { 0 };
	int rc;

	for (unsigned int i = 0; i < l->top; i++)
		if (l->vcpus[i])
			before.of[i] = atomic_load(&l->vcpus[i]->traps);
	rc = vp_local_wait_all(l, has_left_trap, (uintptr_t)&before, timeout_ms, err);
	/* Until now the others have left the cores to those that were in a trap. */
	vp_local_end_gathering(l);
	return rc;
}

void vp_local_op_unpark(struct vp_target *t)
{
	struct vp_local *l = vp_local_of(t);

	atomic_fetch_add(&l->unparks, 1);
	vp_local_wake(l);
}

/* --- hold one, hold all ------------------------------------------------------ */

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
		.nested = vp_local_runs_nested(v),
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

static void ask_to_stay(struct vp_local_vcpu *v)
{
	atomic_store(&v->hold, true);
	if (atomic_load(&v->mode) == VP_MODE_GUEST)
		vp_local_call(v);
}

/* Of those that were asked to, one that is out of the guest. */
static bool one_is_outside(struct vp_local *l, void *arg)
{
	struct vp_local_vcpu **out = arg;

	for (unsigned int i = 0; i < l->top; i++) {
		*out = l->vcpus[i];
		if (*out && atomic_load(&(*out)->hold) &&
		    atomic_load(&(*out)->mode) != VP_MODE_GUEST)
			return true;
	}
	return false;
}

/* Hold the first of these that comes out; the others may go on. */
static int hold_first(struct vp_local *l, const bool among[VP_VCPU_MAX], struct vp_err *err)
{
	struct vp_local_vcpu *first;
	bool any = false;
	int rc;

	for (unsigned int i = 0; i < l->top; i++)
		if (among[i])
			ask_to_stay(l->vcpus[i]);
	rc = vp_local_await(l, one_is_outside, &first, HOLD_TIMEOUT_MS * 1000ull);
	for (unsigned int i = 0; i < l->top; i++) {
		if (!among[i] || (!rc && l->vcpus[i] == first))
			continue;
		atomic_store(&l->vcpus[i]->hold, false);
		any = true;
	}
	if (any)
		vp_local_wake(l);
	if (rc)
		return vp_err_set(err, rc, "no vCPU that was asked left the guest within %u ms",
				  HOLD_TIMEOUT_MS);
	l->held = first;
	return 0;
}

static int hold_and_read(struct vp_local *l, const bool among[VP_VCPU_MAX],
			 struct vp_vcpu_state *state, struct vp_err *err)
{
	int rc = hold_first(l, among, err);

	if (rc)
		return rc;
	rc = read_state(l->held, state, err);
	if (rc)
		vp_local_op_release(&l->target);
	return rc;
}

/* Whoever is out now costs nobody anything. Else all are asked: some may wait for a core. */
static bool choose(struct vp_local *l, const bool tried[VP_VCPU_MAX], bool among[VP_VCPU_MAX])
{
	bool any = false;

	for (unsigned int i = 0; i < l->top; i++) {
		among[i] = l->vcpus[i] && !tried[i];
		if (among[i] && atomic_load(&l->vcpus[i]->mode) != VP_MODE_GUEST) {
			memset(among, 0, VP_VCPU_MAX * sizeof(*among));
			return among[i] = true;
		}
		any = any || among[i];
	}
	return any;
}

int vp_local_op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	bool tried[VP_VCPU_MAX] = { false }, among[VP_VCPU_MAX] = { false };
	bool nested = false;

	if (vcpu >= 0) {
		if (vcpu >= VP_VCPU_MAX || !l->vcpus[vcpu])
			return vp_err_set(err, vcpu >= VP_VCPU_MAX ? -ERANGE : -ENOENT,
					  "there is no vCPU %d", vcpu);
		among[vcpu] = true;
		return hold_and_read(l, among, state, err);
	}
	while (choose(l, tried, among)) {
		int rc = hold_and_read(l, among, state, err);

		if (rc || (vp_paging_is_long(&state->paging) && !state->nested))
			return rc;
		nested = nested || state->nested;
		tried[l->held->id] = true;
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
	int mode = atomic_load(&v->mode);

	(void)arg;
	return mode == VP_MODE_OUT || mode == VP_MODE_PARK;
}

/* Every vCPU out of the guest and out of trap handling, and it stays so. */
int vp_local_hold_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err)
{
	atomic_fetch_add(&l->holds, 1);
	for (unsigned int i = 0; i < l->top; i++)
		if (l->vcpus[i] && atomic_load(&l->vcpus[i]->mode) == VP_MODE_GUEST)
			vp_local_call(l->vcpus[i]);
	return vp_local_wait_all(l, is_held, 0, timeout_ms, err);
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
	int rc = -ENOENT;

	pthread_mutex_lock(&l->table_lock);
	if (id < VP_VCPU_MAX)
		v = l->vcpus[id];
	if (v) {
		atomic_store(&v->interrupt, true);
		rc = vp_local_kick(v);
	}
	pthread_mutex_unlock(&l->table_lock);
	if (v)
		vp_local_wake(l);
	return rc;
}
