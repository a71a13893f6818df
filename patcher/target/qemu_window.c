/* SPDX-License-Identifier: Apache-2.0 */
/* The locks between processes, and the window in which every vCPU is held. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "target/qemu_internal.h"

/* --- locks and marks ----------------------------------------------------------- */

/* Whose mark was found, if it is another's than ours. */
static const char *other_keeper(const struct vp_qemu *q)
{
	const char *keeper = NULL;

	for (size_t i = 0; i < q->nlocks && !keeper; i++)
		keeper = vp_vmlock_other_keeper(q->locks[i]);
	return keeper;
}

int vp_qemu_check_keeper(const struct vp_qemu *q, struct vp_err *err)
{
	const char *keeper = other_keeper(q);

	if (!keeper)
		return 0;
	if (!strcmp(keeper, VP_KEEPER))
		return vp_err_set(err, -EUCLEAN,
				  "a vmpoke was killed while it held %.60s stopped: run `vmpoke "
				  "recover %.60s`",
				  q->name, q->name);
	return vp_err_set(err, -EUCLEAN,
			  "what was killed while it held %.50s stopped keeps its own record "
			  "(\"%s\"): only that can put right what it may have left half done",
			  q->name, keeper);
}

int vp_qemu_is_marked(const struct vp_qemu *q, const struct vp_vmlock *l, int pid,
		      struct vp_err *err)
{
	const char *keeper = vp_vmlock_found_keeper(l);

	if (keeper && strcmp(keeper, VP_KEEPER) != 0)
		return vp_err_set(err, -EUCLEAN,
				  "a process (%d) of \"%s\" was killed, or lost contact, while it "
				  "held %.50s stopped: run that again, it alone can put it right",
				  pid, keeper, q->name);
	return vp_err_set(err, -EUCLEAN,
			  "a vmpoke process (%d) was killed, or lost contact, while it held %.50s "
			  "stopped: run "
			  "`vmpoke recover %.60s`%s",
			  pid, q->name, q->name,
			  q->gdb_only ? "; to look through the gdbstub alone would stop it, too"
				      : "");
}

int vp_qemu_check_marks(struct vp_qemu *q, struct vp_err *err)
{
	for (size_t i = 0; i < q->nlocks; i++) {
		int pid = vp_vmlock_interrupted(q->locks[i]);

		if (pid && !q->interrupted)
			return vp_qemu_is_marked(q, q->locks[i], pid, err);
	}
	return 0;
}

int vp_qemu_take(struct vp_qemu *q, struct vp_err *err)
{
	size_t n;
	int rc = 0;

	for (n = 0; n < q->nlocks && !rc; n++)
		rc = vp_vmlock_take(q->locks[n], q->cfg.timeout_ms, err);
	if (rc)
		n--;	      /* this one was not taken */
	else if (q->gdb_only) /* whatever comes stops the VM */
		rc = vp_qemu_check_marks(q, err);
	while (rc && n)
		vp_vmlock_drop(q->locks[--n]);
	return rc;
}

void vp_qemu_drop(struct vp_qemu *q)
{
	for (size_t n = q->nlocks; n; n--)
		vp_vmlock_drop(q->locks[n - 1]);
}

int vp_qemu_mark(struct vp_qemu *q, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < q->nlocks && !rc; i++)
		rc = vp_vmlock_mark(q->locks[i], err);
	return rc;
}

/* Whoever was interrupted stays marked until that is repaired. */
void vp_qemu_unmark(struct vp_qemu *q)
{
	for (size_t i = 0; i < q->nlocks && !q->interrupted; i++)
		vp_vmlock_unmark(q->locks[i]);
}

/* --- the window ---------------------------------------------------------------- */

/*
 * A signal that ends us would leave the VM stopped, ^Z would keep it so. They wait, in this thread,
 * until it runs again.
 */
