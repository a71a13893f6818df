/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The status of a virtio device in sysfs, a function of a module (one of several of that name in
 * the kernel), with a call through a pointer.
 * Module: virtio
 *
 * In the guest: /sys/bus/virtio/devices/virtio0/status is "0x00000007" or "0x0000000f" before and
 * after; meanwhile " fixed" follows the same number.
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/sysfs.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#include <vmpoke/hotfix.h>

static ssize_t fixed_status_show(struct device *_d, struct device_attribute *attr, char *buf)
{
	struct virtio_device *dev = dev_to_virtio(_d);

	return sysfs_emit(buf, "0x%08x fixed\n", dev->config->get_status(dev));
}

VMPOKE_HOTFIX("virtio-status", "1", "the status of virtio devices says that it was fixed");
VMPOKE_REPLACE_OF("virtio", status_show, fixed_status_show);
