/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/priority.h"

#include "linux/internal.h"
#include "x86/walk.h"

#define PRIO_NICE_0 120u /* MAX_RT_PRIO + 20 (include/linux/sched/prio.h) */
#define PRIO_MAX    140u
#define SCHED_IDLE  5u	     /* include/uapi/linux/sched.h */
#define STACK_MAX   0x20000u /* that of KASAN with the largest pages */

void vp_priority_find(const struct vp_linux *l, struct vp_priority_at *out)
{
	const struct vp_task_layout *y = &l->tasks_at;
	vp_gva at;

	*out = (struct vp_priority_at){ 0 };
	if (!y->known || !y->prio || !y->policy ||
	    (!vp_linux_find(l, "current_task", &at) && !vp_linux_find(l, "pcpu_hot", &at)))
		return;
	/* In struct pcpu_hot (6.2 to 6.14) it is the first; the task's stack tells if not. */
	*out = (struct vp_priority_at){ at.v, y->stack, y->prio, y->policy };
}

static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_target *t = arg;

	return t->ops->read(t, gpa, buf, len, err);
}

/* @len bytes that do not cross a page. */
static bool get(struct vp_target *t, const struct vp_paging *space, uint64_t addr, void *buf,
		size_t len)
{
	const struct vp_phys_reader mem = { read_phys, t };
	struct vp_map map;

	return addr >> 63 && addr % 4096 + len <= 4096 &&
	       !vp_walk(space, &mem, VP_GVA(addr), &map, NULL) &&
	       !t->ops->read(t, map.gpa, buf, len, NULL);
}

bool vp_priority_is_low(struct vp_target *t, const struct vp_priority_at *at,
			const struct vp_vcpu_state *vcpu)
{
	uint64_t task = 0, stack = 0, rsp = vcpu->regs.gpr[VP_RSP];
	uint32_t prio = 0, policy = 0;

	if (!at->current || !get(t, &vcpu->paging, vcpu->gs_base + at->current, &task, 8) ||
	    !get(t, &vcpu->paging, task + at->stack, &stack, 8) || rsp < stack ||
	    rsp - stack >= STACK_MAX || !get(t, &vcpu->paging, task + at->prio, &prio, 4) ||
	    !get(t, &vcpu->paging, task + at->policy, &policy, 4))
		return false;
	return (prio > PRIO_NICE_0 && prio < PRIO_MAX) || policy == SCHED_IDLE;
}