void vp_qemu_signals_block(struct vp_qemu *q)
{
	/* These tell of a fault of our own, at the instruction that made it: they do not wait. */
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_BLOCK, &set, &q->signals);
}

void vp_qemu_window_end(struct vp_qemu *q, bool runs)
{
	vp_qemu_forget(q);
	q->windows = 0;
	q->may_write = q->stands = q->ahead_read = false;
	q->looked_ms = 0;
	q->nbreaks = q->nwanted = q->nkept = 0;
	if (runs)
		vp_qemu_unmark(q);
	pthread_sigmask(SIG_SETMASK, &q->signals, NULL);
}

int vp_qemu_held(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state = { .paused = true };
	char *text = NULL;
	int rc = 0;

	vp_qemu_listen(q);
	if (!q->stands || q->mon->resumes != q->resumes)
		rc = vp_ask_runstate(q->mon, &state, err);
	if (!rc && !q->gdb_only && state.running) { /* any question to the stub stops it */
		rc = vp_gdb_hmp(q->gdb, "info status", &text, err);
		free(text);
		if (!rc)
			rc = -EAGAIN;
	} else if (!rc && q->mon->resumes != q->resumes) {
		rc = -EAGAIN;
	}
	q->resumes = q->mon->resumes;
	if ((vp_gdb_ran(q->gdb) && !rc) || rc == -EAGAIN)
		rc = vp_err_set(err, -EAGAIN,
				"somebody let %.60s go on while vmpoke held it: try again",
				q->name);
	q->stands = !rc && state.paused;
	return rc;
}

/* Let it run for a moment, so that what it was let go on for can happen. */
#define RUN_US 2000

static int enter_gdb(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state;
	int rc;

	if (q->resumed)
		usleep(RUN_US);
	rc = vp_gdb_stop(q->gdb, err);
	vp_gdb_ran(q->gdb);
	if (rc != -EBUSY || vp_gdb_announces(q->version))
		return rc;
	rc = vp_qemu_ready(q, &state, err);
	if (!rc) /* it stands as a stop of ours would have it */
		rc = vp_err_set(err, -EUCLEAN,
				"somebody paused %.60s meanwhile, and this QEMU does not tell "
				"whether he let it go on, and vmpoke has stopped it since: see to "
				"it, then `vmpoke recover %.60s`",
				q->name, q->name);
	return rc;
}

