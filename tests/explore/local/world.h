/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real local target (patcher/target/local*.c) on threads and a KVM of a few states. What calls
 * it does as the engine does, and trusts what include/vmpoke/target.h promises; check.c looks
 * whether it may. So what engine/ assumes of a target is what is shown of this one here.
 */
#ifndef VP_EXPLORE_LOCAL_WORLD_H
#define VP_EXPLORE_LOCAL_WORLD_H

#include "../search.h"
#include "target/local_internal.h"

#define MAX_VCPUS   3
#define MAX_ACTIONS 4
/* Coroutines: who patches, who else of the VMM calls, and the threads of the vCPUs. */
#define ASKERS	    2u
#define VCPU_THREAD ASKERS
#define THREADS	    (ASKERS + MAX_VCPUS)
_Static_assert(THREADS <= COROUTINES, "each has its coroutine");

/* --- what a scenario says ---------------------------------------------------- */

enum action_kind {
	ACT_END,
	ACT_BATCH,     /* lock, arm, sync, unpark, sync, quiesce, disarm, unlock */
	ACT_SYNC,      /* lock, sync, unlock */
	ACT_SYNC_EXIT, /* the same, of what KVM may be emulating */
	ACT_GUARD,     /* lock, arm, unlock: a batch that cannot be finished, so who traps parks */
	ACT_STOP,      /* lock, stop, resume, unlock */
	ACT_HOLD,      /* lock, hold a vCPU, release, unlock */
	ACT_PAUSE,     /* vp_local_pause() */
	ACT_CONT,      /* vp_local_cont() */
	ACT_INTERRUPT, /* vp_local_vcpu_interrupt(0) */
};

struct scenario {
	const char *name, *what;
	bool quick;
	uint8_t vcpus;
	uint8_t traps;	  /* how often each vCPU may run an int3 of ours */
	uint8_t exits;	  /* how often each may leave for the VMM: I/O */
	uint8_t timeouts; /* how many waits may time out */
	uint8_t failures; /* how often KVM may refuse to arm */
	uint8_t switches; /* how often a thread may be left that could go on; 0: always */
	bool joins;	  /* the last vCPU is not there at first */
	bool leaves;	  /* it detaches at its first exit to the VMM */
	bool fine;	  /* what calls and gathering are made of are steps of their own */
	bool lingers;	  /* who is armed still may stay so, or not */
	enum vp_serializer serializer; /* AUTO: kick */
	bool stays;		       /* a vCPU that is back at the VMM may stay there */
	uint8_t script[ASKERS][MAX_ACTIONS + 1];
};

extern const struct scenario scenarios[];
extern const struct scenario *sc; /* the one being explored */

/* --- the state --------------------------------------------------------------- */

/* What a thread is at. */
enum where {
	AT_NOTHING, /* it is not there, or has ended */
	AT_STEP,    /* about to make a step of user space */
	IN_KERNEL,  /* the same, of a system call: signals wait */
	AT_CHOICE,  /* KVM is about to answer, one way or the other */
	AT_CLOCK,   /* a look at the clock: early or late */
	AT_VMM,	    /* vp_local_run() has returned */
	IN_GUEST,
	IN_FUTEX,
	IN_COND,
	AT_MUTEX,
};

/* How a wait ends. */
enum ending { BY_STEP, BY_SIGNAL, BY_TRAP, BY_EXIT, BY_TIMEOUT, BY_REFUSAL, BY_STAYING };

struct thread {
	uint8_t where, ending;
	bool signal; /* pending */
	bool woken;
	const void *waits_for; /* mutex, condition or futex */
	int tls;	       /* what local_kick.c has for each thread */

	/* vCPU threads */
	bool debug; /* KVM intercepts its int3s */
	uint8_t traps_left, exits_left;
	bool handling;	    /* in the trap sink, or its verdict is not carried out yet */
	bool must_leave;    /* ... and quiesce() has to wait for that */
	bool may_return;    /* vp_local_run() may return -EINTR, and must soon */
	uint8_t serialized; /* the last write that it has serialized after */
	uint8_t entered;    /* the last write before it was let into KVM_RUN */
	bool called_out;    /* a barrier has come, and a signal is pending: it is on its way out */
};

struct world {
	struct vp_local *local;
	struct thread thread[THREADS];
	struct kvm_run run[MAX_VCPUS];
	bool before;		/* all is being made: no schedules of that */
	uint8_t action[ASKERS]; /* index into the script */
	uint8_t timeouts_left, failures_left;
	uint8_t switches_left, last; /* last: who made the last step */

	/* What was promised. */
	uint8_t written; /* how often guest memory was written: before a sync, or in a stop */
	uint8_t seen;	 /* up to which of these everybody in the guest must have serialized */
	uint8_t left;	 /* up to which everybody must have left KVM_RUN */
	uint8_t refused; /* KVM has not armed one: bit 0: since arm() began, 1: the one before */
	bool armed;	 /* no vCPU can run an int3 without an exit */
	bool stopped, paused; /* nobody is in the guest, nor handles a trap */
	bool holding;	      /* local->held is not */
	uint8_t topology;     /* bits of vCPUs that are there while the lock is held */
	bool locked;
	bool open; /* who traps now need not park */
};

extern struct world w;

/* --- host.c: threads, signals, KVM ----------------------------------------------- */

void host_begin(void);
unsigned int host_choices(unsigned int who, struct choice *to);
void host_step(const struct choice *c); /* who, and enum ending */
void host_start(unsigned int who, void (*entry)(void));
struct thread *host_self(void);
void host_wait_at(enum where where); /* a step of its own for the others */

/* --- check.c ----------------------------------------------------------------------- */

void check_state(void);
void check_quiesced(void);

#endif /* VP_EXPLORE_LOCAL_WORLD_H */
