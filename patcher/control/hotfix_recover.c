/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hotfix-apply and hotfix-remove leave when they are killed: the ledger says what memory they
 * hold, the guest's memory whether it is used. What is used stays, what is not is freed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/hotfix.h"
#include "control/ledger_internal.h"
#include "hotfix/call.h"

#define IDLE_MS 10000u /* how long for who is inside */

static const char *name_of(const struct vp_operation_left *left)
{
	return vp_ledger_text(json_object_get(left->line, "hotfix"), "name");
}

static bool holds_memory(const struct vp_operation_left *left)
{
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		if (left->arena.part[i].size)
			return true;
	return false;
}

/* Its hotfix in the guest's memory; NULL: no label tells of one there. */
static const struct vp_hotfix_found *found_of(const struct vp_hotfix_found *found, size_t n,
					      const struct vp_operation_left *left)
{
	vp_gva text = left->arena.part[VP_ARENA_TEXT].at;

	for (size_t i = 0; i < n && text.v; i++)
		if (found[i].at.v == text.v)
			return &found[i];
	return NULL;
}

/* --- a call that was cut off, and has come to its end since -------------------------------- */

/* It was told already, if the ledger has a line for it since its run began. */
static int note_call(struct vp_control *c, const struct vp_operation_left *left,
		     const struct vp_call_recovered *call, struct vp_err *err)
{
	bool removes = !strcmp(vp_ledger_text(left->line, "command"), "hotfix-remove");
	const json_t *sizes = json_object_get(left->line, "sizes");
	const struct vp_arena_witness *w;
	struct vp_operation op;
	size_t i = 0;

	if (left->last_nr >= (int)call->nr)
		return 0;
	vp_operation_resume(c, left, &op);
	w = &op.witness;
	if (call->fn.v == vp_ledger_hex(left->line, "free")) { /* they are freed in this order */
		while (i < VP_ARENA_KINDS && !left->arena.part[i].size)
			i++;
		return i == VP_ARENA_KINDS ? 0
					   : w->freed(w->arg, call->nr, (enum vp_arena_kind)i,
						      left->arena.part[i].at, err);
	}
	if (removes || !call->result || call->fn.v != vp_ledger_hex(left->line, "alloc"))
		return 0;
	/* ... and got in this: the first that is wanted and was not had. */
	while (i < VP_ARENA_KINDS &&
	       (left->had[i] || !json_integer_value(json_array_get(sizes, i))))
		i++;
	return i == VP_ARENA_KINDS
		       ? 0
		       : w->got(w->arg, call->nr, (enum vp_arena_kind)i, VP_GVA(call->result),
				(uint64_t)json_integer_value(json_array_get(sizes, i)), err);
}

int vp_control_call_recovered(struct vp_control *c, const struct vp_call_recovered *call,
			      struct vp_err *err)
{
	struct vp_operation_left *list = NULL;
	size_t n = 0;
	int rc = call->returned ? vp_operations_left(c, &list, &n, err) : 0;

	if (!rc && n) /* the newest: there is never more than one at work */
		rc = note_call(c, &list[n - 1], call, err);
	vp_operations_free(list, n);
	return rc;
}

/* --- what needs no more than a line ------------------------------------------------------------
 */

/* 1: it is ended; 0: its memory is to be freed. */
static int settle(struct vp_control *c, const struct vp_operation_left *left,
		  const struct vp_hotfix_found *f, struct vp_err *err)
{
	struct vp_operation op;
	const char *text;
	int rc;

	if (f && f->stands == VP_HOTFIX_MIXED)
		return vp_err_set(err, -ESTALE,
				  "hotfix %.64s is there in part only, and no batch of it is "
				  "unfinished: somebody else has changed its entries; look at "
				  "`vmpoke status`, and remove it",
				  name_of(left));
	if (!holds_memory(left))
		text = "its process was killed; it holds no memory";
	else if (f && f->stands == VP_HOTFIX_APPLIED)
		text = "its process was killed; the hotfix is applied";
	else
		return 0;
	vp_operation_resume(c, left, &op);
	rc = vp_operation_done(&op, text, err);
	return rc ? rc : 1;
}

static int say_left(const struct vp_operation_left *left, struct vp_err *err)
{
	return vp_err_set(err, -EUCLEAN,
			  "%.20s of %.64s was begun by a vmpoke that was killed, and memory of the "
			  "guest is still to be freed: run `vmpoke recover TARGET`",
			  vp_ledger_text(left->line, "command"), name_of(left));
}

