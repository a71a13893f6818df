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
	bool busy; /* it was that why nothing was written */
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
	k->busy = is_somebody(rc);
	return vp_err_set(err, rc, "%s", k->s->who.text);
}

/* With the guest running: is a stop worth it? 0: it is. */
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
	k->busy = is_somebody(rc);
	return rc ? vp_err_set(err, rc, "%s", s->who.text) : 0;
}

static json_t *try(struct vp_hotfix_job *job, struct vp_hotfix_switch *s, bool *busy, int *code,
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

	s->tries++;
	s->idle = false;
	*code = prepare(job, s, &k, err);
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
	bool wait = s->patience == VP_HOTFIX_WAIT, busy = false;
	int64_t now = vp_now_ms(), until = now + (wait ? s->wait_ms : 0),
		soon = now + VP_TIMEOUT_MS;
	unsigned int ms = NAP_MS;
	json_t *ret;

	do /* whoever is inside is waited for as long as is asked; who patches, for a moment */
		ret = try(job, s, &busy, code, err);
	while (!ret && (busy || *code == -EAGAIN) && nap(busy ? until : soon, &ms));
	if (!ret && busy)
		*code = vp_err_set(err, -EAGAIN, "somebody is inside%s: %.200s",
				   wait ? " all the time" : "", s->who.text);
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
	if (!rc)
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

	do
		rc = look_once(job, ranges, n, err);
	while (is_somebody(rc) && nap(until, &ms));
	return rc == -EAGAIN ? -EBUSY : rc;
}
