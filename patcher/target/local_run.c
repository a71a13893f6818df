/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU thread's side: serve what was asked, enter the guest, take #BP exits. */
#include <errno.h>
#include <sys/ioctl.h>

#include "target/local_internal.h"
#include "target/serialize.h"

static void set_mode(struct vp_local_vcpu *v, enum vp_mode mode)
{
	atomic_store(&v->mode, mode);
	vp_local_notify(v->l);
}

static int set_guest_debug(struct vp_local_vcpu *v, bool on)
{
	struct kvm_guest_debug debug = v->debug;

	if (on)
		debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug) < 0)
		return -errno;
	vp_local_share_regs(v, on);
	return 0;
}

int vp_local_vcpu_guest_debug(struct vp_local_vcpu *v, const struct kvm_guest_debug *debug)
{
	struct kvm_guest_debug was = v->debug;
	int rc;

	v->debug = *debug;
	rc = set_guest_debug(v, atomic_load(&v->armed));
	if (rc)
		v->debug = was;
	v->debug.control &= ~(uint32_t)(KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP); /* once */
	return rc;
}

static void serve_arming(struct vp_local_vcpu *v)
{
	bool armed = atomic_load(&v->armed);
	bool want = atomic_load(&v->l->want_armed);

	if (armed == want)
		return;
	/* Patches often come in streams; an exit more than needed is harmless. */
	if (!want && vp_now_ms() < atomic_load(&v->l->armed_until))
		return;
	if (!want) {
		/* First say so, then look again: vp_local_op_arm() does it the other way round. */
		atomic_store(&v->armed, false);
		want = atomic_load(&v->l->want_armed);
	}
	if (!want) {
		set_guest_debug(v, false);
		return;
	}
	if (!armed)
		atomic_store(&v->arm_error, set_guest_debug(v, true));
	atomic_store(&v->armed, atomic_load(&v->arm_error) == 0);
}

/* One that could not be armed stays out of the guest as long as there may be an int3 of ours. */
static bool must_wait(struct vp_local_vcpu *v)
{
	return atomic_load(&v->l->holds) || atomic_load(&v->hold) ||
	       (atomic_load(&v->stands) && atomic_load(&v->l->nbreaks)) ||
	       (atomic_load(&v->arm_error) && atomic_load(&v->l->want_armed));
}

static void wait_while_held(struct vp_local_vcpu *v)
{
	set_mode(v, VP_MODE_OUT);
	for (;;) {
		uint32_t seen = atomic_load(&v->l->changes);

		if (!must_wait(v) || atomic_load(&v->interrupt))
			return;
		vp_local_sleep(v, &v->l->changes, seen, VP_LOOK_US);
	}
}

/* Serve every request. True: go into the guest; mode is GUEST then. False: interrupted. */
static bool enter(struct vp_local_vcpu *v)
{
	for (;;) {
		uint64_t epoch;

		/* Cleared first: a kick that comes after this is meant for what follows. */
		vp_local_clear_kick(v);
		set_mode(v, VP_MODE_GUEST);
		epoch = atomic_load(&v->l->epoch);
		if (atomic_exchange(&v->interrupt, false)) {
			set_mode(v, VP_MODE_OUT);
			return false;
		}
		serve_arming(v);
		if (must_wait(v)) {
			wait_while_held(v);
			continue;
		}
		/*
		 * Read before want_armed, which arm() sets before it counts, and again behind
		 * `holds`: vp_local_let_go() counts before it lets go.
		 */
		if (atomic_load(&v->l->epoch) != epoch)
			continue;
		if (atomic_load(&v->ack) != epoch) {
			vp_serialize();
			atomic_store(&v->ack, epoch);
			vp_local_notify(v->l);
			if (vp_local_stay_out(v, epoch))
				continue;
		}
		return true;
	}
}

int vp_local_run(struct vp_local_vcpu *v, struct vp_err *err)
{
	/* Another one could not be called out of the guest. */
	if (!pthread_equal(v->thread, pthread_self()))
		return vp_err_set(err, -EPERM, "vCPU %u: another thread has attached it", v->id);
	if (!atomic_load(&v->known))
		vp_local_look_at_cpu(v);
	for (;;) {
		int rc;

		if (!enter(v))
			return -EINTR;
		vp_local_await_kick();
		rc = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
		if (rc == -EAGAIN || (rc == -EINTR && !vp_local_was_foreign(v)))
			continue;
		if (!rc)
			rc = vp_local_trap(v, err);
		if (!rc)
			continue;
		set_mode(v, VP_MODE_OUT);
		if (rc == 1)
			return 0;
		return rc;
	}
}
