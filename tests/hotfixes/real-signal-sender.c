/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Debian 6.1.176-1 to 6.1.192-2, kernel/signal.c: a signal to a group, with a member in another
 * PID namespace, told those behind that one that nobody (0) had sent it: what was made for one was
 * seen by the next.
 * Release: 6.1.0-50-amd64
 *
 * In the guest, as root: a process that leads a group forks B, unshares CLONE_NEWPID and forks A,
 * and sends SIGUSR1 to its group. In B's handler, si_pid is 0 before and after, and the sender's
 * PID meanwhile (A is asked first, as it is the younger). In A's it is 0 at all times.
 */
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/user_namespace.h>

#include <vmpoke/hotfix.h>

extern int __send_signal_locked(int sig, struct kernel_siginfo *info, struct task_struct *t,
				enum pid_type type, bool force);

static inline bool has_si_pid_and_uid(struct kernel_siginfo *info)
{
	switch (siginfo_layout(info->si_signo, info->si_code)) {
	case SIL_KILL:
	case SIL_CHLD:
	case SIL_RT:
		return true;
	default:
		return false;
	}
}

static int fixed_send_signal_locked(int sig, struct kernel_siginfo *info, struct task_struct *t,
				    enum pid_type type)
{
	struct kernel_siginfo rewritten;
	/* Should SIGKILL or SIGSTOP be received by a pid namespace init? */
	bool force = false;

	if (info == SEND_SIG_NOINFO) {
		/* Force if sent from an ancestor pid namespace */
		force = !task_pid_nr_ns(current, task_active_pid_ns(t));
	} else if (info == SEND_SIG_PRIV) {
		/* Don't ignore kernel generated signals */
		force = true;
	} else if (has_si_pid_and_uid(info)) {
		/* SIGKILL and SIGSTOP is special or has ids */
		struct user_namespace *t_user_ns;

		rewritten = *info;
		info = &rewritten;

		rcu_read_lock();
		t_user_ns = task_cred_xxx(t, user_ns);
		if (current_user_ns() != t_user_ns) {
			kuid_t uid = make_kuid(current_user_ns(), info->si_uid);

			info->si_uid = from_kuid_munged(t_user_ns, uid);
		}
		rcu_read_unlock();

		/* A kernel generated signal? */
		force = (info->si_code == SI_KERNEL);

		/* From an ancestor pid namespace? */
		if (!task_pid_nr_ns(current, task_active_pid_ns(t))) {
			info->si_pid = 0;
			force = true;
		}
	}
	return __send_signal_locked(sig, info, t, type, force);
}

VMPOKE_HOTFIX("real-signal-sender", "1", "signal: each receiver is told the sender that it sees");
VMPOKE_REPLACE(send_signal_locked, fixed_send_signal_locked);
