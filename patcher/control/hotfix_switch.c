/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hotfixes: all entries change at one moment, at which nobody is inside, if that is asked for. A
 * look while the guest runs tells whether a stop is worth its while; the look that counts is made
 * in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/hotfix.h"
#include "target/qmp_wire.h"
#include "target/wait.h"

#define NAP_MS	   10u
#define NAP_MAX_MS 200u

/* Between two tries the guest runs. False: the time is over. */
static bool nap(int64_t until_ms, unsigned int *ms)
{
	struct timespec t = { .tv_nsec = (long)*ms * 1000000 };

	if (vp_now_ms() >= until_ms)
		return false;
	nanosleep(&t, NULL);
	*ms = *ms * 3 / 2 < NAP_MAX_MS ? *ms * 3 / 2 : NAP_MAX_MS;
	return true;
}

/* --- one try ------------------------------------------------------------------------- */

struct look {
	struct vp_linux_inside *in;
	struct vp_hotfix_switch *s;
	int busy; /* -EBUSY: somebody is inside, so nothing was written; -EAGAIN: that cannot be
		     told */
};

static bool is_somebody(int rc)
{
	return rc == -EBUSY || rc == -EAGAIN;
}

/* In the stop. */
static int inspect(void *arg, struct vp_err *err)
{
	struct look *k = arg;
	int rc = vp_linux_inside_held(k->in, NULL, &k->s->who);

	k->s->idle = !rc;
	if (!rc || (k->s->patience == VP_HOTFIX_ANY && is_somebody(rc)))
		return 0;
	k->busy = is_somebody(rc) ? rc : 0;
	return vp_err_set(err, rc, "%s", k->s->who.text);
}

/*
 * With the guest running: is a stop worth it? 0: it is. Where tasks come and go all the time that
 * cannot be told (-EAGAIN): then the stop tells.
 */
static int prepare(struct vp_hotfix_job *job, struct vp_hotfix_switch *s, struct look *k,
		   struct vp_err *err)
{
	int rc;

	if (!s->nranges)
		return 0;
	rc = vp_linux_inside_new(job->l, s->ranges, s->nranges, &k->in, err);
	if (rc || s->patience == VP_HOTFIX_ANY)
		return rc;
	rc = vp_linux_inside_guess(k->in, NULL, &s->who);
	if (rc == -EAGAIN)
		return 0;
	k->busy = rc == -EBUSY ? rc : 0;
	return rc ? vp_err_set(err, rc, "%s", s->who.text) : 0;
}

static json_t *try(struct vp_hotfix_job *job, struct vp_hotfix_switch *s, int *busy, int *code,
		   struct vp_err *err)
{
	struct vp_control_batch batch = {
		.sites = s->sites,
		.nsites = s->n,
		.stop = true,
		.force = s->force,
		.takes_back = s->takes_back,
		.more = s->more,
	};
	struct look k = { .s = s };
	struct vp_linux_care care = { 0 };
	json_t *ret = NULL;

	s->idle = false;
	/* Who waits for long may see the guest start again. */
	*code = s->tries++ && !vp_linux_still_runs(job->l)
			? vp_err_set(err, -ESTALE,
				     "the guest's kernel is not the one that was "
				     "looked at: it has started again")
			: prepare(job, s, &k, err);
	if (!*code)
		*code = vp_linux_redirect_plan(job->l, s->sites, s->n, s->force, &care, err);
	if (!*code) {
		batch.words = care.words;
		batch.nwords = care.nwords;
		batch.forced = care.forced.text;
		batch.inspect = k.in ? inspect : NULL;
		batch.inspect_arg = &k;
		s->forced = care.forced;
		ret = vp_control_apply(job->c, s->command, job->w, &batch, code, err);
	}
	vp_linux_care_free(&care);
	vp_linux_inside_free(k.in);
	*busy = k.busy;
	return ret;
}

json_t *vp_hotfix_switch(struct vp_hotfix_job *job, struct vp_hotfix_switch *s, int *code,
			 struct vp_err *err)
{
	bool wait = s->patience == VP_HOTFIX_WAIT;
	struct vp_err inside = { "" }; /* who was seen there last */
	int busy = 0;
	int64_t now = vp_now_ms(), until = now + (wait ? s->wait_ms : 0),
		soon = now + VP_TIMEOUT_MS;
	unsigned int ms = NAP_MS;
	json_t *ret;

