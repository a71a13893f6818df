/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /proc/uptime warns if a process called "warn-me" reads it, once: a WARN that is taken, and one
 * that is not; a static key of the kernel's (sched_schedstats), and a tracepoint.
 *
 * In the guest: a program called warn-me that reads /proc/uptime twice makes one "WARNING:" with
 * uptime-warn.c in the log while the hotfix is there, and none before and after; anybody else's
 * reads make none. The key: the second line says "schedstats 0" or "1", as
 * /proc/sys/kernel/sched_schedstats does.
 */
#include <linux/bug.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <trace/events/sched.h>

#include <vmpoke/hotfix.h>

extern struct static_key_false sched_schedstats;

static int fixed_uptime_proc_show(struct seq_file *m, void *v)
{
	struct timespec64 uptime;

	WARN_ONCE(!strcmp(current->comm, "warn-me"), "hotfix: %s reads its uptime\n",
		  current->comm);
	ktime_get_boottime_ts64(&uptime);
	WARN_ON(uptime.tv_sec < 0);
	trace_sched_process_wait(task_pid(current));
	seq_printf(m, "%lu.%02lu 0.00\nschedstats %d\n", (unsigned long)uptime.tv_sec,
		   uptime.tv_nsec / (NSEC_PER_SEC / 100),
		   static_branch_unlikely(&sched_schedstats) ? 1 : 0);
	return 0;
}

VMPOKE_HOTFIX("uptime-warn", "1", "/proc/uptime warns of a reader called warn-me");
VMPOKE_REPLACE(uptime_proc_show, fixed_uptime_proc_show);
