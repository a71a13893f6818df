/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a VM of which there is the gdbstub alone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "target/folder.h"
#include "target/qemu_internal.h"

/*
 * A vmpoke that came by another way may have left a mark, by a name that only the VM knows. Of the
 * processes that are marked, is one the stub's? Once connected nothing tells whether it ran.
 */
static int check_listener(struct vp_qemu *q, struct vp_err *err)
{
	char key[80], process[VP_PROCESS_TEXT];
	struct vp_vmlock *l = NULL;
	int pid, rc;

	if (q->cfg.repair ||
	    !vp_vmlock_find(q->locks[0], vp_process_listens, q->gdb_path, key, process))
		return 0;
	rc = vp_qemu_open_lock(q, key, &l, err);
	if (rc)
		return rc;
	vp_vmlock_of(l, process, true);
	rc = vp_vmlock_take(l, q->cfg.timeout_ms, err); /* one that lives is to end first */
	if (!rc) {
		pid = vp_vmlock_interrupted(l);
		if (pid)
			rc = vp_qemu_is_marked(q, l, pid, err);
		vp_vmlock_drop(l);
	}
	vp_vmlock_close(l);
	return rc;
}

/*
 * To connect is to stop the VM, so lock and mark come first, by what is known before: the socket's
 * file. From here to the end the window is made by hand.
 */
static int connect_stub(struct vp_qemu *q, int *listener, struct vp_err *err)
{
	char file[VP_FILE_KEY], key[64];
	int sock, was = 0, rc = vp_file_key(q->gdb_path, file);

	if (rc)
		return vp_err_set(err, rc, "gdbstub %.120s: %s", q->gdb_path, strerror(-rc));
	snprintf(key, sizeof(key), "gdb-%s", file);
	rc = vp_qemu_add_lock(q, key, err);
	if (!rc)
		rc = vp_vmlock_take(q->locks[0], q->cfg.timeout_ms, err); /* until we close */
	if (!rc && q->cfg.repair)
		q->interrupted = vp_vmlock_interrupted(q->locks[0]);
	if (!rc && q->interrupted)
		rc = vp_qemu_check_keeper(q, err);
	if (!rc)
		rc = vp_qemu_take(q, err);
	if (!rc)
		rc = check_listener(q, err);
	if (!rc)
		rc = vp_qemu_mark(q, err);
	if (rc)
		return rc;
	sock = vp_gdb_dial(q->gdb_path, err);
	if (sock >= 0)
		*listener = vp_process_listener(sock);
	rc = sock < 0 ? sock : vp_gdb_open(sock, q->cfg.timeout_ms, &q->gdb, &was, err);
	q->found_running = was > 0;
	if (rc == -ETIMEDOUT)
		rc = vp_err_set(err, rc,
				"gdbstub %.100s: no answer within %u ms; is a debugger "
				"attached? When it answers it may stop the VM: then `vmpoke "
				"recover`",
				q->gdb_path, q->cfg.timeout_ms);
	return rc;
}

/* Now that the monitor can be asked: was it us who stopped it? */
static int find_running(struct vp_qemu *q, struct vp_err *err)
{
	bool announced = q->found_running;
	int rc;

	/* Who does not tell was stopped by us, until it is known better (docs/qemu.md). */
	q->found_running = announced || !q->interrupted;
	rc = vp_ask_version(q->mon, q->version_text, sizeof(q->version_text), &q->version, err);
	if (!rc && vp_gdb_announces(q->version))
		q->found_running = announced;
	return rc;
}

