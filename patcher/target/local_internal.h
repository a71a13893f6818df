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
 *
 * Each side's words are on cache lines of their own: who enters the guest reads what seldom
 * changes.
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

#ifndef VP_LOCAL_SLOTS
#define VP_LOCAL_SLOTS 512 /* QEMU has one for each of up to 256 DIMMs */
#endif

/* How long either side looks for the other's answer before it sleeps: most come at once. */
#ifndef VP_LOCAL_LOOK_US
#define VP_LOCAL_LOOK_US 10
#endif

enum vp_mode {
	VP_MODE_OUT,   /* in the VMM, or held: will serve every request before it enters */
	VP_MODE_GUEST, /* in the guest, or about to be, or just back and not classified yet */
	VP_MODE_TRAP,  /* out of the guest, carrying out a #BP exit */
	VP_MODE_PARK,  /* the same, but it only waits, and does nothing to the guest any more */
};

/* At a breakpoint of local_break.c? Set by the vCPU thread, cleared by whoever lets it go on. */
enum vp_stands {
	VP_STANDS_NOWHERE,
	VP_STANDS_AT,	 /* it is about to execute the instruction there */
	VP_STANDS_ALIAS, /* the same, in another mapping of the page */
};

#define VP_CACHE_LINE 64

struct vp_local_vcpu {
	struct vp_local *l;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	pid_t tid; /* the same, for the kernel */

	/* Written by the vCPU thread. */
	_Alignas(VP_CACHE_LINE) _Atomic int mode; /* enum vp_mode */
	_Atomic uint64_t ack;	 /* the newest epoch that this vCPU has serialized for */
	_Atomic uint64_t traps;	 /* how many #BP exits it has begun to carry out */
	_Atomic bool armed;	 /* its KVM guest debug is on */
	_Atomic uint64_t stayed; /* counter: how often it has stayed out for others */

	/* Written by who asks, and by the vCPU thread where it says so. */
	_Alignas(VP_CACHE_LINE) _Atomic bool hold; /* stay out of the guest */
	_Atomic bool interrupt; /* make vp_local_run() return -EINTR; it clears that */
	_Atomic int arm_error;	/* -errno of its last KVM_SET_GUEST_DEBUG; cleared by who asks */
	_Atomic bool known;	/* vp_local_look_at_cpu() was there: by the vCPU thread */
	_Atomic bool alone;	/* and its CPU runs no guests of its own */
	_Atomic int stands;	/* enum vp_stands, by the vCPU thread; it stays out by it, too */
	_Atomic bool leaving;	/* by the vCPU thread: it will not enter the guest again */
	_Atomic uint64_t kicks; /* counter: signals for syncs and arming */
	_Atomic bool called;	/* a kick of vp_local_call() is under way; it clears that */

	/*
	 * Of the vCPU thread alone: emulation failures on an int3, one after the other, and where;
	 * the length of that int3, prefixes included.
	 */
	_Alignas(VP_CACHE_LINE) unsigned int failures;
	uint64_t failed_rip;
	size_t failed_int3;
	struct kvm_guest_debug debug; /* what the VMM's own debugger wants */
	uint64_t shared; /* what KVM is asked to leave in `run` at each exit: vp_local_share_regs()
			  */
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
	enum vp_serializer serializer; /* AUTO no more */
	_Atomic bool emulates;	       /* KVM may emulate any instruction: vp_local_look_at_cpu() */

	pthread_mutex_t lock;			  /* the lock over text and topology (S10) */
	struct vp_local_vcpu *vcpus[VP_VCPU_MAX]; /* by id; changed under `lock` and `table_lock` */
	unsigned int top;			  /* no id is greater or equal; under `lock` */
	struct vp_local_vcpu *held;		  /* by hold(); under `lock` */
	_Atomic unsigned int nvcpus;		  /* changed under `lock` */
	_Atomic bool paused;			  /* likewise */

	/* Entries below nram never move, unless ram_moves: then see local_ram.c. */
	struct vp_slot_ram ram[VP_LOCAL_SLOTS];
	_Atomic unsigned int nram;
	bool ram_moves;
	_Atomic unsigned int ram_users; /* who looks at RAM just now */
	_Atomic bool ram_moving;	/* nobody begins to */

	/* What vCPUs look at whenever they enter. */
	_Alignas(VP_CACHE_LINE) _Atomic uint64_t epoch; /* rounds of "every vCPU has serialized" */
	_Atomic unsigned int holds;			/* > 0: every vCPU stays out of the guest */
	_Atomic bool want_armed;
	_Atomic int64_t armed_until; /* ms: who is armed stays so, though nobody wants it */
	_Atomic bool gather;	     /* who has served the epoch stays out for a while */
	_Atomic unsigned int nbreaks;

	_Alignas(VP_CACHE_LINE) _Atomic uint64_t answered; /* the newest epoch that all served */
	bool batch_armed;	  /* by arm(), not by a breakpoint; under `lock` */
	_Atomic uint64_t unparks; /* how often unpark() was called */

	/* local_break.c; changed under `lock`, with every vCPU held. */
	struct vp_local_break breaks[VP_BREAKS_MAX];
	struct vp_paging space; /* translates their addresses; cr3 0: that of any vCPU */
	uint8_t kept[VP_KEPT_MAX];
	size_t nkept;
	_Atomic bool left; /* leave(): a call has not returned, and its breakpoint stands */

	_Atomic uint64_t syncs, barriers, wakes; /* counters: vp_local_stats() */

	pthread_mutex_t table_lock; /* for who must not wait for `lock`; leaf */