/* Is any of it, where one is held, more than a matter of the ledger? */
static int check_all(struct vp_control *c, const struct vp_operation_left *list, size_t n,
		     struct vp_err *err)
{
	struct vp_hotfix_found *found = NULL;
	size_t nfound = 0;
	bool look = false;
	struct vp_linux *l;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		look |= holds_memory(&list[i]);
	if (look)
		rc = vp_control_linux(c, &l, err);
	if (look && !rc)
		rc = vp_hotfix_find(l, &found, &nfound, err);
	for (size_t i = n; i-- && !rc;) {
		int ended = settle(c, &list[i], found_of(found, nfound, &list[i]), err);

		rc = ended < 0 ? ended : ended ? 0 : say_left(&list[i], err);
	}
	vp_hotfix_found_free(found, nfound);
	return rc;
}

int vp_control_check_hotfixes(struct vp_control *c, struct vp_err *err)
{
	struct vp_operation_left *list = NULL;
	size_t n = 0;
	int rc = vp_operations_left(c, &list, &n, err);

	if (!rc && n)
		rc = check_all(c, list, n, err);
	vp_operations_free(list, n);
	return rc && rc != -EUCLEAN ? vp_err_set(err, -EUCLEAN, "%s", err->text) : rc;
}

/* --- freeing -----------------------------------------------------------------------------------
 */

static int free_it(struct vp_hotfix_job *job, struct vp_arena *arena, const char *name,
		   struct vp_recovered *out, struct vp_err *err)
{
	const struct vp_arena_part *text = &arena->part[VP_ARENA_TEXT];
	const struct vp_linux_range range = { text->at, text->size };
	struct vp_err why = { "" };
	size_t bytes = 0;
	int rc = text->size ? vp_hotfix_wait_idle(job, &range, 1, IDLE_MS, &why) : 0;

	if (rc)
		return vp_err_set(err, rc == -EBUSY ? -EAGAIN : rc,
				  "the memory of hotfix %.64s cannot be freed yet: %.150s", name,
				  why.text);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		bytes += arena->part[i].size;
	rc = vp_hotfix_job_free(job, arena, err);
	if (!rc)
		out->freed += bytes;
	return rc;
}

static int recover_one(struct vp_hotfix_job *job, struct vp_operation_left *left,
		       struct vp_recovered *out, struct vp_err *err)
{
	const struct vp_hotfix_found *f = found_of(job->found, job->nfound, left);
	int rc = settle(job->c, left, f, err);

	if (rc)
		return rc < 0 ? rc : 0;
	vp_operation_resume(job->c, left, &job->op);
	rc = free_it(job, &left->arena, name_of(left), out, err);
	return rc ? rc
		  : vp_operation_done(
			    &job->op,
			    strcmp(vp_ledger_text(left->line, "command"), "hotfix-remove")
				    ? "its process was killed; it is not applied, and its "
				      "memory was freed"
				    : "its process was killed; it is removed, and its "
				      "memory was freed",
			    err);
}

/* Hotfixes that nothing leads to, whoever left them: replaced ones, and those somebody was inside
 * of.
 */
static int sweep(struct vp_hotfix_job *job, struct vp_recovered *out, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < job->nfound && !rc; i++)
		if (job->found[i].stands == VP_HOTFIX_UNUSED)
			rc = vp_hotfix_job_sweep(job, &job->found[i], IDLE_MS, &out->freed, err);
	return rc;
}

/* As it is after the operations that had no end. */
static int look_again(struct vp_hotfix_job *job, struct vp_err *err)
{
	vp_hotfix_job_end(job);
	return vp_hotfix_find(job->l, &job->found, &job->nfound, err);
}

int vp_control_recover_hotfixes(struct vp_control *c, struct vp_recovered *out, struct vp_err *err)
{
	struct vp_operation_left *list = NULL;
	struct vp_hotfix_job job = { 0 };
	size_t n = 0;
	int rc = vp_operations_left(c, &list, &n, err), can;

	if (rc)
		return rc;
	can = vp_hotfix_job_begin(&job, c, n ? err : NULL);
	if (n)
		rc = can;
	for (size_t i = n; i-- && !rc;)
		rc = recover_one(&job, &list[i], out, err);
	if (!rc && !can && n)
		rc = look_again(&job, err);
	if (!rc && !can)
		rc = sweep(&job, out, err);
	vp_hotfix_job_end(&job);
	vp_operations_free(list, n);
	return rc;
}
