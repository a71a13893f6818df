/* SPDX-License-Identifier: Apache-2.0 */
/* A run of calls: reach a safe point, borrow the task, call, give it back. */
#include "hotfix/call.h"
#include "hotfix/call_task.h"

#include "base/vcpus.h"

#include <errno.h>
#include <time.h>

#define FLAG_IF (1ull << 9)

/* So many tasks that give way to others are let go by; then any will do. */
#define LOW_MAX 16u
#define PASS_NS 3000000l

struct run {
	struct vp_call_task task;
	const struct vp_call_site *site;
	struct vp_call_opts opts;
	bool safe_set[VP_BREAKS_MAX];
	unsigned int low; /* tasks that were let go by */
	bool running;	  /* we do not hold it: to stop it again failed */
};

/* --- the safe point --------------------------------------------------------------- */

/* In a task (not in an interrupt: its flag is set), in the kernel, on a stack with room. */
static bool is_fit(const struct vp_vcpu_state *s)
{
	return s->code64 && !s->nested && !(s->cs & 3) && (s->regs.rflags & FLAG_IF) &&
	       s->regs.gpr[VP_RSP] >> 63 && s->regs.gpr[VP_RSP] % 8 == 0;
}

/* As at the entry of a function: aligned to 16, but for the return address. In one page. */
static uint64_t stack_for_calls(uint64_t rsp)
{
	uint64_t sp = ((rsp - 512) & ~15ull) - 8;

	return sp % 4096 < VP_CALL_TURN + 8 ? sp - 32 : sp;
}

struct found {
	struct run *r;
	bool unfit[VP_BREAKS_MAX], low;
};

static int at_safe_point(void *arg, int vcpu, const struct vp_vcpu_state *s)
{
	struct found *f = arg;
	struct vp_call_kept *kept = &f->r->task.kept;

	for (size_t i = 0; i < f->r->site->nsafe; i++) {
		if (!f->r->safe_set[i] || s->regs.rip != f->r->site->safe[i].v)
			continue;
		f->unfit[i] = !is_fit(s);
		if (f->unfit[i])
			return 0;
		if (f->r->low < LOW_MAX &&
		    vp_priority_is_low(f->r->task.t, &f->r->site->priority, s)) {
			f->low = true;
			return 0;
		}
		f->r->task.vcpu = vcpu;
		f->r->task.paging = s->paging;
		kept->regs = s->regs;
		kept->stack = stack_for_calls(s->regs.gpr[VP_RSP]);
		kept->pad = f->r->site->pad.v;
		return 1;
	}
	return 0;
}

static int clear_safe(struct run *r, size_t i, struct vp_err *err)
{
	int rc = 0;

	if (r->safe_set[i])
		rc = r->task.breaks->clear(r->task.t, r->site->safe[i], err);
	if (!rc)
		r->safe_set[i] = false;
	return rc;
}

/* A vCPU would not get past the breakpoint that it stands at: do without that one. */
static int drop_unfit(struct run *r, const struct found *f, struct vp_err *err)
{
	size_t left = 0;
	int rc = 0;

	for (size_t i = 0; i < r->site->nsafe && !rc; i++) {
		if (f->unfit[i])
			rc = clear_safe(r, i, err);
		left += r->safe_set[i];
	}
	if (!rc && !left)
		rc = vp_err_set(err, -ETIMEDOUT,
				"the guest's kernel comes by no safe point that is one");
	return rc;
}

static int set_safe(struct run *r, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < r->site->nsafe && !rc; i++) {
		rc = r->task.breaks->set(r->task.t, r->site->safe[i], err);
		r->safe_set[i] = !rc;
	}
	return rc;
}

static int clear_all_safe(struct run *r, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < r->site->nsafe && !rc; i++)
		rc = clear_safe(r, i, err);
	return rc;
}

/* Whoever stands at a safe point goes on, with no breakpoint there for a moment. */
static int let_pass(struct run *r, struct vp_err *err)
{
	const struct timespec pass = { .tv_nsec = PASS_NS };
	struct vp_target *t = r->task.t;
	int rc = clear_all_safe(r, err);

	if (rc)
		return rc;
	r->low++;
	t->ops->resume(t);
	nanosleep(&pass, NULL);
	rc = t->ops->stop(t, VP_TIMEOUT_MS, err);
	r->running = rc;
	r->task.stops += !rc;
	return rc ? rc : set_safe(r, err);
}

