/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A livepatch module as people write them by hand, for tests/integration/hotfix-klp.sh: it has
 * /proc/cmdline say something else, and beside that what the new function needs: data of its own, a
 * function in the same section, a local symbol of the kernel by its exported name.
 */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static unsigned int seen = 40;
static const char *const words[] = { "patched", "again" };

static noinline unsigned int count(void)
{
	return ++seen;
}

static int demo_cmdline(struct seq_file *m, void *v)
{
	unsigned int n = count();

	seq_printf(m, "this has been live %s %u\n", words[n > 41], n);
	return 0;
}

static struct klp_func funcs[] = { {
					   .old_name = "cmdline_proc_show",
					   .new_func = demo_cmdline,
				   },
				   {} };

static struct klp_object objs[] = { { .funcs = funcs }, {} };

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int __init demo_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION("1.2");
MODULE_DESCRIPTION("a test");
MODULE_INFO(livepatch, "Y");
