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

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <linux/kvm.h>

#include <vmpoke/local.h>

#include "target/wait.h"

#define VP_LOCAL_SLOTS 16

enum vp_mode {
	VP_MODE_OUT,   /* in the VMM, or held: will serve every request before it enters */
	VP_MODE_GUEST, /* in the guest, or about to be, or just back and not classified yet */
	VP_MODE_TRAP,  /* out of the guest, carrying out a #BP exit */
};

/* At a breakpoint of local_break.c? Set by the vCPU thread, cleared by whoever lets it go on. */
enum vp_stands {
	VP_STANDS_NOWHERE,
	VP_STANDS_AT,	 /* it is about to execute the instruction there */
	VP_STANDS_ALIAS, /* the same, in another mapping of the page */
};

struct vp_local_vcpu {
	struct vp_local *l;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	pid_t tid; /* the same, for the kernel */

	_Atomic int mode;	/* enum vp_mode; written by the vCPU thread only */
	_Atomic uint64_t ack;	/* the newest epoch that this vCPU has serialized for */
	_Atomic uint64_t traps; /* how many #BP exits it has begun to carry out */
	_Atomic bool armed;	/* its KVM guest debug is on; written by the vCPU thread only */
	_Atomic int arm_error;	/* -errno of the last KVM_SET_GUEST_DEBUG */
	_Atomic bool hold;	/* stay out of the guest */
	_Atomic bool interrupt; /* make vp_local_run() return -EINTR */
	_Atomic int stands;	/* enum vp_stands; by it, too, the vCPU stays out of the guest */
	_Atomic bool leaving;	/* it will not enter the guest again */

	/*
	 * Of the vCPU thread alone: emulation failures on an int3, one after the other, and where;
	 * the length of that int3, prefixes included.
	 */
	unsigned int failures;
	uint64_t failed_rip;
	size_t failed_int3;
};

struct vp_slot_ram {
	uint64_t gpa, len;
	uint8_t *hva;
	_Atomic uint32_t flags;
};

/* A breakpoint: an int3 of ours, or one of the guest's own that we wait at. */
struct vp_local_break {
	_Atomic uint64_t addr; /* 0: none; written last, and read first by vCPU threads */
	_Atomic uint64_t gpa;
	/* Of the locked side alone. */
	uint8_t bytes[VP_INSN_MAX]; /* the instruction, as it stood there */
	size_t len;
	bool written; /* its first byte was changed */
};

struct vp_local {
	struct vp_target target; /* first: a vp_target is cast to its vp_local */
	enum vp_trap_route route;
	int kick_signal;

	pthread_mutex_t lock;			  /* the lock over text and topology (S10) */
	struct vp_local_vcpu *vcpus[VP_VCPU_MAX]; /* by id; changed under `lock` and `table_lock` */
	struct vp_local_vcpu *held;		  /* by hold(); under `lock` */
	_Atomic unsigned int nvcpus;		  /* changed under `lock` */
	_Atomic bool paused;			  /* likewise */

	struct vp_slot_ram ram[VP_LOCAL_SLOTS]; /* entries below nram never move */
	_Atomic unsigned int nram;

	_Atomic uint64_t epoch;	    /* rounds of "every vCPU has serialized" asked for */
	_Atomic unsigned int holds; /* > 0: every vCPU stays out of the guest */
	_Atomic bool want_armed;
	bool batch_armed;	  /* by arm(), not by a breakpoint; under `lock` */
	_Atomic uint64_t unparks; /* how often unpark() was called */

	/* local_break.c; changed under `lock`, with every vCPU held. */
	struct vp_local_break breaks[VP_BREAKS_MAX];
	_Atomic unsigned int nbreaks;
	struct vp_paging space; /* translates their addresses; cr3 0: that of any vCPU */
	uint8_t kept[VP_KEPT_MAX];
	size_t nkept;
	_Atomic bool left; /* leave(): a call has not returned, and its breakpoint stands */

	pthread_mutex_t table_lock; /* for who must not wait for `lock`; leaf */

	/* Sleeping, on both sides; nothing else is protected by it. */
	pthread_mutex_t wait_lock;
	pthread_cond_t answered;  /* the asking thread sleeps here */
	_Atomic bool waiting;	  /* somebody sleeps on `answered` */
	_Atomic uint32_t changes; /* held and parked vCPUs sleep on it: vp_local_sleep() */
};