static int no_safe_point(const struct run *r, struct vp_err *err)
{
	return vp_err_set(err, -ETIMEDOUT,
			  "the guest reached no point within %u ms where a function can be called: "
			  "is it hung, or paused?",
			  r->opts.safe_ms);
}

static int wait_for_safe_point(struct run *r, struct vp_err *err)
{
	int64_t deadline = vp_call_now_ms() + r->opts.safe_ms;

	for (unsigned int i = 0; i < 4 * VP_CALL_TRIES + LOW_MAX; i++) {
		int64_t left = deadline - vp_call_now_ms();
		struct found f = { .r = r };
		int seen, rc = r->task.breaks->wait(r->task.t, left > 1 ? (unsigned int)left : 1,
						    err);

		if (rc && rc != -ETIMEDOUT && rc != -EAGAIN)
			return rc;
		r->task.stops++;
		seen = vp_each_vcpu(r->task.t, at_safe_point, &f, err);
		if (seen)
			return seen < 0 ? seen : 0;
		if (rc == -ETIMEDOUT)
			break;
		rc = f.low ? let_pass(r, err) : drop_unfit(r, &f, err);
		if (rc)
			return rc;
	}
	return no_safe_point(r, err);
}

/* Breakpoints there; then only at the pad, and where the kernel goes when it oopses. */
static int reach(struct run *r, struct vp_err *err)
{
	struct vp_call_task *task = &r->task;
	int rc = set_safe(r, err);

	if (!rc)
		rc = wait_for_safe_point(r, err);
	if (!rc)
		rc = clear_all_safe(r, err);
	if (!rc)
		rc = task->breaks->set(task->t, r->site->pad, err);
	if (!rc && r->site->oops.v) {
		rc = task->breaks->set(task->t, r->site->oops, err);
		if (!rc)
			task->oops = r->site->oops;
	}
	return rc;
}

/* --- the calls -------------------------------------------------------------------- */

/* From the pad an owner's `cont` leads nowhere: the breakpoint is still there. */
static int begin(struct vp_call_task *task, const struct vp_call *call, struct vp_err *err)
{
	int rc = vp_call_task_begin(task, call, err);

	for (unsigned int i = 0; rc == -EAGAIN && task->state == VP_TASK_AT_PAD; i++) {
		if (i == VP_CALL_TRIES)
			break;
		rc = vp_call_task_find(task, err);
		if (!rc)
			rc = vp_call_task_begin(task, call, err);
	}
	return rc;
}

static int make_calls(struct run *r, vp_call_next next, void *arg, struct vp_call_report *report,
		      struct vp_err *err)
{
	struct vp_call_task *task = &r->task;
	struct vp_call call[2] = { { 0 } };
	int rc;

	for (unsigned int n = 0;; n++) {
		struct vp_call *now = &call[n % 2], *done = n ? &call[(n + 1) % 2] : NULL;

		*now = (struct vp_call){ 0 };
		rc = next(arg, done, &task->paging, now, err);
		if (rc <= 0)
			return rc;
		task->kept.nr = n;
		task->kept.before = task->kept.fn;
		rc = begin(task, now, err);
		if (!rc)
			rc = vp_call_task_wait(task, r->opts.call_ms, err);
		if (rc)
			return rc;
		now->result = task->result;
		report->calls++;
	}
}

/* --- the end ---------------------------------------------------------------------- */

/* The breakpoints and what was kept: the task needs them no more. */
static int clean(struct run *r, struct vp_err *err)
{
	struct vp_call_task *task = &r->task;
	int rc = task->breaks->clear(task->t, r->site->pad, err);

	for (size_t i = 0; i < r->site->nsafe && !rc; i++)
		rc = clear_safe(r, i, err);
	if (!rc && task->oops.v)
		rc = task->breaks->clear(task->t, task->oops, err);
	return rc ? rc : task->breaks->keep(task->t, NULL, 0, err);
}

