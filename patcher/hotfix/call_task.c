/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: the address of the pad is written below the task's stack pointer, as a CALL would have
 * pushed it, and the registers are those of a call. When the function returns the task runs into
 * the breakpoint at the pad. It is known again by RIP and RSP, not by its vCPU: under load it comes
 * back on another one in a quarter of the calls.
 */
#include "hotfix/call_task.h"

#include "base/vcpus.h"
#include "x86/walk.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* RFLAGS that the System V ABI, or the kernel, wants clear in a function (SDM vol. 1, 3.4.3). */
#define FLAG_TF (1ull << 8)
#define FLAG_DF (1ull << 10)
#define FLAG_NT (1ull << 14)
#define FLAG_RF (1ull << 16)
#define FLAG_AC (1ull << 18)

#define STACK_MAX   0x8000u /* THREAD_SIZE is 16 KB, with KASAN 32 */
#define FOREIGN_MAX 64u	    /* stops in one call that are none of ours */

static const enum vp_gpr arg_regs[] = { VP_RDI, VP_RSI, VP_RDX, VP_RCX, VP_R8, VP_R9 };

int64_t vp_call_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- looking at the vCPUs -------------------------------------------------------- */

struct look {
	struct vp_call_task *task;
	bool back, oops, other_oops;
};

static int look_at(void *arg, int vcpu, const struct vp_vcpu_state *state)
{
	struct look *k = arg;
	struct vp_call_task *task = k->task;
	uint64_t rip = state->regs.rip, rsp = state->regs.gpr[VP_RSP], sp = task->kept.stack;
	uint64_t now = sp - vp_call_offset(task->kept.nr) + 8;
	uint64_t before = sp - vp_call_offset(task->kept.nr + 1) + 8;

	if (rip == task->kept.pad && (rsp == now || rsp == before)) {
		k->back = true;
		task->behind = rsp == now;
		task->moved += vcpu != task->vcpu;
		task->vcpu = vcpu;
		task->paging = state->paging;
		task->result = state->regs.gpr[VP_RAX];
		return 1;
	}
	if (task->oops.v && rip == task->oops.v) {
		k->oops |= rsp < sp && sp - rsp < STACK_MAX;
		k->other_oops |= rsp >= sp || sp - rsp >= STACK_MAX;
	}
	return 0;
}

static int look(struct vp_call_task *task, struct look *k, struct vp_err *err)
{
	int rc;

	*k = (struct look){ .task = task };
	rc = vp_each_vcpu(task->t, look_at, k, err);
	if (k->back)
		task->state = VP_TASK_AT_PAD;
	return rc < 0 ? rc : 0;
}

int vp_call_task_find(struct vp_call_task *task, struct vp_err *err)
{
	struct look k;
	int rc = look(task, &k, err);

	if (rc || k.back)
		return rc;
	return vp_err_set(err, -ENOENT, "no vCPU stands behind the call");
}

/* --- calling ----------------------------------------------------------------------- */

static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_target *t = arg;

	return t->ops->read(t, gpa, buf, len, err);
}

static int find_slot(struct vp_call_task *task, struct vp_err *err)
{
	const struct vp_phys_reader mem = { read_phys, task->t };
	struct vp_map map;
	int rc = vp_walk(&task->paging, &mem, VP_GVA(task->kept.stack), &map, err);

	if (!rc && (map.user || !map.writable))
		rc = vp_err_set(err, -EFAULT,
				"the stack of the borrowed task, at 0x%llx, is no kernel's stack",
				(unsigned long long)task->kept.stack);
	task->kept.slot = rc ? 0 : map.gpa.v;
	return rc;
}

static int keep(struct vp_call_task *task, struct vp_err *err)
{
	return task->breaks->keep(task->t, &task->kept, sizeof(task->kept), err);
}

static struct vp_regs call_regs(const struct vp_call_task *task, const struct vp_call *call)
{
	struct vp_regs regs = task->kept.regs;

