/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /proc/version says that it was fixed: a new string, and nothing that could go wrong.
 *
 * In the guest: `grep hotfix /proc/version` fails before and after, and finds it meanwhile.
 */
#include <linux/seq_file.h>
#include <linux/utsname.h>

#include <vmpoke/hotfix.h>

extern const char linux_proc_banner[];

static int fixed_version_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, linux_proc_banner, utsname()->sysname, utsname()->release,
		   utsname()->version);
	seq_puts(m, "with a hotfix of vmpoke\n");
	return 0;
}

VMPOKE_HOTFIX("proc-version", "1", "/proc/version says that it was fixed");
VMPOKE_REPLACE(version_proc_show, fixed_version_proc_show);
