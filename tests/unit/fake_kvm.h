/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs without a KVM: ioctl() on their descriptors is answered here, as KVM does it (KVM api.rst,
 * arch/x86/kvm/x86.c); on every other descriptor it is the kernel's.
 */
#ifndef VP_TESTS_FAKE_KVM_H
#define VP_TESTS_FAKE_KVM_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>

#define FAKE_KVM_FD    100000 /* of vCPU 0 */
#define FAKE_KVM_VCPUS 2

struct fake_kvm_vcpu {
	struct kvm_run run;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	bool nested;		   /* it runs a guest of its own */
	bool old;		   /* Linux before 4.17: nothing is left in @run */
	unsigned int asked;	   /* how often for registers or events */
	_Atomic bool armed;	   /* an int3 of the guest's is an exit */
	_Atomic bool inside;	   /* in KVM_RUN, past the look at immediate_exit */
	_Atomic unsigned int runs; /* calls of KVM_RUN */
	/* The guest: 0 with an exit in @run, or -1: it runs until a signal comes. NULL: so, too. */
	int (*guest)(struct fake_kvm_vcpu *c);
	void (*on_get_events)(struct fake_kvm_vcpu *c); /* after they were read */
	unsigned int steps;				/* for @guest */
};

/* Asked before: a test's own descriptors. Returns whether it has answered, in *@rc and errno. */
extern bool (*fake_kvm_other)(int fd, unsigned long request, void *arg, int *rc);

/* 64-bit code at CPL 0 with paging; page tables as in fake.h. */
void fake_kvm_reset(void);
extern struct fake_kvm_vcpu fake_kvm[FAKE_KVM_VCPUS];

#endif /* VP_TESTS_FAKE_KVM_H */