int vp_qemu_window_enter(struct vp_qemu *q, struct vp_err *err)
{
	int rc;

	if (q->stuck.text[0])
		return vp_err_set(err, -ENOTCONN, "%s", q->stuck.text);
	if (q->left.text[0])
		return vp_err_set(err, -EBUSY, "%s", q->left.text);
	if (q->windows) {
		q->windows++;
		return 0;
	}
	rc = vp_qemu_check_marks(q, err);
	if (rc)
		return rc;
	q->windows = 1;
	q->runs = false;
	vp_qemu_signals_block(q);
	rc = vp_qemu_mark(q, err);
	if (!rc)
		rc = q->gdb_only ? enter_gdb(q, err) : vp_qemu_stub_open(q, err);
	if (!rc) {
		vp_qemu_pause_begins(q);
		return 0;
	}
	/* The stub alone: what stopped answering may have stopped the VM before. */
	if (q->gdb_only && rc != -EBUSY)
		vp_err_set(&q->stuck, rc,
			   "%.60s may have been left stopped: `vmpoke recover %.60s`", q->name,
			   q->name);
	vp_qemu_window_end(q, !q->stuck.text[0]);
	return rc;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

void vp_qemu_pause_begins(struct vp_qemu *q)
{
	q->held_us = now_us();
}

void vp_qemu_pause_ends(struct vp_qemu *q)
{
	int64_t took = now_us() - q->held_us;

	if (!q->held_us || took < 0 || took > UINT_MAX)
		return;
	q->held_us = 0;
	q->pauses.n++;
	if ((unsigned int)took > q->pauses.longest_us)
		q->pauses.longest_us = (unsigned int)took;
}

/* How it is, and the stub's mode as it was, in one round trip; or not: then that is done otherwise.
 */
static void prepare_to_leave(struct vp_qemu *q)
{
	struct vp_runstate state;
	char *text = NULL;

	if (q->stands || vp_gdb_write_and_ask(q->gdb, NULL, 0, "info status", &text, NULL))
		return;
	q->stands = !vp_runstate_of(text, &state, NULL) && state.paused;
	free(text);
}

static int leave_gdb(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state;
	int rc;

	prepare_to_leave(q);
	rc = vp_qemu_ready(q, &state, err);

	if (!rc) {
		rc = vp_gdb_cont(q->gdb, err);
		q->runs = !rc;
		return rc;
	}
	if (rc == -EBUSY) {
		vp_gdb_detach(q->gdb, false, NULL);
		q->left = *err;
	}
	return rc;
}

static void breaks_stuck(struct vp_qemu *q, const struct vp_err *why)
{
	vp_err_set(&q->stuck, -EIO,
		   "%.60s was left stopped, with a breakpoint (%.100s): `vmpoke recover %.60s`",
		   q->name, why->text, q->name);
}

void vp_qemu_window_leave(struct vp_qemu *q)
{
	/* As it was found, unless it was a killed vmpoke that stopped it and we put that right. */
	bool go_on = q->found_running || !q->interrupted;
	struct vp_err why = { "" };
	int rc;

	if (!q->windows || --q->windows) /* none: it was abandoned */
		return;
	rc = vp_qemu_breaks_clear(q, &why);
	if (rc) { /* it would stop by itself then, with nobody there */
		breaks_stuck(q, &why);
		vp_qemu_window_end(q, false);
		return;
	}
	vp_qemu_pause_ends(q);
	if (q->gdb_only)
		rc = go_on ? leave_gdb(q, &why) : 0;
	else
		rc = vp_qemu_stub_close(q, go_on, &why);
	/* Somebody else's doing is why it stands: that needs no recovery. */
	if (rc && rc != -EBUSY)
		q->stuck = why;
	vp_qemu_window_end(q, !rc || rc == -EBUSY);
}

int vp_qemu_open_lock(const struct vp_qemu *q, const char *key, struct vp_vmlock **out,
		      struct vp_err *err)
{
	int rc = vp_vmlock_open(q->cfg.state_dir, key, out, err);

	if (!rc)
		rc = vp_vmlock_keeper(*out, q->cfg.keeper ? q->cfg.keeper : "program", err);
	if (rc)
		vp_vmlock_close(*out);
	return rc;
}

int vp_qemu_add_lock(struct vp_qemu *q, const char *key, struct vp_err *err)
{
	struct vp_vmlock *l = NULL;
	int rc = vp_qemu_open_lock(q, key, &l, err);

	if (!rc)
		q->locks[q->nlocks++] = l;
	return rc;
}

/* Clones have one UUID: each is marked by its process. */
int vp_qemu_add_identity(struct vp_qemu *q, struct vp_err *err)
{
	int rc = vp_qemu_add_lock(q, q->identity, err);

	if (!rc)
		vp_vmlock_of(q->locks[q->nlocks - 1], q->mon->peer.text, true);
	return rc;
}

/* In a window that takes over from @q->interrupted. */
int vp_qemu_repair(struct vp_qemu *q, struct vp_err *err)
{
	int rc = vp_qemu_check_keeper(q, err);

	if (!rc)
		rc = vp_qemu_breaks_take_over(q, err);
	if (!rc)
		rc = q->cfg.repair(q->cfg.repair_arg, &q->target, q->identity, q->mon->peer.text,
				   err);
	if (!rc) {
		q->interrupted = 0; /* so that the window's end removes the marks */
		q->recovered = true;
	}
	return rc;
}
