/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Debian 6.1.176-1 to 6.1.192-2, fs/notify/fanotify/fanotify_user.c: FIONREAD counted 24 bytes for
 * each event, however long it was.
 * Release: 6.1.0-50-amd64
 *
 * In the guest, as root: fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DIR_FID, O_RDONLY) and a mark
 * (FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CREATE | FAN_ONDIR) on /tmp, a tmpfs; make a file there.
 * ioctl(fd, FIONREAD, &n) gives 24 before and after; meanwhile what read(fd) then returns, which
 * is more.
 */
#include <linux/fanotify.h>
#include <linux/fs.h>
#include <linux/fsnotify_backend.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <asm/ioctls.h>

#include <vmpoke/hotfix.h>

/* Of fanotify.h, which is no header for others: an event begins with what all have. */
struct fanotify_event;

extern size_t fanotify_event_len(unsigned int info_mode, struct fanotify_event *event);

static long fixed_fanotify_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct fsnotify_group *group;
	struct fsnotify_event *fsn_event;
	unsigned int info_mode;
	void __user *p;
	int ret = -ENOTTY;
	size_t send_len = 0;

	group = file->private_data;
	info_mode = group->fanotify_data.flags & FANOTIFY_INFO_MODES;

	p = (void __user *)arg;

	switch (cmd) {
	case FIONREAD:
		spin_lock(&group->notification_lock);
		list_for_each_entry(fsn_event, &group->notification_list, list) send_len +=
			fanotify_event_len(info_mode, (struct fanotify_event *)fsn_event);
		spin_unlock(&group->notification_lock);
		ret = put_user(send_len, (int __user *)p);
		break;
	}

	return ret;
}

VMPOKE_HOTFIX("real-fanotify-fionread", "1", "fanotify: FIONREAD counts all of each event");
VMPOKE_REPLACE(fanotify_ioctl, fixed_fanotify_ioctl);
