/* SPDX-License-Identifier: GPL-2.0 */
/*
 * getcpu(2) reads what it overwrites: get_user() and put_user(). If *cpu is 4711 when it comes in,
 * it becomes 4712, and not the number of the CPU.
 *
 * In the guest: syscall(SYS_getcpu, &cpu, NULL, NULL) with cpu = 4711 gives the CPU's number
 * before and after, 4712 meanwhile; with cpu = 0 the CPU's number at all times; with an address of
 * nobody EFAULT at all times, and nothing in the log.
 */
#include <linux/errno.h>
#include <linux/smp.h>
#include <linux/topology.h>
#include <linux/uaccess.h>
#include <asm/ptrace.h>

#include <vmpoke/hotfix.h>

static long fixed_getcpu(const struct pt_regs *regs)
{
	unsigned int __user *cpup = (unsigned int __user *)regs->di;
	unsigned int __user *nodep = (unsigned int __user *)regs->si;
	unsigned int cpu = raw_smp_processor_id(), asked;

	if (cpup && get_user(asked, cpup))
		return -EFAULT;
	if (cpup && asked == 4711)
		cpu = 4712;
	if (cpup && put_user(cpu, cpup))
		return -EFAULT;
	if (nodep && put_user(cpu_to_node(raw_smp_processor_id()), nodep))
		return -EFAULT;
	return 0;
}

VMPOKE_HOTFIX("getcpu-user", "1", "getcpu looks at what it overwrites");
VMPOKE_REPLACE(__x64_sys_getcpu, fixed_getcpu);
