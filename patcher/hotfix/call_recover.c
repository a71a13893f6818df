/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process has left that was killed in a run of calls. Where the task is says how far it was:
 * with its own registers (before, or behind); at the entry of the function; at the pad; else it is
 * in the call, on a vCPU or asleep, and comes to the pad.
 */
#include "hotfix/call_task.h"

#include "base/vcpus.h"

#include <errno.h>
#include <string.h>

#define LATE_MS 30000u /* for a call that had not returned when its caller was killed */

struct seen {
	struct vp_call_task *task;
	bool own, entry;
};

static int look_at(void *arg, int vcpu, const struct vp_vcpu_state *s)
{
	struct seen *seen = arg;
	struct vp_call_task *task = seen->task;
	const struct vp_regs *regs = &task->kept.regs;

	if (s->regs.rip == regs->rip && !memcmp(s->regs.gpr, regs->gpr, sizeof(regs->gpr))) {
		seen->own = true;
	} else if (s->regs.rip == task->kept.fn &&
		   s->regs.gpr[VP_RSP] == task->kept.stack - vp_call_offset(task->kept.nr)) {
		seen->entry = true;
		task->vcpu = vcpu;
		return 1;
	}
	return 0;
}

/* Is it in the call, wherever? Its return address is still where it was written. */
static int is_in_call(struct vp_call_task *task, bool *in, struct vp_err *err)
{
	uint64_t slot = 0;
	vp_gpa at = VP_GPA(task->kept.slot - vp_call_offset(task->kept.nr));
	int rc = task->t->ops->read(task->t, at, &slot, sizeof(slot), err);

	*in = slot == task->kept.pad;
	return rc;
}

/* Where it is: OWN, AT_PAD (or at the entry, which is as good), IN_CALL. */
static int place(struct vp_call_task *task, bool *returned, struct vp_err *err)
{
	struct seen seen = { .task = task };
	bool in = false;
	int rc = vp_call_task_find(task, err);

	*returned = !rc;
	if (rc != -ENOENT)
		return rc;
	task->state = VP_TASK_OWN;
	if (task->kept.phase == VP_CALL_ENDING) /* nothing else leads away from the pad */
		return 0;
	rc = vp_each_vcpu(task->t, look_at, &seen, err);
	if (rc < 0 || seen.own)
		return rc < 0 ? rc : 0;
	if (seen.entry) {
		task->state = VP_TASK_AT_PAD;
		return 0;
	}
	rc = is_in_call(task, &in, err);
	if (!rc && in)
		task->state = VP_TASK_IN_CALL;
	return rc;
}

static int read_kept(struct vp_target *t, struct vp_call_kept *kept, bool *any, struct vp_err *err)
{
	size_t len = 0;
	int rc = t->ops->breaks->kept(t, kept, sizeof(*kept), &len, err);

	*any = len;
	if (rc || !len)
		return rc;
	if (len != sizeof(*kept) || kept->magic != VP_CALL_MAGIC || kept->phase > VP_CALL_ENDING)
		return vp_err_set(
			err, -EBADMSG,
			"a vmpoke was killed while it called a function of the guest, and "
			"what it kept of that is not known here: is it another version?");
	return 0;
}

/* Who is told. */
struct listener {
	vp_call_tell tell;
	void *arg;
};

static int tell_listener(const struct vp_call_task *task, const struct listener *to,
			 struct vp_call_recovered *out, struct vp_err *err)
{
	out->result = task->result;
	if (!task->behind) {
		out->nr--;
		out->fn = VP_GVA(task->kept.before);
	}
	return to->tell ? to->tell(to->arg, out, err) : 0;
}

/* Wherever it is now: to the pad, and away from it. */
static int bring_home(struct vp_call_task *task, unsigned int ms, const struct listener *to,
		      struct vp_call_recovered *out, struct vp_err *err)
{
	int rc = task->breaks->set(task->t, VP_GVA(task->kept.pad), err);

	if (!rc && task->state == VP_TASK_IN_CALL) {
		rc = vp_call_task_wait(task, ms, err);
		if (rc == -ETIMEDOUT)
			task->breaks->leave(task->t);
		out->returned = !rc;
	}
	if (rc)
		return rc;
	if (out->returned)
		rc = tell_listener(task, to, out, err);
	if (!rc && task->state == VP_TASK_AT_PAD)
		rc = vp_call_task_end(task, err);
	return rc ? rc : task->breaks->clear(task->t, VP_GVA(task->kept.pad), err);
}

int vp_call_recover(struct vp_target *t, unsigned int call_ms, vp_call_tell tell, void *arg,
		    struct vp_call_recovered *out, struct vp_err *err)
{
	const struct listener to = { tell, arg };
	struct vp_call_task task = { .t = t, .breaks = t->ops->breaks };
	bool any = false;
	int rc;

	*out = (struct vp_call_recovered){ 0 };
	if (!t->ops->breaks)
		return 0;
	rc = read_kept(t, &task.kept, &any, err);
	if (rc || !any)
		return rc;
	out->found = true;
	out->nr = (unsigned int)task.kept.nr;
	out->fn = VP_GVA(task.kept.fn);
	rc = place(&task, &out->returned, err);
	if (!rc && task.state != VP_TASK_OWN)
		rc = bring_home(&task, call_ms ? call_ms : LATE_MS, &to, out, err);
	return rc ? rc : t->ops->breaks->keep(t, NULL, 0, err);
}

#define GLANCE_MS 20u /* if the call has not come back since, it is not waited for */

void vp_call_take_back(struct vp_target *t)
{
	struct vp_call_recovered done;
	struct vp_err err;

	if (t->ops->lock(t, &err))
		return;
	if (!t->ops->stop(t, VP_TIMEOUT_MS, &err) &&
	    vp_call_recover(t, GLANCE_MS, NULL, NULL, &done, &err) != -ETIMEDOUT)
		t->ops->resume(t); /* else the guest runs again already */
	t->ops->unlock(t);
}
