/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Debian 6.1.176-1 to 6.1.192-2, kernel/sys.c: prctl(PR_SET_MM, PR_SET_MM_AUXV) replaced only as
 * much of the auxiliary vector as was given, so that the rest of the old one stayed visible.
 * Release: 6.1.0-50-amd64
 *
 * In the guest, as root: unsigned long v[2] = { AT_PAGESZ, 4096 };
 * prctl(PR_SET_MM, PR_SET_MM_AUXV, v, sizeof(v), 0); then /proc/self/auxv has more than 32 bytes
 * before and after, and 32 (that entry, and AT_NULL) meanwhile.
 */
#include <linux/auxvec.h>
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <vmpoke/hotfix.h>

static int fixed_prctl_set_auxv(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	unsigned long user_auxv[AT_VECTOR_SIZE] = {};

	if (len > sizeof(user_auxv))
		return -EINVAL;

	if (copy_from_user(user_auxv, (const void __user *)addr, len))
		return -EFAULT;

	/* Make sure the last entry is always AT_NULL */
	user_auxv[AT_VECTOR_SIZE - 2] = 0;
	user_auxv[AT_VECTOR_SIZE - 1] = 0;

	BUILD_BUG_ON(sizeof(user_auxv) != sizeof(mm->saved_auxv));

	task_lock(current);
	memcpy(mm->saved_auxv, user_auxv, sizeof(user_auxv));
	task_unlock(current);

	return 0;
}

VMPOKE_HOTFIX("real-prctl-auxv", "1", "prctl: the whole auxiliary vector is replaced");
VMPOKE_REPLACE(prctl_set_auxv, fixed_prctl_set_auxv);
