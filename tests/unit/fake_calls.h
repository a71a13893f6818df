/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake target (fake.h) with two vCPUs and breakpoints, on which one task makes calls: each wait()
 * is an event of a script. Functions are addresses for which the test gives the result.
 */
#ifndef VP_TESTS_FAKE_CALLS_H
#define VP_TESTS_FAKE_CALLS_H

#include "fake.h"
#include "hotfix/call.h"

#define FC_SAFE	 (FAKE_TEXT + 0x1000)
#define FC_SAFE2 (FAKE_TEXT + 0x1100)
#define FC_PAD	 (FAKE_TEXT + 0x2004)
#define FC_OOPS	 (FAKE_TEXT + 0x3000)
#define FC_FN	 (FAKE_TEXT + 0x4000)
#define FC_IDLE	 (FAKE_TEXT + 0x5000) /* where a vCPU is that does something else */
#define FC_STACK (FAKE_DATA + 0x3f58) /* RSP at the safe point */

enum fc_event {
	FC_END,
	FC_AT_SAFE,	/* the task, on vCPU 0 */
	FC_BOTH,	/* another one on vCPU 1, too */
	FC_UNFIT,	/* interrupts are off there */
	FC_RETURN,	/* the call returns, on the same vCPU */
	FC_MOVED,	/* on the other one */
	FC_RETURN_LATE, /* just when the time is up */
	FC_FOREIGN,	/* somebody else stops the VM */
	FC_TIMEOUT,
	FC_AGAIN,      /* somebody else had let it go on */
	FC_OOPSED,     /* in the call */
	FC_OTHER_OOPS, /* somewhere else */
	FC_LOST,       /* no contact */
	FC_BUSY,       /* it stands by somebody's doing */
};

struct fake_calls {
	struct fake *f;
	const enum fc_event *script; /* what each wait() does, until FC_END: then -ETIMEDOUT */
	struct vp_regs own;	     /* of the task */
	struct vp_regs vcpu[2];
	struct vp_regs call; /* those it was given for the call */
	int on;		     /* the vCPU that the task is on */
	bool in_call;
	vp_gva breaks[VP_BREAKS_MAX];
	size_t nbreaks;
	uint8_t kept[VP_KEPT_MAX];
	size_t nkept;
	bool left, abandoned, resumed;
	unsigned int passes; /* tasks at a safe point that are to be let go by; and were */
	unsigned int passed;
	/* The result of a call, and what it does. NULL: 0. */
	uint64_t (*function)(struct fake_calls *c, const struct vp_regs *regs);
	void *arg;
	vp_gva called[32];
	size_t ncalls;
	int fail_set, fail_keep, fail_regs; /* the number of the call that fails, 1..; 0: none */
	int fail_rc;
	bool skip_regs; /* what fails in fail_regs has not been done */
};

struct fake_calls *fake_calls_new(const enum fc_event *script);
void fake_calls_free(struct fake_calls *c);

struct vp_call_site fake_calls_site(void);

/* The same, where it is known how nice the task is: its `prio` and `policy`. */
struct vp_call_site fake_calls_nice(struct fake_calls *c, uint32_t prio, uint32_t policy);

/* For another run: the task has gone on. */
void fake_calls_again(struct fake_calls *c, const enum fc_event *script);

/* The task sleeps in the call: no vCPU has its registers. */
void fake_calls_sleep(struct fake_calls *c);

/* Nothing of ours is left: the guest runs, the task has its registers, no breakpoint stands. */
void fake_calls_clean(struct fake_calls *c);

#endif /* VP_TESTS_FAKE_CALLS_H */
