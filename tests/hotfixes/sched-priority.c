/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sched_get_priority_max(2), a system call, by a switch with a jump table: the kernel's own flags
 * forbid these, and the linker must take them all the same.
 *
 * In the guest: sched_get_priority_max(SCHED_BATCH) is 0 before and after, 3 meanwhile;
 * SCHED_FIFO gives 99, and 7 gives EINVAL, at all times.
 */
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/sched/prio.h>
#include <linux/sched/task_stack.h>

#include <vmpoke/hotfix.h>

#pragma GCC optimize("jump-tables", "no-tree-switch-conversion")

static long fixed_sched_get_priority_max(const struct pt_regs *regs)
{
	switch ((int)regs->di) {
	case SCHED_NORMAL:
		return 0;
	case SCHED_FIFO:
		return MAX_RT_PRIO - 1;
	case SCHED_RR:
		return MAX_RT_PRIO - 1 + !current;
	case SCHED_BATCH:
		return 3;
	case SCHED_IDLE:
		return !current->pid;
	case SCHED_DEADLINE:
		return !current->tgid;
	}
	return -EINVAL;
}

VMPOKE_HOTFIX("sched-priority", "1", "sched_get_priority_max tells batch from normal");
VMPOKE_REPLACE(__x64_sys_sched_get_priority_max, fixed_sched_get_priority_max);
