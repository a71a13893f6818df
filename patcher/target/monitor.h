/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor, by whatever way it is reached: a QMP socket, libvirt, or the gdbstub (which
 * passes commands of the human monitor on). One thread at a time; every call has a deadline.
 */
#ifndef VP_TARGET_MONITOR_H
#define VP_TARGET_MONITOR_H

#include <vmpoke/qemu.h>
#include "target/process.h"
#include "target/qmp.h"

struct vp_gdb;
struct vp_monitor;

/* How the way to the VM sees it; that may lag behind the VM itself. */
enum vp_seen {
	VP_SEEN_RUNNING,
	VP_SEEN_STOPPED, /* by itself, or behind this way's back */
	VP_SEEN_PAUSED, /* by whoever uses this way: us, or its owner; or for a reason of its own */
};

struct vp_monitor_ops {
	const char *name; /* "qmp", "libvirt", "gdb" */

	/* Run a command of the human monitor; @text (malloc()ed) is what it printed. */
	int (*hmp)(struct vp_monitor *m, const char *command, char **text, struct vp_err *err);

	/*
	 * Execute a QMP command; @args is stolen, @fd (borrowed; -1: none) passed along, @ret (may
	 * be NULL) owned by the caller. NULL: this way carries no QMP.
	 */
	int (*execute)(struct vp_monitor *m, const char *command, json_t *args, int fd,
		       json_t **ret, struct vp_err *err);

	/* As vp_qmp_query(). NULL: by this way it would cost as much as one after the other. */
	int (*query)(struct vp_monitor *m, const char *const *commands, size_t n, json_t **ret,
		     struct vp_err *err);

	/*
	 * Take in what QEMU has told until now, without a question: @resumes, @pauses. An event is
	 * told before anything that QEMU answers later, by whatever way. NULL: nothing is told.
	 */
	void (*listen)(struct vp_monitor *m);

	/*
	 * Read guest-physical memory while the guest runs. NULL: not by this way.
	 * -EOPNOTSUPP: QEMU cannot hand it over (confined?): read through the gdbstub.
	 */
	int (*save)(struct vp_monitor *m, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);

	/*
	 * Stop the VM, and let it go on, where more is to be done for that than QEMU does (libvirt:
	 * leases on its disks). NULL: the gdbstub and QMP do it. From pause() until resume() no
	 * call is left behind lightly: it may take longer, which @slow tells. -ETIMEDOUT:
	 * that was not enough either, and it may still happen. resume() @again: the VM will be
	 * held once more, and until then the same holds. seen(): how it looks from there.
	 */
	int (*pause)(struct vp_monitor *m, struct vp_err *err);
	int (*resume)(struct vp_monitor *m, bool again, struct vp_err *err);
	int (*seen)(struct vp_monitor *m, enum vp_seen *seen, struct vp_err *err);

	/* Add what only this way knows (pinning). May be NULL. */
	void (*describe)(struct vp_monitor *m, struct vp_qemu_info *info);

	void (*close)(struct vp_monitor *m);
};

/* Each kind of monitor has this as its first member. */
struct vp_monitor {
	const struct vp_monitor_ops *ops;
	struct vp_process peer;	 /* QEMU itself, as the kernel names it; or unknown */
	unsigned int resumes;	 /* how often the VM was let go on, as far as this way tells */
	struct vp_pauses pauses; /* as far as this way tells */
	bool slow; /* since pause() a call came to its end, but later than it should */
};

/*
 * Connect to a QMP socket.
 *  -ETIMEDOUT  it answers nothing: another client is connected (QEMU serves one at a time)
 *  others      as vp_qmp_connect()
 */
int vp_monitor_qmp_open(const char *path, unsigned int timeout_ms, struct vp_monitor **out,
			struct vp_err *err);

/* Over a gdbstub (borrowed), while the VM is stopped. */
int vp_monitor_gdb_open(struct vp_gdb *g, struct vp_monitor **out, struct vp_err *err);

/*
 * Over that: ask at once what is asked of a VM that is opened; each answer is good for the first
 * hmp() of its command. Forget those that were not wanted, before the VM is let go on.
 */
int vp_monitor_gdb_first(struct vp_monitor *m, struct vp_err *err);
void vp_monitor_gdb_forget(struct vp_monitor *m);

/* hmp() by way of execute(). */
int vp_monitor_hmp(struct vp_monitor *m, const char *command, char **text, struct vp_err *err);

/* -EOPNOTSUPP unless QEMU emulates an x86-64 machine. Needs execute(). */
int vp_monitor_check_arch(struct vp_monitor *m, struct vp_err *err);

/*
 * Give QEMU the socket @fd (borrowed) as a character device of that name: one that is connected,
 * or, with @listens, one where it waits for a call and greets as telnet does. Needs execute().
 */
int vp_monitor_add_socket(struct vp_monitor *m, const char *label, int fd, bool listens,
			  struct vp_err *err);

/*
 * Which process carries out our commands: have QEMU itself say hello on a socket of ours. Fills
 * m->peer; it stays unknown if the way to QEMU passes no descriptors (a proxy, another host), or if
 * the process cannot be seen from here. Needs execute(). An error: QEMU does not answer any more.
 */
#define VP_MONITOR_WHO "vmpoke-who-" /* the label of that socket; our process follows */
int vp_monitor_who(struct vp_monitor *m, unsigned int timeout_ms, struct vp_err *err);

#endif /* VP_TARGET_MONITOR_H */
