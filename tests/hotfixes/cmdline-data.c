/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /proc/cmdline shows what is in data of the hotfix: strings, a table of pointers to them and to
 * functions of ours, initialised and zeroed variables.
 *
 * In the guest: the last line of /proc/cmdline is, from read to read, "one 1", "two 1", "three 1",
 * "one 2" ... meanwhile; it is the command line before and after.
 */
#include <linux/kernel.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>

#include <vmpoke/hotfix.h>

extern char *saved_command_line;

static const char *first(void)
{
	return "one";
}

static const char *second(void)
{
	return "two";
}

static const char *third(void)
{
	return "three";
}

static const char *(*const words[])(void) = { first, second, third };
static DEFINE_SPINLOCK(lock);
static unsigned int round = 1, at;

static int fixed_cmdline_proc_show(struct seq_file *m, void *v)
{
	spin_lock(&lock);
	seq_printf(m, "%s\n%s %u\n", saved_command_line, words[at](), round);
	at = (at + 1) % ARRAY_SIZE(words);
	round += !at;
	spin_unlock(&lock);
	return 0;
}

VMPOKE_HOTFIX("cmdline-data", "1", "/proc/cmdline shows data of a hotfix");
VMPOKE_REPLACE(cmdline_proc_show, fixed_cmdline_proc_show);