/* Who it is, and whether somebody was interrupted by that name. */
static int identify(struct vp_qemu *q, int listener, struct vp_err *err)
{
	bool announced = q->found_running;
	int pid, rc;

	/* Who answers is QEMU, if it is also who listens; else it may be a proxy's process. */
	if (vp_gdb_peer(q->gdb) == listener)
		vp_process_find(listener, &q->mon->peer);
	vp_vmlock_of(q->locks[0], q->mon->peer.text, false);
	rc = find_running(q, err);
	if (!rc)
		rc = vp_qemu_mark(q, err);
	if (!rc)
		rc = vp_gdb_check_arch(q->gdb, err);
	if (!rc)
		rc = vp_ask_confidential(q->mon, q->confidential, sizeof(q->confidential), err);
	if (!rc)
		rc = vp_qemu_find_identity(q, err);
	if (!rc)
		rc = vp_qemu_add_identity(q, err);
	if (rc)
		return rc;
	rc = vp_vmlock_take(q->locks[1], q->cfg.timeout_ms, err);
	if (rc)
		return rc;
	pid = vp_vmlock_interrupted(q->locks[1]);
	if (pid) /* it stands by that one's hand, as far as is known */
		q->found_running = announced;
	if (pid && q->cfg.repair)
		rc = vp_qemu_check_keeper(q, err); /* before anything is marked over it */
	if (pid && q->cfg.repair && !rc)
		q->interrupted = pid;
	vp_vmlock_drop(q->locks[1]);
	return rc;
}

static int settle(struct vp_qemu *q, struct vp_err *err)
{
	int rc = vp_qemu_take(q, err);

	if (rc)
		return rc;
	if (!q->found_running && !q->interrupted)
		rc = vp_err_set(
			err, -EBUSY,
			"%.80s is paused: through the gdbstub alone vmpoke cannot tell what "
			"for; resume it first, or give its QMP socket",
			q->name);
	if (!rc)
		rc = vp_qemu_mark(q, err);
	q->asked_peeks = true;
	q->peeks = q->confidential[0]; /* nothing is read: so not in a window either */
	if (!rc && !q->peeks)
		rc = vp_qemu_map_ram(q, err);
	if (!rc && q->interrupted)
		rc = vp_qemu_check_migration(q, err);
	if (!rc && q->interrupted)
		rc = vp_qemu_repair(q, err);
	if (!rc)
		rc = vp_qemu_see(q, err);
	vp_qemu_drop(q);
	return rc;
}

/*
 * Nothing came of it. A stub that did not answer has us in its queue, and will stop the VM when it
 * gets to us, however late; one that broke off may have stopped it: the mark stays. What never
 * spoke like a stub stopped nothing.
 */
static int back_out(struct vp_qemu *q, int rc, struct vp_err *err)
{
	bool unsure = !q->gdb && (q->found_running || rc == -ETIMEDOUT || rc == -ECONNRESET);
	bool go_on = q->found_running, marked = q->gdb && (q->interrupted || rc == -EUCLEAN);
	struct vp_err why = { "" };
	struct vp_runstate state;

	if (q->left_running) /* not a byte more */
		return rc;
	/* Somebody else's state is left alone: to stop it was no change. */
	if (q->gdb && q->mon && go_on && vp_qemu_ready(q, &state, NULL) == -EBUSY)
		go_on = false;
	if (q->gdb && vp_gdb_detach(q->gdb, go_on, &why)) {
		unsure = q->found_running;
		if (unsure)
			rc = vp_err_set(
				err, -EUCLEAN,
				"%.60s may have been left stopped (%.100s): `vmpoke recover %.60s`",
				q->name, why.text, q->name);
	}
	/* From 8.1 on nothing tells whether it did before. */
	if (err && marked && !q->found_running && !vp_gdb_announces(q->version)) {
		why = *err;
		vp_err_set(err, rc, "%.210s; it stands still now, and may have run", why.text);
	}
	if (!unsure)
		vp_qemu_unmark(q);
	q->windows = 0;
	pthread_sigmask(SIG_SETMASK, &q->signals, NULL);
	return rc;
}

int vp_qemu_open_gdb(struct vp_qemu *q, struct vp_err *err)
{
	int listener = 0, rc;

	q->gdb_only = true;
	vp_qemu_signals_block(q);
	rc = connect_stub(q, &listener, err);
	if (!rc)
		rc = vp_monitor_gdb_open(q->gdb, &q->mon, err);
	if (!rc) {
		q->windows = 1;
		rc = vp_monitor_gdb_first(q->mon, err);
	}
	if (!rc)
		rc = identify(q, listener, err);
	if (!rc)
		rc = settle(q, err);
	if (q->mon)
		vp_monitor_gdb_forget(q->mon);
	if (rc)
		return back_out(q, rc, err);
	vp_qemu_window_leave(q);
	return 0;
}
