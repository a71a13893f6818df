/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a vCPU: power-on, then the entry state of its kind of guest.
 *
 * KVM cannot destroy a vCPU, so a number that is given up and added again gets the old vCPU:
 * everything that KVM lets us read right after its creation is put back.
 */
#include "vmm/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MTRR_DEF_TYPE	    0x2ff
#define MTRR_ALL_WRITE_BACK 0x806 /* enabled, no range differs: what firmware leaves for RAM */

/*
 * MSRs that a guest may have set, and that point into its memory or code: the syscall entries
 * and KVM's paravirtual areas. Power-on value 0 for all; those that this KVM lacks are skipped.
 */
static const uint32_t msrs_zero[] = {
	0x174,	    /* IA32_SYSENTER_CS */
	0x175,	    /* IA32_SYSENTER_ESP */
	0x176,	    /* IA32_SYSENTER_EIP */
	0xc0000081, /* STAR */
	0xc0000082, /* LSTAR */
	0xc0000083, /* CSTAR */
	0xc0000084, /* SFMASK */
	0xc0000102, /* KERNEL_GS_BASE */
	0xc0000103, /* TSC_AUX */
	0x6e0,	    /* IA32_TSC_DEADLINE */
	0x4b564d00, /* KVM_WALL_CLOCK_NEW */
	0x4b564d01, /* KVM_SYSTEM_TIME_NEW */
	0x4b564d02, /* KVM_ASYNC_PF_EN */
	0x4b564d03, /* KVM_STEAL_TIME */
	0x4b564d04, /* KVM_PV_EOI_EN */
};

struct vp_power_on {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	bool has_debugregs, has_xsave, has_xcrs, has_lapic;
	struct kvm_xsave xsave; /* last: it ends in a flexible array */
};

static int failed(struct vp_err *err, unsigned int id, const char *what)
{
	int rc = -errno;

	return vp_err_set(err, rc, "vCPU %u: %s: %s", id, what, strerror(-rc));
}

int vp_state_capture(int kvm_fd, int fd, unsigned int id, const struct vp_cpu *cpu,
		     struct vp_power_on **out, struct vp_err *err)
{
	struct vp_power_on *on = calloc(1, sizeof(*on));
	int rc;

	if (!on)
		return vp_err_set(err, -ENOMEM, "vCPU %u: out of memory", id);
	rc = vp_cpuid_set(kvm_fd, fd, id, cpu, err);
	if (rc)
		goto out;
	on->has_debugregs = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_DEBUGREGS) > 0;
	on->has_xsave = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE) > 0;
	on->has_xcrs = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
	on->has_lapic = cpu->irqchip;
	if (ioctl(fd, KVM_GET_SREGS, &on->sregs) || ioctl(fd, KVM_GET_REGS, &on->regs) ||
	    ioctl(fd, KVM_GET_VCPU_EVENTS, &on->events) || ioctl(fd, KVM_GET_FPU, &on->fpu) ||
	    (on->has_debugregs && ioctl(fd, KVM_GET_DEBUGREGS, &on->debugregs)) ||
	    (on->has_xsave && ioctl(fd, KVM_GET_XSAVE, &on->xsave)) ||
	    (on->has_xcrs && ioctl(fd, KVM_GET_XCRS, &on->xcrs)) ||
	    (on->has_lapic && ioctl(fd, KVM_GET_LAPIC, &on->lapic)))
		rc = failed(err, id, "KVM does not give its state");
out:
	if (rc)
		free(on);
	else
		*out = on;
	return rc;
}

void vp_state_free(struct vp_power_on *on)
{
	free(on);
}

/* One by one: KVM stops at the first MSR that it does not have. */
static void msr_set(int fd, uint32_t index, uint64_t value)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .room = { 0 } };

	one.msrs.nmsrs = 1;
	one.msrs.entries[0].index = index;
	one.msrs.entries[0].data = value;
	ioctl(fd, KVM_SET_MSRS, &one);
}

static void msrs_reset(int fd)
{
	size_t i;

	for (i = 0; i < sizeof(msrs_zero) / sizeof(msrs_zero[0]); i++)
		msr_set(fd, msrs_zero[i], 0);
	msr_set(fd, MTRR_DEF_TYPE, MTRR_ALL_WRITE_BACK);
}

void vp_state_power_on(const struct vp_power_on *on, struct vp_entry *entry)
{
	*entry = (struct vp_entry){ .sregs = on->sregs, .regs = on->regs };
}

int vp_state_reset(int fd, unsigned int id, const struct vp_power_on *on,
		   const struct vp_entry *entry, struct vp_err *err)
{
	struct kvm_guest_debug debug = { 0 };
	struct kvm_mp_state mp = {
		.mp_state = entry->waits ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE,
	};
	struct kvm_vcpu_events events = on->events;

	/* Only what is flagged here is taken over; pending exceptions are cleared by any call. */
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (ioctl(fd, KVM_SET_GUEST_DEBUG, &debug))
		return failed(err, id, "KVM_SET_GUEST_DEBUG");
	/* XCR0 before the XSAVE image, which is checked against it. */
	if ((on->has_xcrs && ioctl(fd, KVM_SET_XCRS, &on->xcrs)) ||
	    ioctl(fd, on->has_xsave ? KVM_SET_XSAVE : KVM_SET_FPU,
		  on->has_xsave ? (const void *)&on->xsave : (const void *)&on->fpu))
		return failed(err, id, "cannot reset the FPU");
	if (ioctl(fd, KVM_SET_SREGS, &entry->sregs) || ioctl(fd, KVM_SET_REGS, &entry->regs))
		return failed(err, id, "cannot set the registers");
	if (on->has_debugregs && ioctl(fd, KVM_SET_DEBUGREGS, &on->debugregs))
		return failed(err, id, "KVM_SET_DEBUGREGS");
	msrs_reset(fd);
	/* After the sregs, which hold the APIC base. */
	if (on->has_lapic && ioctl(fd, KVM_SET_LAPIC, &on->lapic))
		return failed(err, id, "KVM_SET_LAPIC");
	/* Without an irqchip KVM knows no other state than RUNNABLE. */
	if (on->has_lapic && ioctl(fd, KVM_SET_MP_STATE, &mp))
		return failed(err, id, "KVM_SET_MP_STATE");
	if (ioctl(fd, KVM_SET_VCPU_EVENTS, &events))
		return failed(err, id, "KVM_SET_VCPU_EVENTS");
	return 0;
}
