/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the local target.
 *
 * A vCPU thread and a thread that wants something of it meet like this: each writes its own word,
 * then reads the other's, both sequentially consistent, so at least one sees the other.
 *
 *	vCPU, local_run.c			asking thread, local_sync.c
 *	mode = GUEST				epoch++ (or hold, want_armed = ...)
 *	read epoch, hold, want_armed		read mode
 *	   new: serve it, then enter		   GUEST: kick, wait for the answer
 *	   old: enter the guest			   else: it will serve us before it enters
 */
#ifndef VP_TARGET_LOCAL_INTERNAL_H
#define VP_TARGET_LOCAL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <linux/kvm.h>

#include <vmpoke/local.h>

#define VP_LOCAL_SLOTS 16

enum vp_mode {
	VP_MODE_OUT,   /* in the VMM, or held: will serve every request before it enters */
	VP_MODE_GUEST, /* in the guest, or about to be, or just back and not classified yet */
	VP_MODE_TRAP,  /* out of the guest, carrying out a #BP exit */
};

struct vp_local_vcpu {
	struct vp_local *l;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	pid_t tid;

	_Atomic int mode;	/* enum vp_mode; written by the vCPU thread only */
	_Atomic uint64_t ack;	/* the newest epoch that this vCPU has serialized for */
	_Atomic uint64_t traps; /* how many #BP exits it has begun to carry out */
	_Atomic bool armed;	/* its KVM guest debug is on; written by the vCPU thread only */
	_Atomic int arm_error;	/* -errno of the last KVM_SET_GUEST_DEBUG */
	_Atomic bool hold;	/* stay out of the guest */
	_Atomic bool interrupt; /* make vp_local_run() return -EINTR */
};

struct vp_slot_ram {
	uint64_t gpa, len;
	uint8_t *hva;
	_Atomic uint32_t flags;
};

struct vp_local {
	struct vp_target target; /* first: a vp_target is cast to its vp_local */
	enum vp_trap_route route;

	pthread_mutex_t lock;			  /* the lock over text and topology (S10) */
	struct vp_local_vcpu *vcpus[VP_VCPU_MAX]; /* by id; changed under `lock` */
	unsigned int nvcpus;			  /* likewise */
	struct vp_local_vcpu *held;		  /* by hold(); likewise */
	bool paused;				  /* likewise */

	struct vp_slot_ram ram[VP_LOCAL_SLOTS]; /* entries below nram never move */
	_Atomic unsigned int nram;

	_Atomic uint64_t epoch;	    /* rounds of "every vCPU has serialized" asked for */
	_Atomic unsigned int holds; /* > 0: every vCPU stays out of the guest */
	_Atomic bool want_armed;
	_Atomic uint64_t unparks; /* how often unpark() was called */

	/* Sleeping, on both sides; nothing else is protected by it. */
	pthread_mutex_t wait_lock;
	pthread_cond_t answered; /* the asking thread sleeps here */
	pthread_cond_t changed;	 /* held and parked vCPUs sleep here */
	_Atomic bool waiting;	 /* somebody sleeps on `answered` */
};

static inline struct vp_local *vp_local_of(struct vp_target *t)
{
	return (struct vp_local *)(void *)t;
}

/* local_sync.c: the requests. All locked. */
int vp_local_op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state,
		     struct vp_err *err);
void vp_local_op_release(struct vp_target *t);
int vp_local_op_arm(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
void vp_local_op_disarm(struct vp_target *t);
int vp_local_op_sync(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
int vp_local_op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
void vp_local_op_unpark(struct vp_target *t);
int vp_local_op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
void vp_local_op_resume(struct vp_target *t);

/* local_wake.c */
void vp_local_notify(struct vp_local *l); /* a vCPU has answered something */
void vp_local_wake(struct vp_local *l);	  /* what held or parked vCPUs wait for has changed */

/* local_trap.c: is the exit in v->run a #BP, and if so carry it out. 0, 1 (not a #BP), -errno. */
int vp_local_trap(struct vp_local_vcpu *v, struct vp_err *err);
void vp_regs_from_kvm(struct vp_regs *to, const struct kvm_regs *from);

#endif /* VP_TARGET_LOCAL_INTERNAL_H */
