/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /proc/execdomains says how often it was read since the hotfix came, and how many processes there
 * are: a static local of ours, and per-cpu data of the kernel's.
 *
 * In the guest: /proc/execdomains has one line before and after. Meanwhile it has two: the number
 * behind "reads" grows by one with each read, from 1; that behind "processes" is the sum of the
 * per-cpu counts of kernel/fork.c, which is the number of folders /proc/NUMBER that have a process
 * of user space or of the kernel (give or take those that come and go).
 */
#include <linux/percpu.h>
#include <linux/seq_file.h>

#include <vmpoke/hotfix.h>

DECLARE_PER_CPU(unsigned long, process_counts);

static int fixed_execdomains_proc_show(struct seq_file *m, void *v)
{
	static atomic_t reads;
	unsigned long processes = 0;
	int cpu;

	for_each_possible_cpu(cpu) processes += per_cpu(process_counts, cpu);
	seq_puts(m, "0-0\tLinux           \t[kernel]\n");
	seq_printf(m, "reads %d processes %lu here %lu\n", atomic_inc_return(&reads), processes,
		   this_cpu_read(process_counts));
	return 0;
}

VMPOKE_HOTFIX("execdomains-count", "1", "/proc/execdomains counts its reads and the processes");
VMPOKE_REPLACE(execdomains_proc_show, fixed_execdomains_proc_show);