/* @rc and @why are how it went. What cannot be put right now is left for recovery. */
static int end(struct run *r, int rc, struct vp_err *why, struct vp_err *err)
{
	struct vp_call_task *task = &r->task;
	struct vp_target *t = task->t;
	struct vp_err more = { "" };
	int left = 0;

	if (r->running) /* and nothing of ours is there */
		return vp_err_set(err, rc, "%s", why->text);
	if (task->state == VP_TASK_AT_PAD)
		left = vp_call_task_end(task, &more);
	if (task->state == VP_TASK_OWN || task->state == VP_TASK_GONE)
		left = clean(r, &more);
	if (task->state == VP_TASK_IN_CALL) {
		task->breaks->leave(t);
		return vp_err_set(
			err, -EUCLEAN,
			"%.150s; the guest runs, and stops when it does: `vmpoke recover`",
			why->text);
	}
	if (left || task->state == VP_TASK_UNKNOWN) {
		t->ops->abandon(t);
		return vp_err_set(err, -EUCLEAN,
				  "%.170s: a call of a guest function was cut off; `vmpoke "
				  "recover`",
				  left ? more.text : why->text);
	}
	t->ops->resume(t);
	return rc ? vp_err_set(err, rc, "%s", why->text) : 0;
}

/* A call that was given up may still be under way, where this process is the VM. */
static int check_none_left(struct vp_target *t, struct vp_err *err)
{
	uint8_t kept[VP_KEPT_MAX];
	size_t len;
	int rc = t->ops->breaks->kept(t, kept, sizeof(kept), &len, err);

	if (!rc && len)
		rc = vp_err_set(err, -EBUSY,
				"a function of the guest that was called has not returned yet");
	return rc;
}

int vp_call_run(struct vp_target *t, const struct vp_call_site *site,
		const struct vp_call_opts *opts, vp_call_next next, void *arg,
		struct vp_call_report *report, struct vp_err *err)
{
	struct run r = { .task = { .t = t, .breaks = t->ops->breaks, .state = VP_TASK_OWN },
			 .site = site };
	struct vp_call_report none = { 0 };
	struct vp_err why = { "" };
	int64_t start = vp_call_now_ms(), safe;
	int rc;

	report = report ? report : &none;
	*report = (struct vp_call_report){ 0 };
	r.task.kept.magic = VP_CALL_MAGIC;
	r.opts.safe_ms = opts && opts->safe_ms ? opts->safe_ms : VP_CALL_SAFE_MS;
	r.opts.call_ms = opts && opts->call_ms ? opts->call_ms : VP_CALL_MS;
	if (!t->ops->breaks || !site->nsafe)
		return vp_err_set(err, -EOPNOTSUPP,
				  "functions of a guest cannot be called on this target");
	rc = t->ops->stop(t, VP_TIMEOUT_MS, err);
	if (rc)
		return rc;
	rc = check_none_left(t, err);
	if (rc) {
		t->ops->resume(t);
		return rc;
	}
	r.task.stops = 1;
	if (t->ops->breaks->space && site->space.cr3)
		t->ops->breaks->space(t, &site->space);
	rc = reach(&r, &why);
	safe = vp_call_now_ms();
	if (!rc)
		rc = make_calls(&r, next, arg, report, &why);
	rc = end(&r, rc, &why, err);
	report->stops = r.task.stops;
	report->moved = r.task.moved;
	report->safe_ms = (unsigned int)(safe - start);
	report->calls_ms = (unsigned int)(vp_call_now_ms() - safe);
	return rc;
}

/* --- a list ----------------------------------------------------------------------- */

struct list {
	struct vp_call *calls;
	size_t n, begun, made;
};

static int next_of_list(void *arg, const struct vp_call *done, const struct vp_paging *space,
			struct vp_call *next, struct vp_err *err)
{
	struct list *l = arg;

	(void)space, (void)err;
	if (done)
		l->calls[l->made++].result = done->result;
	if (l->begun == l->n)
		return 0;
	*next = l->calls[l->begun++];
	return 1;
}

int vp_call_list(struct vp_target *t, const struct vp_call_site *site,
		 const struct vp_call_opts *opts, struct vp_call *calls, size_t n, size_t *made,
		 struct vp_err *err)
{
	struct list l = { .calls = calls, .n = n };
	int rc = vp_call_run(t, site, opts, next_of_list, &l, NULL, err);

	*made = l.made;
	return rc;
}
