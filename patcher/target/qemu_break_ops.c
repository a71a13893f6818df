/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breakpoints in a VM that is stopped, and letting it run until one is reached: the window stays
 * open all the while, with its marks and blocked signals.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/kept.h"
#include "target/qemu_internal.h"

static int check(struct vp_qemu *q, struct vp_err *err)
{
	q->stands = false;
	if (!q->windows)
		return vp_err_set(err, -EPERM, "breakpoints are for a VM that is stopped");
	return 0;
}

static int op_set(struct vp_target *t, vp_gva addr, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc = check(q, err);

	if (!rc && q->nwanted == VP_BREAKS_MAX)
		rc = vp_err_set(err, -ENOSPC, "no more than %u breakpoints", VP_BREAKS_MAX);
	if (!rc)
		rc = vp_qemu_check_write(q, err);
	if (rc)
		return rc;
	q->wanted[q->nwanted++] = addr;
	q->noted = false;
	return 0;
}

static int op_clear(struct vp_target *t, vp_gva addr, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc = check(q, err);

	for (size_t i = 0; i < q->nwanted && !rc; i++)
		if (q->wanted[i].v == addr.v)
			q->wanted[i--] = q->wanted[--q->nwanted];
	return rc;
}

/* The VM is ours to let go on; or it runs, and a byte to the stub stops it. */
static int ready(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state;
	char *text = NULL;
	int rc = vp_qemu_ready(q, &state, err);

	if (rc || !state.running)
		return rc;
	rc = vp_gdb_hmp(q->gdb, "info status", &text, err);
	free(text);
	vp_gdb_ran(q->gdb);
	return rc && rc != -EAGAIN
		       ? rc
		       : vp_err_set(err, -EAGAIN, "somebody let %.60s go on while vmpoke held it",
				    q->name);
}

/* Its breakpoints are there, and then it is ours to let go on. */
static int prepare(struct vp_qemu *q, struct vp_err *err)
{
	int rc = vp_qemu_breaks_put(q, err);

	if (!rc && !vp_qemu_just_looked(q))
		rc = ready(q, err);
	q->looked_ms = 0;
	return rc == -ETIMEDOUT ? -EIO : rc; /* what gives no answer */
}

static int op_wait(struct vp_target *t, unsigned int timeout_ms, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	struct vp_runstate state;
	struct vp_err why = { "" };
	int rc = check(q, err), ran;

	if (!rc)
		rc = prepare(q, err);
	if (rc)
		return rc;
	vp_qemu_pause_ends(q);
	ran = vp_qemu_run(q, timeout_ms, err);
	vp_qemu_pause_begins(q);
	vp_gdb_ran(q->gdb);
	vp_qemu_forget(q);
	q->may_write = false;
	if (ran && ran != -ETIMEDOUT)
		return ran;
	rc = vp_qemu_look(q, &state, &why);
	q->resumes = q->mon->resumes; /* it was us */
	return rc ? vp_err_set(err, rc, "%s", why.text) : ran;
}

static int op_set_regs(struct vp_target *t, int vcpu, const struct vp_regs *regs,
		       struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc = check(q, err);

	if (!rc) /* an owner may let it go on as soon as it has them */
		rc = vp_qemu_breaks_put(q, err);
	if (!rc)
		rc = vp_gdb_set_regs(q->gdb, vcpu, regs, err);
	vp_gdb_ran(q->gdb);
	vp_qemu_forget(q);
	return rc;
}

static int op_keep(struct vp_target *t, const void *data, size_t len, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);
	int rc = check(q, err);

	if (!rc)
		rc = vp_kept_put(q->kept, &q->nkept, data, len, err);
	return rc ? rc : vp_qemu_breaks_note(q, err);
}

static int op_kept(struct vp_target *t, void *data, size_t size, size_t *len, struct vp_err *err)
{
	struct vp_qemu *q = vp_qemu_of(t);

	return vp_kept_get(q->kept, q->nkept, data, size, len, err);
}

/* The marks stay; the connection is not used again, since a byte would stop the VM. */
static void op_leave(struct vp_target *t)
{
	struct vp_qemu *q = vp_qemu_of(t);
	struct vp_err why = { "" };
	int rc = prepare(q, &why);

	if (rc == -EAGAIN)
		rc = prepare(q, &why);
	if (!rc)
		rc = vp_qemu_let_run(q, false, &why);
	vp_err_set(&q->stuck, -EIO,
		   "a call of a guest function is under way in %.60s, which %s: `vmpoke recover "
		   "%.60s`",
		   q->name, rc ? "was left stopped" : "stops when that returns", q->name);
	q->left_running = true;
	vp_qemu_window_end(q, false);
}

const struct vp_break_ops vp_qemu_break_ops = {
	.set = op_set,
	.clear = op_clear,
	.wait = op_wait,
	.set_regs = op_set_regs,
	.keep = op_keep,
	.kept = op_kept,
	.leave = op_leave,
};
