/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gdbstub for one window. Where there is a monitor, one end of a socket pair goes to QEMU
 * (`getfd`), becomes a character device (`chardev-add`) and that the gdbstub (`gdbserver
 * chardev:ID`): no path, no permission, nobody else can connect, and `gdbserver none` removes it.
 * QEMU has one gdbstub at most. One that the VM's owner has opened is used, not replaced, as far as
 * it can be told: QEMU does not say which character device a stub has, but that it names the one it
 * makes itself "gdb". Of others (`-gdb chardev:NAME`) the name is all there is to go by, and one
 * that does not say so is replaced, and QEMU deletes it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/qemu_internal.h"

static int hmp_prefixed(struct vp_qemu *q, const char *command, const char *prefix,
			struct vp_err *err)
{
	char line[96], *text = NULL;
	int rc = q->mon->ops->hmp(q->mon, command, &text, err);

	if (rc)
		return rc;
	vp_hmp_line(text, line, sizeof(line));
	if (strncmp(line, prefix, strlen(prefix)))
		rc = vp_err_set(err, -EIO, "QEMU refused '%.40s': %s", command, line);
	free(text);
	return rc;
}

static int close_own_stub(struct vp_qemu *q, struct vp_err *err)
{
	return hmp_prefixed(q, "gdbserver none", "Disabled gdbserver", err);
}

/* --- what is there already ---------------------------------------------------- */

/* The stub of the VM's owner: free to connect to ("disconnected:unix:PATH,server=on")? */
static int owners_stub(struct vp_qemu *q, const char *file, struct vp_err *err)
{
	static const char free_unix[] = "disconnected:unix:";
	char *path;

	if (strncmp(file, "disconnected:", 13))
		return vp_err_set(err, -EBUSY,
				  "a debugger is attached to the VM's gdbstub: detach it first");
	if (strncmp(file, free_unix, sizeof(free_unix) - 1))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the VM has a gdbstub that is no unix socket: close it with the "
				  "monitor's `gdbserver none` first");
	if (file[sizeof(free_unix) - 1] != '/') /* of QEMU's folder, or of another root */
		return vp_err_set(
			err, -EOPNOTSUPP,
			"the VM's gdbstub has a relative path, which may be another VM's "
			"here: close it with the monitor's `gdbserver none` first, or give "
			"it an absolute path");
	path = strdup(file + sizeof(free_unix) - 1);
	if (!path)
		return vp_err_set(err, -ENOMEM, "out of memory");
	path[strcspn(path, ",")] = 0;
	free(q->gdb_path);
	q->gdb_path = path;
	return 0;
}

static int look_at(struct vp_qemu *q, const char *label, const char *file, bool used,
		   struct vp_err *err)
{
	int rc;

	if (!strcmp(label, "gdb"))
		return q->cfg.gdb_path ? 0 : owners_stub(q, file, err);
	if (strcmp(label, VP_QEMU_CHARDEV)) {
		if (q->cfg.gdb_path || !used || !strcasestr(label, "gdb"))
			return 0;
		return vp_err_set(err, -EOPNOTSUPP,
				  "the VM seems to have a gdbstub on its character device '%.40s', "
				  "which would be replaced: give it as qemu+gdb:PATH, or close it "
				  "with the monitor's `gdbserver none` first",
				  label);
	}
	/* Ours, from before: we hold the lock, so whoever opened it is gone, or uses other locks.
	 */
	if (strncmp(file, "disconnected:", 13) && !q->interrupted)
		return vp_err_set(err, -EBUSY, "another vmpoke, of another user, works on this VM");
	rc = close_own_stub(q, err);
	/* One that was killed before the gdbstub took the device left it alone; else it is gone. */
	if (!rc)
		q->mon->ops->execute(q->mon, "chardev-remove",
				     json_pack("{s:s}", "id", VP_QEMU_CHARDEV), -1, NULL, NULL);
	return rc;
}

static int look_around(struct vp_qemu *q, struct vp_err *err)
{
	json_t *list = NULL, *entry;
	size_t i;
	int rc;

	if (!q->cfg.gdb_path) {
		free(q->gdb_path);
		q->gdb_path = NULL;
	}
	rc = q->mon->ops->execute(q->mon, "query-chardev", json_object(), -1, &list, err);
	json_array_foreach(list, i, entry)
	{
		const char *label = NULL, *file = NULL;
		int used = true;

		if (!rc && !json_unpack(entry, "{s:s, s:s, s?b}", "label", &label, "filename",
					&file, "frontend-open", &used))
			rc = look_at(q, label, file, used, err);
	}
	json_decref(list);
	return rc;
}

