/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations in the ledger: what takes more than a batch, and leaves memory in the guest if it is
 * killed. It begins with a line "operation"; with its number as "of" follow "calls" before each run
 * of calls in the guest, "memory" and "freed" after each call that got or freed some, and "done".
 * The begin of its batch names it as "operation". None of these lines is waited for: they outlive
 * this process, and who loses the host loses the VM.
 */
#ifndef VP_CONTROL_OPERATION_H
#define VP_CONTROL_OPERATION_H

#include "control/internal.h"
#include "hotfix/arena.h"

struct vp_operation {
	struct vp_control *c;
	long long seq; /* 0: none is begun, and nothing is written */
	struct vp_arena_witness witness;
};

/* Begin one. @line: what it says beside who, when and of which VM; stolen. */
int vp_operation_begin(struct vp_control *c, const char *command, json_t *line,
		       struct vp_operation *op, struct vp_err *err);

/* A run of calls is about to begin. op->witness writes down what it gets and frees. */
int vp_operation_calls(struct vp_operation *op, struct vp_err *err);

/* It is over; @text: how. */
int vp_operation_done(struct vp_operation *op, const char *text, struct vp_err *err);

/* One that has no end. */
struct vp_operation_left {
	long long seq;
	json_t *line;		  /* its first; owned */
	struct vp_arena arena;	  /* what it holds */
	bool had[VP_ARENA_KINDS]; /* what it ever held */
	int last_nr;		  /* of the call that was told last in its last run; -1: none was */
};

/* All of this VM and boot, oldest first; for vp_operations_free(). -ENOMEM, -EIO. */
int vp_operations_left(struct vp_control *c, struct vp_operation_left **out, size_t *n,
		       struct vp_err *err);
void vp_operations_free(struct vp_operation_left *list, size_t n);

/* Go on with one of them. */
void vp_operation_resume(struct vp_control *c, const struct vp_operation_left *left,
			 struct vp_operation *op);

#endif /* VP_CONTROL_OPERATION_H */