	for (size_t i = 0; i < sizeof(arg_regs) / sizeof(arg_regs[0]); i++)
		regs.gpr[arg_regs[i]] = call->arg[i];
	regs.gpr[VP_RAX] = 0;
	regs.gpr[VP_RSP] = task->kept.stack - vp_call_offset(task->kept.nr);
	regs.rip = call->fn.v;
	regs.rflags &= ~(FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC);
	return regs;
}

int vp_call_task_begin(struct vp_call_task *task, const struct vp_call *call, struct vp_err *err)
{
	struct vp_regs regs;
	vp_gpa slot;
	int rc = task->kept.slot ? 0 : find_slot(task, err);

	slot = VP_GPA(task->kept.slot - vp_call_offset(task->kept.nr));
	task->kept.fn = call->fn.v;
	task->kept.phase = VP_CALL_BEGUN;
	if (!rc)
		rc = keep(task, err);
	if (!rc)
		rc = task->t->ops->write(task->t, slot, &task->kept.pad, 8, err);
	if (rc)
		return rc;
	regs = call_regs(task, call);
	rc = task->breaks->set_regs(task->t, task->vcpu, &regs, err);
	if (!rc)
		task->state = VP_TASK_IN_CALL;
	else if (rc != -EAGAIN && rc != -EOPNOTSUPP) /* it may have them */
		task->state = VP_TASK_UNKNOWN;
	return rc;
}

/* Another task's oops: so that the wait goes on without a breakpoint there. */
static int forget_oops(struct vp_call_task *task, struct vp_err *err)
{
	int rc = task->breaks->clear(task->t, task->oops, err);

	if (!rc)
		task->oops = VP_GVA(0);
	return rc;
}

/* The VM stands. 0: as task->state says; -EAGAIN: none of ours, wait on. */
static int see(struct vp_call_task *task, struct vp_err *err)
{
	struct look k;
	int rc = look(task, &k, err);

	task->stops++;
	if (rc || k.back)
		return rc;
	if (k.oops) {
		task->state = VP_TASK_GONE;
		return vp_err_set(err, -EFAULT,
				  "the guest's kernel oopsed in the call of 0x%llx: see its log; "
				  "the task that made the call is lost",
				  (unsigned long long)task->kept.fn);
	}
	rc = k.other_oops ? forget_oops(task, err) : 0;
	return rc ? rc : -EAGAIN;
}

static int late(const struct vp_call_task *task, unsigned int ms, struct vp_err *err)
{
	return vp_err_set(err, -ETIMEDOUT,
			  "the call of 0x%llx in the guest has not returned within %u ms",
			  (unsigned long long)task->kept.fn, ms);
}

int vp_call_task_wait(struct vp_call_task *task, unsigned int ms, struct vp_err *err)
{
	int64_t deadline = vp_call_now_ms() + ms;

	for (unsigned int foreign = 0; foreign < FOREIGN_MAX; foreign++) {
		int64_t left = deadline - vp_call_now_ms();
		int rc = task->breaks->wait(task->t, left > 1 ? (unsigned int)left : 1, err);

		if (rc == -EAGAIN)
			continue;
		if (!rc || rc == -ETIMEDOUT) {
			int seen = see(task, err);

			if (seen == -EAGAIN && rc == -ETIMEDOUT)
				return late(task, ms, err);
			if (seen == -EAGAIN)
				continue;
			if (seen && task->state != VP_TASK_GONE)
				task->state = VP_TASK_UNKNOWN;
			return seen;
		}
		task->state = VP_TASK_UNKNOWN;
		return rc;
	}
	return late(task, ms, err);
}

/* It is let go on from the pad by its owner: the breakpoint there holds it, so find it again. */
int vp_call_task_end(struct vp_call_task *task, struct vp_err *err)
{
	int rc;

	task->kept.phase = VP_CALL_ENDING;
	rc = keep(task, err);
	for (unsigned int i = 0; i < VP_CALL_TRIES; i++) {
		rc = task->breaks->set_regs(task->t, task->vcpu, &task->kept.regs, err);
		if (rc != -EAGAIN)
			break;
		rc = vp_call_task_find(task, err);
		if (rc && rc != -EAGAIN)
			break;
	}
	task->state = rc ? VP_TASK_UNKNOWN : VP_TASK_OWN;
	return rc;
}