/* --- opening ------------------------------------------------------------------ */

/* Our own stub; returns our end of it. The VM stops in here. */
static int own_stub(struct vp_qemu *q, struct vp_err *err)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return vp_err_set(err, -errno, "socketpair: %s", strerror(errno));
	rc = vp_monitor_add_socket(q->mon, VP_QEMU_CHARDEV, pair[1], false, err);
	close(pair[1]);
	if (!rc) {
		q->own_stub = true; /* in parts, from now on */
		rc = hmp_prefixed(q, "gdbserver chardev:" VP_QEMU_CHARDEV, "Waiting for gdb", err);
		if (rc)
			q->mon->ops->execute(q->mon, "chardev-remove",
					     json_pack("{s:s}", "id", VP_QEMU_CHARDEV), -1, NULL,
					     NULL);
	}
	if (!rc)
		return pair[0];
	close(pair[0]);
	return rc;
}

static int check_state(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state;
	int rc = vp_qemu_runstate(q, &state, err);

	if (rc)
		return rc;
	q->found_running = state.running;
	if (!q->found_running && !q->interrupted)
		return vp_err_set(err, -EBUSY,
				  "%.80s is %s: vmpoke patches a VM that runs; let its owner "
				  "resume it first",
				  q->name, state.text);
	rc = vp_qemu_check_migration(q, err);
	return rc || q->there ? rc : vp_ask_vcpus(q->mon, &q->there, err); /* while it still runs */
}

/* --- is it the stub of this VM? ------------------------------------------------ */

static int not_ours(struct vp_qemu *q, struct vp_err *err)
{
	return vp_err_set(err, -EOPNOTSUPP,
			  "the gdbstub at %.80s is not that of %.60s (another process answers "
			  "there): close it with the monitor's `gdbserver none`",
			  q->gdb_path, q->name);
}

/* What took longer than it may is not begun on, but undone; the VM has stood long enough. */
static int in_time(struct vp_qemu *q, struct vp_err *err)
{
	if (!q->mon->slow)
		return 0;
	return vp_err_set(err, -ETIMEDOUT,
			  "libvirt, or QEMU behind it, took longer than %u ms to stop %.60s: that "
			  "was undone, "
			  "try again or give --timeout",
			  q->cfg.timeout_ms, q->name);
}

/* We are connected: to the VM that was asked for, and it is us who stopped it? */
static int check_stopped(struct vp_qemu *q, struct vp_qemu_look *l, bool announced,
			 struct vp_err *err)
{
	struct vp_runstate state = { 0 };
	int rc = in_time(q, err);

	if (rc)
		return rc;
	if (!q->own_stub && (!q->mon->peer.pid || vp_gdb_peer(q->gdb) != q->mon->peer.pid)) {
		/* Another VM answered, and was stopped by that: as it was found. */
		vp_gdb_undo(q->gdb, announced, NULL);
		vp_gdb_close(q->gdb);
		q->gdb = NULL;
		return not_ours(q, err);
	}
	if (!vp_qemu_look_take(q, l, &state))
		rc = vp_ask_runstate(q->mon, &state, err);
	if (rc)
		return rc;
	if (state.running)
		return vp_err_set(err, -EAGAIN,
				  "somebody let %.60s go on while it was being stopped: try again",
				  q->name);
	/* Of a stub of our own no QEMU tells: it is put up by the command that stops the VM. */
	if (q->found_running && !q->paused && !q->own_stub && vp_gdb_announces(q->version) &&
	    !announced) {
		q->found_running = false;
		return vp_err_set(
			err, -EBUSY,
			"%.80s was paused just now by somebody else: let its owner resume "
			"it first",
			q->name);
	}
	if (!state.running && !state.paused)
		return vp_err_set(err, -EBUSY, "%.80s is %s: try again when that is over", q->name,
				  state.text);
	return 0;
}

/*
 * With a monitor that stops the VM itself: do that first. What failed may have been done all the
 * same (no answer, or the way to it broke off), unless it was refused, or not even begun.
 */
static int pause_first(struct vp_qemu *q, struct vp_err *err)
{
	int rc;

	if (!q->mon->ops->pause)
		return 0;
	rc = q->mon->ops->pause(q->mon, err);
	q->paused = rc != -ENOTCONN && rc != -EACCES && rc != -EOPNOTSUPP && rc != -ENOMEM;
	return rc;
}