	vp_hotfix_job_tell(job, "switching");
	do { /* whoever is inside is waited for as long as is asked; who patches, for a moment */
		ret = try(job, s, &busy, code, err);
		if (!ret && busy)
			vp_hotfix_job_tell(job, s->who.text);
		if (!ret && busy == -EBUSY)
			inside = s->who;
	} while (!ret && (busy || *code == -EAGAIN) && nap(busy ? until : soon, &ms));
	if (!ret && busy)
		*code = vp_err_set(
			err, -EAGAIN, "%s%s: %.200s",
			*inside.text ? "somebody is inside" : "who is inside cannot be told",
			wait ? " all the time" : "", *inside.text ? inside.text : s->who.text);
	return ret;
}

/* --- is nobody left? -------------------------------------------------------------------- */

static int look_once(struct vp_hotfix_job *job, const struct vp_linux_range *ranges, size_t n,
		     struct vp_err *err)
{
	struct vp_linux_inside *in = NULL;
	int rc = vp_linux_inside_new(job->l, ranges, n, &in, err);

	if (!rc)
		rc = vp_linux_inside_guess(in, NULL, err);
	if (!rc || rc == -EAGAIN) /* as in prepare() */
		rc = job->t->ops->lock(job->t, err);
	if (!rc) {
		rc = job->t->ops->stop(job->t, VP_TIMEOUT_MS, err);
		if (!rc) {
			rc = vp_linux_inside_held(in, NULL, err);
			job->t->ops->resume(job->t);
		}
		job->t->ops->unlock(job->t);
	}
	vp_linux_inside_free(in);
	return rc;
}

int vp_hotfix_wait_idle(struct vp_hotfix_job *job, const struct vp_linux_range *ranges, size_t n,
			unsigned int wait_ms, struct vp_err *err)
{
	int64_t until = vp_now_ms() + wait_ms;
	unsigned int ms = NAP_MS;
	int rc;

	do {
		struct vp_err who = { "" };

		rc = look_once(job, ranges, n, &who);
		if (rc)
			vp_err_set(err, rc, "%s", who.text);
		if (is_somebody(rc))
			vp_hotfix_job_tell(job, who.text);
	} while (is_somebody(rc) && nap(until, &ms));
	return rc == -EAGAIN ? -EBUSY : rc;
}

/* --- what nothing leads to ------------------------------------------------------------ */

static json_t *describe(const struct vp_hotfix_label *l)
{
	return json_pack("{s:o, s:o}", "name", vp_qmp_text(l->name), "version",
			 vp_qmp_text(l->version));
}

static int begin_sweep(struct vp_hotfix_job *job, const struct vp_hotfix_label *l,
		       struct vp_arena *arena, struct vp_err *err)
{
	const struct vp_arena_witness *w = &job->op.witness;
	int rc = vp_operation_begin(job->c, "hotfix-remove",
				    json_pack("{s:o, s:o}", "hotfix", describe(l), "free",
					      vp_json_addr(job->recipe.free.v)),
				    &job->op, err);

	for (size_t i = 0; i < VP_ARENA_KINDS && !rc; i++) {
		arena->part[i] = (struct vp_arena_part){ l->areas[i].at, l->areas[i].size };
		if (arena->part[i].size)
			rc = w->got(w->arg, 0, (enum vp_arena_kind)i, arena->part[i].at,
				    arena->part[i].size, err);
	}
	return rc;
}

int vp_hotfix_job_sweep(struct vp_hotfix_job *job, const struct vp_hotfix_found *f,
			unsigned int wait_ms, uint64_t *bytes, struct vp_err *err)
{
	const struct vp_hotfix_label *l = f->label;
	const struct vp_linux_range text = { f->at, l->areas[VP_AREA_TEXT].size };
	struct vp_err why = { "" };
	struct vp_arena arena;
	int rc = vp_hotfix_wait_idle(job, &text, 1, wait_ms, &why);

	if (rc)
		return vp_err_set(err, rc == -EBUSY ? -EAGAIN : rc,
				  "the memory of hotfix %.64s cannot be freed yet: %.150s", l->name,
				  why.text);
	rc = begin_sweep(job, l, &arena, err);
	if (rc)
		return rc;
	rc = vp_hotfix_job_free(job, &arena, err);
	/* As long as its label is there, nothing is to be recovered. */
	if (!rc || (rc != -EUCLEAN && rc != -EFAULT && arena.part[VP_ARENA_TEXT].size)) {
		int wrote = vp_operation_done(
			&job->op, rc ? "its memory stays" : "its memory was freed", &why);

		if (wrote && !rc)
			rc = vp_err_set(err, wrote, "%s", why.text);
	}
	for (size_t i = 0; i < VP_ARENA_KINDS && bytes && !rc; i++)
		*bytes += l->areas[i].size;
	return rc;
}
