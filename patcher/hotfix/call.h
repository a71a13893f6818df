/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the guest's kernel, called from outside. At a safe point (the entry of a function
 * that is called where a task may sleep and holds nothing) one task is borrowed: it makes the
 * calls, one after the other, on its own stack, and goes on as if nothing had been. Meanwhile all
 * vCPUs run. docs/guest-calls.md says what is left wherever this is interrupted.
 */
#ifndef VP_HOTFIX_CALL_H
#define VP_HOTFIX_CALL_H

#include <vmpoke/target.h>

#include "linux/priority.h"

/* Where it is done, in one kernel. */
struct vp_call_site {
	vp_gva safe[VP_BREAKS_MAX]; /* any of these will do */
	size_t nsafe;
	/* Where calls return to: an int3 between two functions, which nothing else executes. */
	vp_gva pad;
	vp_gva oops;		/* what the kernel calls when it oopses; 0: not known */
	struct vp_paging space; /* translates these for everybody; all 0: the vCPUs' do */
	struct vp_priority_at
		priority; /* of tasks: those that may not run for long are let go by */
};

/* -EOPNOTSUPP: this kernel has none that we know. */
int vp_call_site_find(struct vp_linux *l, struct vp_call_site *out, struct vp_err *err);

#define VP_CALL_SAFE_MS 5000u	/* an idle guest took 2 s to reach a safe point */
#define VP_CALL_MS	300000u /* to give up is worse than to wait: the guest stops later */

struct vp_call_opts {
	unsigned int safe_ms; /* how long to wait for a safe point; 0: VP_CALL_SAFE_MS */
	unsigned int call_ms; /* how long for each call to return; 0: VP_CALL_MS */
};

struct vp_call {
	const char *name; /* for error texts */
	int tag;	  /* the caller's own */
	vp_gva fn;
	uint64_t arg[6];
	uint64_t result; /* RAX; a function that returns an int sets the low half only */
};

/*
 * What to call next. @done is the call that has returned (NULL: none so far). 1: @next, all zero
 * before, is filled in; 0: enough; -errno: the same, and that is what vp_call_run() returns. Every
 * vCPU is held meanwhile: guest memory may be read and written, by @space too, which is the
 * paging of the vCPU that the borrowed task is on.
 */
typedef int (*vp_call_next)(void *arg, const struct vp_call *done, const struct vp_paging *space,
			    struct vp_call *next, struct vp_err *err);

struct vp_call_report {
	unsigned int calls;		/* that returned */
	unsigned int stops;		/* how often every vCPU was held */
	unsigned int moved;		/* how often the task came back on another vCPU */
	unsigned int safe_ms, calls_ms; /* waiting for a safe point; until the task had its own
					   registers again */
};

/*
 * Locked (target.h), and not between stop() and resume(). @opts and @report may be NULL. But for
 * the errors marked (*) the guest runs as before, and no trace of this is in it.
 *  -EOPNOTSUPP  the target has no breakpoints
 *  -EBUSY       a call that was given up has not returned yet, or as the target's operations
 *  -ETIMEDOUT   no safe point was reached
 *  -EAGAIN      somebody else let the guest go on while it was held: try again
 *  -EFAULT      the kernel oopsed in the call; the borrowed task is lost
 *  -EUCLEAN (*) a call did not return in time: the guest runs, and stops when it does; or contact
 *               was lost. The target says to recover: vp_call_recover() goes on from there
 *  others       as @next, and as the target's operations
 */
int vp_call_run(struct vp_target *t, const struct vp_call_site *site,
		const struct vp_call_opts *opts, vp_call_next next, void *arg,
		struct vp_call_report *report, struct vp_err *err);

/* The same for @n calls, known before; the first @made of them have returned. */
int vp_call_list(struct vp_target *t, const struct vp_call_site *site,
		 const struct vp_call_opts *opts, struct vp_call *calls, size_t n, size_t *made,
		 struct vp_err *err);

struct vp_call_recovered {
	bool found;    /* a call had been begun, or was about to be */
	bool returned; /* it has returned, and this is its result; it may have been told already */
	unsigned int nr; /* which call of its vp_call_run(), from 0 */
	vp_gva fn;
	uint64_t result;
};

/* Told what has returned while the task still stands behind it; an error leaves it there. */
typedef int (*vp_call_tell)(void *arg, const struct vp_call_recovered *call, struct vp_err *err);

/*
 * After a process was killed in vp_call_run(): have its call come to its end, and give the task
 * its registers back. @tell (may be NULL) is told of it before. Locked, and between stop() and
 * resume(): for vp_qemu_config.repair. -ETIMEDOUT  it has not returned within @call_ms (0:
 * 30 s): the guest runs on and stops when it does, and the target was left as by
 * vp_call_run(): recover again -EBADMSG    what that process kept makes no sense
 */
int vp_call_recover(struct vp_target *t, unsigned int call_ms, vp_call_tell tell, void *arg,
		    struct vp_call_recovered *out, struct vp_err *err);

/*
 * A call that was given up (leave()): when the task is back its vCPU stands behind the call, and
 * gets the task's registers here. The others run all the while. For who settles now and then.
 */
void vp_call_take_back(struct vp_target *t);

#endif /* VP_HOTFIX_CALL_H */