static inline struct vp_local *vp_local_of(struct vp_target *t)
{
	return (struct vp_local *)(void *)t;
}

/* Take `lock`. -EDEADLK: the calling thread has it, so it is in a callback of the engine. */
static inline int vp_local_lock(struct vp_local *l, struct vp_err *err)
{
	if (pthread_mutex_lock(&l->lock))
		return vp_err_set(err, -EDEADLK, "%s", VP_IN_CALLBACK);
	return 0;
}

/* local_ram.c: include/vmpoke/target.h says what they do. */
int vp_local_op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);
int vp_local_op_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		      struct vp_err *err);
int vp_local_op_check_write(struct vp_target *t, vp_gpa gpa, size_t len, struct vp_err *err);
int vp_local_op_swap_head(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			  struct vp_err *err);
int vp_local_op_swap_bytes(struct vp_target *t, vp_gpa gpa, const uint8_t *expect,
			   const uint8_t *value, size_t len, struct vp_err *err);
int vp_local_op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			  struct vp_err *err);
int vp_local_op_ram(struct vp_target *t, int (*fn)(void *arg, vp_gpa start, uint64_t len),
		    void *arg, struct vp_err *err);
int vp_local_op_writable(struct vp_target *t, struct vp_err *err);

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

/* What stop() and resume() are made of. If hold_all() fails all are to be held all the same. */
int vp_local_hold_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err);
void vp_local_let_go(struct vp_local *l);

/* What arm() and disarm() are made of. */
int vp_local_arm_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err);
void vp_local_disarm_all(struct vp_local *l);

/* Sleep until @done, or until the time is up: -ETIMEDOUT. */
int vp_local_await(struct vp_local *l, bool (*done)(struct vp_local *l, void *arg), void *arg,
		   unsigned int timeout_ms);

/* Is a call of a guest function under way that was given up? Any thread. */
bool vp_local_call_is_left(struct vp_local *l);

/* local_break.c. resume(): what is set goes, unless it was left. abandon(): it goes. */
extern const struct vp_break_ops vp_local_break_ops;
void vp_local_op_resume(struct vp_target *t);
void vp_local_op_abandon(struct vp_target *t);

/*
 * local_kick.c. Take the signal for this process: -EINVAL, -EBUSY (it has a handler). Does the
 * calling thread let it in? -EINVAL.
 */
int vp_local_take_signal(int sig, struct vp_err *err);
int vp_local_check_mask(const struct vp_local *l, unsigned int id, struct vp_err *err);

/* Call a vCPU's thread out of the guest, or out of KVM_RUN if it is about to enter. Any thread. */
void vp_local_kick(struct vp_local_vcpu *v);

/* The vCPU's own thread: what came so far is being served / what comes from now on counts. */
void vp_local_clear_kick(struct vp_local_vcpu *v);
void vp_local_await_kick(void);

/* KVM_RUN has returned -EINTR: did (also) somebody else than vp_local_kick() want that? */
bool vp_local_was_foreign(const struct vp_local_vcpu *v);

/*
 * The vCPU's own thread: sleep until l->changes differs from @seen, or for a moment. A signal or an
 * immediate_exit of the VMM's own sets v->interrupt.
 */
void vp_local_sleep(struct vp_local_vcpu *v, uint32_t seen);

void vp_local_notify(struct vp_local *l); /* a vCPU has answered something */
void vp_local_wake(struct vp_local *l);	  /* what held or parked vCPUs wait for has changed */

/* local_trap.c: is the exit in v->run a #BP, and if so carry it out. 0, 1 (not a #BP), -errno. */
int vp_local_trap(struct vp_local_vcpu *v, struct vp_err *err);
void vp_regs_from_kvm(struct vp_regs *to, const struct kvm_regs *from);

void vp_regs_to_kvm(struct kvm_regs *to, const struct vp_regs *from);

/* Does the vCPU run a guest of the guest's own just now (L2)? Its registers are that one's then. */
bool vp_local_runs_nested(int fd);

#endif /* VP_TARGET_LOCAL_INTERNAL_H */
