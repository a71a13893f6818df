/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a vCPU that has just left the guest. An ioctl each costs as much as the exit
 * itself, so while #BP exits are expected KVM leaves them in `run` (KVM_CAP_SYNC_REGS, Linux 4.17).
 * They are only read there: what is changed goes by ioctl, so that whoever asks KVM for a vCPU's
 * registers meanwhile sees it.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "target/local_internal.h"

/* No address of a #BP. A KVM that does not know of sharing leaves it as it is. */
#define NOTHING_THERE 0x5eed000000000000ull

void vp_local_share_regs(struct vp_local_vcpu *v, bool on)
{
	uint64_t want = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;

	/* By this route a #UD is to be dropped at each exit. */
	if (v->l->route == VP_ROUTE_INTERNAL_ERROR)
		want |= KVM_SYNC_X86_EVENTS;
	if (!on) {
		v->run->kvm_valid_regs &= ~v->shared;
		v->shared = 0;
		return;
	}
	if (v->run->kvm_dirty_regs & KVM_SYNC_X86_REGS)
		return; /* the VMM has put there what KVM is to take */
	v->run->s.regs.regs.rip = NOTHING_THERE;
	v->shared |= want & ~v->run->kvm_valid_regs; /* the rest the VMM itself has asked for */
	v->run->kvm_valid_regs |= want;
}

static bool are_there(const struct vp_local_vcpu *v, uint64_t what)
{
	return (v->run->kvm_valid_regs & what) == what && v->run->s.regs.regs.rip != NOTHING_THERE;
}

int vp_local_exit_regs(struct vp_local_vcpu *v, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	if (are_there(v, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS)) {
		*regs = v->run->s.regs.regs;
		*sregs = v->run->s.regs.sregs;
		return 0;
	}
	if (ioctl(v->fd, KVM_GET_REGS, regs) < 0 || ioctl(v->fd, KVM_GET_SREGS, sregs) < 0)
		return -errno;
	return 0;
}

int vp_local_exit_events(struct vp_local_vcpu *v, struct kvm_vcpu_events *events)
{
	if (are_there(v, KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS)) {
		*events = v->run->s.regs.events;
		return 0;
	}
	return ioctl(v->fd, KVM_GET_VCPU_EVENTS, events) < 0 ? -errno : 0;
}
