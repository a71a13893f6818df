/* SPDX-License-Identifier: Apache-2.0 */
/* Does the task that a vCPU runs give way to others? */
#ifndef VP_LINUX_PRIORITY_H
#define VP_LINUX_PRIORITY_H

#include <vmpoke/linux.h>

struct vp_priority_at {
	uint64_t current; /* of the pointer to the running task, per CPU; 0: not known */
	uint32_t stack, prio, policy; /* in struct task_struct */
};

void vp_priority_find(const struct vp_linux *l, struct vp_priority_at *out);

/*
 * It is nice to others, or SCHED_IDLE: on a busy guest it may not run for minutes. @vcpu is one in
 * the kernel, in a task. False also if that cannot be told.
 */
bool vp_priority_is_low(struct vp_target *t, const struct vp_priority_at *at,
			const struct vp_vcpu_state *vcpu);

#endif /* VP_LINUX_PRIORITY_H */
