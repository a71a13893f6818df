/* SPDX-License-Identifier: Apache-2.0 */
/* Hotfixes: memory and calls in the guest, each written down as it happens. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/hotfix.h"
#include "core/internal.h"
#include "target/qmp_wire.h"
#include "target/wait.h"
#include "x86/decode.h"

/* Are functions of this guest called at all, and how? */
static int can_call(struct vp_hotfix_job *job, struct vp_err *err)
{
	int rc = 0;

	if (!job->t->ops->breaks)
		return vp_err_set(
			err, -EOPNOTSUPP,
			"hotfixes cannot be applied on this kind of VM: no functions of its "
			"guest can be called, which memory comes from");
	rc = vp_call_site_find(job->l, &job->site, err);
	return rc ? rc : vp_arena_recipe_find(job->l, &job->recipe, err);
}

int vp_hotfix_job_begin(struct vp_hotfix_job *job, struct vp_control *c, struct vp_err *err)
{
	int rc;

	job->c = c;
	job->t = c->cfg.target;
	job->begun_ms = vp_now_ms();
	rc = vp_control_linux(c, &job->l, err);
	if (!rc)
		rc = can_call(job, err);
	return rc ? rc : vp_hotfix_find(job->l, &job->found, &job->nfound, err);
}

void vp_hotfix_job_end(struct vp_hotfix_job *job)
{
	vp_hotfix_found_free(job->found, job->nfound);
	job->found = NULL;
	job->nfound = 0;
}

void vp_hotfix_job_tell(struct vp_hotfix_job *job, const char *step)
{
	if (job->c->cfg.event)
		job->c->cfg.event(job->c->cfg.host, "HOTFIX_STEP",
				  json_pack("{s:o}", "step", vp_qmp_text(step)));
}

void vp_hotfix_job_report(const struct vp_hotfix_job *job, json_t *answer)
{
	struct vp_pauses pauses = { 0 };

	json_object_set_new(answer, "wall-ms", json_integer(vp_now_ms() - job->begun_ms));
	json_object_set_new(answer, "calls", json_integer(job->calls));
	if (!job->t->ops->pauses)
		return;
	job->t->ops->pauses(job->t, &pauses);
	json_object_set_new(answer, "pauses", json_integer(pauses.n));
	json_object_set_new(answer, "longest-pause-us", json_integer(pauses.longest_us));
}

bool vp_hotfix_is_nop(const uint8_t *bytes, vp_gva at)
{
	struct vp_insn insn;

	return !vp_insn_decode(bytes, VP_HOTFIX_JMP_LEN, at, &insn, NULL) &&
	       insn.len == VP_HOTFIX_JMP_LEN && insn.kind == VP_INSN_NOP;
}

int vp_hotfix_job_lock(struct vp_hotfix_job *job, struct vp_err *err)
{
	int rc = job->t->ops->lock(job->t, err);

	if (rc)
		return rc;
	rc = vp_engine_may_write(job->c->cfg.engine, err);
	if (rc)
		job->t->ops->unlock(job->t);
	return rc;
}

/* --- runs of calls ------------------------------------------------------------------ */

/* What is shown may be waited for (a terminal that is held): never while the guest is. */
static int lock_for_calls(struct vp_hotfix_job *job, const char *step, struct vp_err *err)
{
	int rc = vp_operation_calls(&job->op, err);

	vp_hotfix_job_tell(job, step);
	job->recipe.witness = &job->op.witness;
	return rc ? rc : vp_hotfix_job_lock(job, err);
}

int vp_hotfix_job_alloc(struct vp_hotfix_job *job, const uint64_t size[VP_ARENA_KINDS],
			struct vp_arena *out, struct vp_err *err)
{
	struct vp_call_report report = { 0 };
	int rc = lock_for_calls(job, "getting memory from the guest", err);

	*out = (struct vp_arena){ 0 };
	if (rc)
		return rc;
	rc = vp_arena_alloc(job->t, &job->site, &job->recipe, size, NULL, out, &report, err);
	job->t->ops->unlock(job->t);
	job->calls += report.calls;
	return rc;
}

int vp_hotfix_job_free(struct vp_hotfix_job *job, struct vp_arena *arena, struct vp_err *err)
{
	struct vp_call_report report = { 0 };
	int rc = lock_for_calls(job, "freeing memory of the guest", err);

	if (rc)
		return rc;
	rc = vp_arena_free(job->t, &job->site, &job->recipe, NULL, arena, &report, err);
	job->t->ops->unlock(job->t);
	job->calls += report.calls;
	return rc;
}

/* Functions of a hotfix: the first that does not return 0 is the last. */
struct chain {
	const vp_gva *fns;
	size_t n, begun;
};

static int next_of_chain(void *arg, const struct vp_call *done, const struct vp_paging *space,
			 struct vp_call *next, struct vp_err *err)
{
	struct chain *chain = arg;

	(void)space;
	if (done && (int32_t)done->result)
		return vp_err_set(err, -ECANCELED, "the hotfix's own function at 0x%llx said %d",
				  (unsigned long long)done->fn.v, (int)(int32_t)done->result);
	if (chain->begun == chain->n)
		return 0;
	next->name = "a function of the hotfix";
	next->fn = chain->fns[chain->begun++];
	return 1;
}

int vp_hotfix_job_call(struct vp_hotfix_job *job, const vp_gva *fns, size_t n, struct vp_err *err)
{
	struct chain chain = { .fns = fns, .n = n };
	struct vp_call_report report = { 0 };
	int rc = n ? lock_for_calls(job, "calling functions of the hotfix", err) : 0;

	if (rc || !n)
		return rc;
	rc = vp_call_run(job->t, &job->site, NULL, next_of_chain, &chain, &report, err);
	job->t->ops->unlock(job->t);
	job->calls += report.calls;
	return rc;
}
