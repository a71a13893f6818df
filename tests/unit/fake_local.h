/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM with the local target, whose vCPUs (fake_kvm.h) execute a few instructions: all that calls
 * of guest functions need.
 */
#ifndef VP_TESTS_FAKE_LOCAL_H
#define VP_TESTS_FAKE_LOCAL_H

#include <pthread.h>
#include <vmpoke/local.h>

#include "fake_kvm.h"

#define RAM	 0x10000u
#define ROM	 0x10000ull /* a read-only page behind it */
#define TEXT	 0xffffffff80000000ull
#define CODE	 0x8000ull	 /* guest-physical */
#define ALIAS	 (TEXT + 0x1000) /* the same page once more */
#define STACKS	 (TEXT + 0x2000)
#define READONLY (TEXT + 0x3000)
#define FLAGS	 0x63ull
#define IF	 0x202ull

/* The guest's code: at TEXT + these, and CODE + these. */
#define SAFE 0x000u /* for ever: nop; nop; jmp SAFE */
#define FN   0x100u /* mov eax, 42; ret */
#define SPIN 0x200u /* nop; jmp SPIN + 1: a call of it does not return */
#define OWN  0x300u /* int3, the guest's own; mov eax, 7; ret */
#define IDLE 0x400u /* jmp IDLE */
#define PAD  0x800u /* int3s */
#define OOPS 0x900u /* nop; jmp OOPS + 1 */

struct fake_local_thread {
	pthread_t id;
	unsigned int vcpu;
	bool there;
};

struct fake_local {
	struct vp_local *l;
	struct vp_target *t;
	uint8_t *ram;
	uint8_t before[0x1000];
	struct fake_local_thread threads[FAKE_KVM_VCPUS];
	_Atomic bool stop, spinning; /* the VM is to end; somebody is in the function SPIN */
	_Atomic unsigned int interrupts, own, unarmed;
	struct vp_local_vcpu *_Atomic v[FAKE_KVM_VCPUS];
};

extern struct fake_local fake_local;

int fake_local_new(enum vp_trap_route route);
void fake_local_free(void);

/* A vCPU and its thread; then they all leave. */
void fake_local_start(unsigned int vcpu, uint64_t rip);
void fake_local_end_all(void);

void fake_local_inside(unsigned int vcpu); /* wait until it is in the guest */

/* Not a byte of the guest's code is another one, and every int3 was an exit to us. */
void fake_local_clean(void);

#endif /* VP_TESTS_FAKE_LOCAL_H */
