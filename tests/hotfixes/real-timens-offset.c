/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Debian 6.1.176-1 to 6.1.192-2, kernel/time/namespace.c: the offset of a time namespace could
 * have a negative number of nanoseconds.
 * Release: 6.1.0-50-amd64
 *
 * In the guest, as root: unshare(CLONE_NEWTIME), then write "monotonic 1 18446744073709551615" to
 * /proc/self/timens_offsets: it is taken before and after, and EINVAL meanwhile;
 * "monotonic 1 5" is taken at all times.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/sched/task.h>
#include <linux/time_namespace.h>
#include <linux/timekeeping.h>

#include <vmpoke/hotfix.h>

extern struct ns_common *timens_for_children_get(struct task_struct *task);
extern struct mutex offset_lock;

static int fixed_proc_timens_set_offset(struct file *file, struct task_struct *p,
					struct proc_timens_offset *offsets, int noffsets)
{
	struct ns_common *ns;
	struct time_namespace *time_ns;
	struct timespec64 tp;
	int i, err;

	ns = timens_for_children_get(p);
	if (!ns)
		return -ESRCH;
	time_ns = container_of(ns, struct time_namespace, ns);

	if (!file_ns_capable(file, time_ns->user_ns, CAP_SYS_TIME)) {
		put_time_ns(time_ns);
		return -EPERM;
	}

	for (i = 0; i < noffsets; i++) {
		struct proc_timens_offset *off = &offsets[i];

		switch (off->clockid) {
		case CLOCK_MONOTONIC:
			ktime_get_ts64(&tp);
			break;
		case CLOCK_BOOTTIME:
			ktime_get_boottime_ts64(&tp);
			break;
		default:
			err = -EINVAL;
			goto out;
		}

		err = -ERANGE;

		if (off->val.tv_sec > KTIME_SEC_MAX || off->val.tv_sec < -KTIME_SEC_MAX)
			goto out;

		if (off->val.tv_nsec < 0 || off->val.tv_nsec >= NSEC_PER_SEC) {
			err = -EINVAL;
			goto out;
		}

		tp = timespec64_add(tp, off->val);
		/*
		 * KTIME_SEC_MAX is divided by 2 to be sure that KTIME_MAX is
		 * still unreachable.
		 */
		if (tp.tv_sec < 0 || tp.tv_sec > KTIME_SEC_MAX / 2)
			goto out;
	}

	mutex_lock(&offset_lock);
	if (time_ns->frozen_offsets) {
		err = -EACCES;
		goto out_unlock;
	}

	err = 0;
	/* Don't report errors after this line */
	for (i = 0; i < noffsets; i++) {
		struct proc_timens_offset *off = &offsets[i];
		struct timespec64 *offset = NULL;

		switch (off->clockid) {
		case CLOCK_MONOTONIC:
			offset = &time_ns->offsets.monotonic;
			break;
		case CLOCK_BOOTTIME:
			offset = &time_ns->offsets.boottime;
			break;
		}

		*offset = off->val;
	}

out_unlock:
	mutex_unlock(&offset_lock);
out:
	put_time_ns(time_ns);

	return err;
}

VMPOKE_HOTFIX("real-timens-offset", "1", "time namespaces: no negative nanoseconds");
VMPOKE_REPLACE(proc_timens_set_offset, fixed_proc_timens_set_offset);