/*
 * Connect, and see that it is well. *@sock < 0: that stopped nothing. More than the first words is
 * said only where it is the VM's own process that listens; who answers is seen afterwards.
 */
static int connect_to(struct vp_qemu *q, struct vp_qemu_look *l, int *sock, bool *announced,
		      struct vp_err *err)
{
	int was = 0, rc;
	bool its;

	*sock = q->gdb_path ? vp_gdb_dial(q->gdb_path, err) : own_stub(q, err);
	if (*sock < 0)
		return *sock;
	its = !q->gdb_path || (q->mon->peer.pid && vp_process_listener(*sock) == q->mon->peer.pid);
	rc = vp_gdb_open_looking(*sock, q->cfg.timeout_ms, its ? &l->ask : NULL, &q->gdb, &was,
				 err);
	*announced = was > 0;
	return rc;
}

static int open_stub(struct vp_qemu *q, struct vp_qemu_look *l, struct vp_err *err)
{
	struct vp_err why = { "" };
	bool announced = false;
	int closed, sock = -1, rc = check_state(q, err);

	if (!rc)
		rc = look_around(q, err);
	q->own_stub = q->paused = q->went_on = false;
	vp_qemu_look_begin(q, l);
	if (!rc)
		rc = pause_first(q, err);
	if (rc && !q->paused)
		return rc;
	if (!rc)
		rc = in_time(q, err);
	if (!rc)
		rc = connect_to(q, l, &sock, &announced, err);
	if (sock < 0 && !q->own_stub && !q->paused)
		return rc;
	/* In the queue of the owner's stub we may stop the VM later; and somebody else may have. */
	if (rc && sock >= 0 && !q->own_stub && (announced || rc != -EPROTO))
		return vp_err_set(&q->stuck, rc,
				  "%.60s may have been left stopped, or may be stopped when its "
				  "gdbstub answers (%.80s): `vmpoke recover %.40s`",
				  q->name, err ? err->text : "", q->name);
	if (!rc)
		rc = check_stopped(q, l, announced, err);
	vp_qemu_listen(q);
	q->resumes = q->mon->resumes;
	if (!rc || !(q->gdb || q->own_stub || q->paused))
		return rc;
	closed = vp_qemu_stub_close(q, q->found_running, &why);
	if (closed && closed != -EBUSY)
		q->stuck = why;
	return rc;
}

int vp_qemu_stub_open(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_qemu_look l = { .ask = { .n = 0 } };
	int rc = open_stub(q, &l, err);

	vp_qemu_look_end(&l);
	return rc;
}

/* Let it go on, by the stub; or leave that to what comes behind it (-ENOTCONN). */
static int go_on_now(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state = { .paused = true };
	int rc = vp_qemu_ready(q, &state, err);

	/* A byte more to the stub would stop it again; one of our own is taken away instead. */
	if (rc || (state.running && q->own_stub))
		return rc;
	return q->gdb && !q->paused ? vp_gdb_detach(q->gdb, true, err) : -ENOTCONN;
}

/* By the monitor, when the stub is closed. */
static int go_on_by_monitor(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state;
	int rc = vp_qemu_may_resume(q, &state, err);

	if (rc || state.running)
		return rc;
	if (q->paused)
		return q->mon->ops->resume(q->mon, false, err);
	return q->mon->ops->execute(q->mon, "cont", json_object(), -1, NULL, err);
}

int vp_qemu_stub_close(struct vp_qemu *q, bool go_on, struct vp_err *err)
{
	struct vp_err why = { "" }, kept = { "" };
	int rc = 0, went = go_on ? go_on_now(q, &why) : 0;

	if (q->gdb && (!go_on || went))
		vp_gdb_detach(q->gdb, false, NULL);
	vp_gdb_close(q->gdb);
	q->gdb = NULL;
	if (q->own_stub)
		rc = close_own_stub(q, &kept);
	q->own_stub = false;
	if (went && went != -EBUSY)
		went = go_on_by_monitor(q, &why);
	q->paused = false;
	if (went == -EBUSY)
		return vp_err_set(err, went, "%s", why.text);
	if (went)
		return vp_err_set(err, went,
				  "%.60s may have been left stopped, or may be yet (%.100s): see "
				  "whether QEMU answers, then `vmpoke recover %.40s`",
				  q->name, why.text, q->name);
	return rc ? vp_err_set(
			    err, rc,
			    "vmpoke's gdbstub is still in %.60s (%.100s): `vmpoke recover %.40s`",
			    q->name, kept.text, q->name)
		  : 0;
}
