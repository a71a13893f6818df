/* SPDX-License-Identifier: Apache-2.0 */
/* The borrowed task: found, sent into a function, awaited, and given its registers back. */
#ifndef VP_HOTFIX_CALL_TASK_H
#define VP_HOTFIX_CALL_TASK_H

#include "hotfix/call.h"

/* What recovery needs. It is kept by the target before the task is touched. */
struct vp_call_kept {
	uint64_t magic;
	uint64_t phase;	     /* enum vp_call_phase */
	uint64_t nr;	     /* of the call, from 0 */
	uint64_t fn, before; /* of the call, and of the one before it */
	/*
	 * Calls take turns between two stack pointers, so that where the task stands behind a call
	 * tells which one that was. @stack is that of the first; @slot is where it is in
	 * guest-physical memory.
	 */
	uint64_t stack, slot;
	uint64_t pad;
	struct vp_regs regs; /* of the task, at the safe point */
};

#define VP_CALL_MAGIC 0x3130736c6c616376ull

enum vp_call_phase {
	VP_CALL_BEGUN,	/* or about to begin */
	VP_CALL_ENDING, /* it has returned; the registers are being given back */
};

/* Whose the registers of the task are. */
enum vp_call_state {
	VP_TASK_OWN,	 /* its own */
	VP_TASK_AT_PAD,	 /* ours: it stands behind a call, on task->vcpu */
	VP_TASK_IN_CALL, /* ours: it is somewhere in the call */
	VP_TASK_GONE,	 /* it oopsed */
	VP_TASK_UNKNOWN, /* contact was lost */
};

struct vp_call_task {
	struct vp_target *t;
	const struct vp_break_ops *breaks;
	struct vp_call_kept kept;
	enum vp_call_state state;
	int vcpu;
	struct vp_paging paging; /* of that vCPU */
	uint64_t result;	 /* RAX at the pad */
	bool behind;		 /* it stands behind kept.nr, not behind the call before */
	vp_gva oops;		 /* a breakpoint is there; 0: none */
	unsigned int stops, moved;
};

/*
 * All between stop() and resume(). begin(): from OWN or AT_PAD to IN_CALL; if it fails the state
 * is as it was, or UNKNOWN. wait(): from IN_CALL to AT_PAD; -ETIMEDOUT, -EFAULT (GONE), or UNKNOWN.
 * end(): from AT_PAD to OWN, or UNKNOWN.
 */
int vp_call_task_begin(struct vp_call_task *task, const struct vp_call *call, struct vp_err *err);
int vp_call_task_wait(struct vp_call_task *task, unsigned int ms, struct vp_err *err);
int vp_call_task_end(struct vp_call_task *task, struct vp_err *err);

#define VP_CALL_TURN 16u /* the second stack pointer lies below the first */

static inline uint64_t vp_call_offset(uint64_t nr)
{
	return nr % 2 * VP_CALL_TURN;
}

/* Does a vCPU stand behind the call, or that before it? Then the state is AT_PAD. -ENOENT: none. */
int vp_call_task_find(struct vp_call_task *task, struct vp_err *err);

int64_t vp_call_now_ms(void);

#define VP_CALL_TRIES 16u /* against an owner who lets the VM go on all the time */

#endif /* VP_HOTFIX_CALL_TASK_H */
