/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Three functions that change together: /proc/loadavg is shown by one, which asks two others for
 * its numbers. Whoever is in the first while the others change would show a mixture.
 *
 * In the guest: /proc/loadavg is one line before and after, its fourth field not "42/...".
 * Meanwhile it is "42.00 42.00 42.00 42/N P" and a second line, "all 42". Any other text is a
 * mixture. Load: readers of /proc/loadavg, that look at each answer.
 */
#include <linux/pid_namespace.h>
#include <linux/sched/loadavg.h>
#include <linux/sched/stat.h>
#include <linux/seq_file.h>

#include <vmpoke/hotfix.h>

static void fixed_get_avenrun(unsigned long *loads, unsigned long offset, int shift)
{
	loads[0] = loads[1] = loads[2] = 42 << FSHIFT;
}

static unsigned int fixed_nr_running(void)
{
	return 42;
}

/* It calls the kernel's functions, as before: those calls, too, come to the new ones. */
static int fixed_loadavg_proc_show(struct seq_file *m, void *v)
{
	unsigned long avnrun[3];

	get_avenrun(avnrun, FIXED_1 / 200, 0);
	seq_printf(m, "%lu.%02lu %lu.%02lu %lu.%02lu %u/%d %d\nall 42\n", LOAD_INT(avnrun[0]),
		   LOAD_FRAC(avnrun[0]), LOAD_INT(avnrun[1]), LOAD_FRAC(avnrun[1]),
		   LOAD_INT(avnrun[2]), LOAD_FRAC(avnrun[2]), (unsigned int)nr_running(),
		   nr_threads, idr_get_cursor(&task_active_pid_ns(current)->idr) - 1);
	return 0;
}

VMPOKE_HOTFIX("three-together", "1", "/proc/loadavg says 42, by three functions");
VMPOKE_REPLACE(loadavg_proc_show, fixed_loadavg_proc_show);
VMPOKE_REPLACE(get_avenrun, fixed_get_avenrun);
VMPOKE_REPLACE(nr_running, fixed_nr_running);
