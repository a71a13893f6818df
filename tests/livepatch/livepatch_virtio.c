/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A livepatch module for a function of another module, for tests/integration/hotfix-klp.sh: the
 * status of a virtio device is a word.
 */
#include <linux/device.h>
#include <linux/livepatch.h>
#include <linux/module.h>

static ssize_t word_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "patched %d\n", dev->id);
}

static struct klp_func funcs[] = { {
					   .old_name = "status_show",
					   .new_func = word_show,
				   },
				   {} };

static struct klp_object objs[] = { {
					    .name = "virtio",
					    .funcs = funcs,
				    },
				    {} };

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
MODULE_INFO(livepatch, "Y");