	/* Sleeping, on both sides; nothing else is protected by it. */
	pthread_mutex_t wait_lock;
	pthread_cond_t has_answer; /* the asking thread sleeps here */
	_Atomic bool waiting;	   /* somebody sleeps on `has_answer` */
	/* vCPUs sleep on these: vp_local_sleep(). */
	_Alignas(VP_CACHE_LINE) _Atomic uint32_t changes; /* who is held or parked */
	_Atomic uint32_t gathered;			  /* who stays out for others */
};

/* Of vp_local_stats(). */
#ifndef vp_local_count
static inline void vp_local_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
#endif

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

/* local_choice.c: how sync() is done. -EOPNOTSUPP, -EINVAL. */
int vp_local_choose_serializer(struct vp_local *l, enum vp_serializer wanted, struct vp_err *err);

/*
 * The vCPU's own thread, before it enters the first time. A guest that may run guests of its own
 * has pages that KVM write-protects: its accesses to these are emulated, whatever instruction it
 * is.
 */
void vp_local_look_at_cpu(struct vp_local_vcpu *v);

/*
 * local_serializer.c: sync(). unlock() ends what it has begun: nobody stays out for others.
 */
int vp_local_op_sync(struct vp_target *t, enum vp_sync what, unsigned int timeout_ms,
		     struct vp_err *err);
void vp_local_op_let_run(struct vp_target *t);
void vp_local_end_gathering(struct vp_local *l);

/*
 * The vCPU's own thread has served @epoch: stay out until all others have, too, where that takes
 * longer than a moment. False: it may enter at once.
 */
bool vp_local_stay_out(struct vp_local_vcpu *v, uint64_t epoch);

/* local_await.c. Sleep until @done, or until the time is up: -ETIMEDOUT. */
int vp_local_await(struct vp_local *l, bool (*done)(struct vp_local *l, void *arg), void *arg,
		   uint64_t timeout_us);

/* Has every vCPU done what is asked? @arg as given to vp_local_wait_all(). -ETIMEDOUT. */
typedef bool (*vp_local_answer_fn)(struct vp_local_vcpu *v, uint64_t arg);
int vp_local_wait_all(struct vp_local *l, vp_local_answer_fn done, uint64_t arg,
		      unsigned int timeout_ms, struct vp_err *err);

/* local_sync.c: the other requests. All locked. */
int vp_local_op_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *state,
		     struct vp_err *err);
void vp_local_op_release(struct vp_target *t);
int vp_local_op_arm(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
void vp_local_op_disarm(struct vp_target *t);
int vp_local_op_quiesce(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);
void vp_local_op_unpark(struct vp_target *t);
int vp_local_op_stop(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err);

/* What stop() and resume() are made of. If hold_all() fails all are to be held all the same. */
int vp_local_hold_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err);
void vp_local_let_go(struct vp_local *l);

/* What arm() and disarm() are made of. */
int vp_local_arm_all(struct vp_local *l, unsigned int timeout_ms, struct vp_err *err);
void vp_local_disarm_all(struct vp_local *l);

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

/* Is it still ours, and has nobody put a handler over it? */
bool vp_local_has_signal(const struct vp_local *l);

/*
 * Call a vCPU's thread out of the guest, or out of KVM_RUN if it is about to enter. Any thread.
 * -EAGAIN: the host has no room for one more signal (RLIMIT_SIGPENDING).
 */
int vp_local_kick(struct vp_local_vcpu *v);

/*
 * Locked. The same, for a request that it serves before it enters, unless it is still under way: 1,
 * or else 0.
 */
int vp_local_call(struct vp_local_vcpu *v);

/* The vCPU's own thread: what came so far is being served / what comes from now on counts. */
void vp_local_clear_kick(struct vp_local_vcpu *v);
void vp_local_await_kick(void);

/* KVM_RUN has returned -EINTR: did (also) somebody else than vp_local_kick() want that? */
bool vp_local_was_foreign(const struct vp_local_vcpu *v);

/*
 * The vCPU's own thread: sleep until @word (l->changes, l->gathered) differs from @seen, or for a
 * moment. A signal or an immediate_exit of the VMM's own sets v->interrupt. False: the moment is
 * over, of @limit_us.
 */
bool vp_local_sleep(struct vp_local_vcpu *v, _Atomic uint32_t *word, uint32_t seen,
		    unsigned int limit_us);
/* How long a flag may go unseen whose signal came a moment too early. */
#define VP_LOOK_US 100000u

void vp_local_notify(struct vp_local *l); /* a vCPU has answered something */
void vp_local_wake(struct vp_local *l);	  /* what held or parked vCPUs wait for has changed */
void vp_local_wake_gathered(struct vp_local *l); /* who stays out for others */

/* local_trap.c: is the exit in v->run a #BP, and if so carry it out. 0, 1 (not a #BP), -errno. */
int vp_local_trap(struct vp_local_vcpu *v, struct vp_err *err);

/*
 * local_regs.c, the vCPU's own thread. Have KVM leave in `run`, at each exit from now on, what a
 * trap needs (KVM api.rst, 8.1, KVM_CAP_SYNC_REGS), or no longer.
 */
void vp_local_share_regs(struct vp_local_vcpu *v, bool on);

/* Right behind an exit: what stands there, or else what KVM answers. -errno. */
int vp_local_exit_regs(struct vp_local_vcpu *v, struct kvm_regs *regs, struct kvm_sregs *sregs);
int vp_local_exit_events(struct vp_local_vcpu *v, struct kvm_vcpu_events *events);
void vp_regs_from_kvm(struct vp_regs *to, const struct kvm_regs *from);

void vp_regs_to_kvm(struct kvm_regs *to, const struct vp_regs *from);

/* Does the vCPU run a guest of the guest's own just now (L2)? Its registers are that one's then. */
bool vp_local_runs_nested(const struct vp_local_vcpu *v);

#endif /* VP_TARGET_LOCAL_INTERNAL_H */
