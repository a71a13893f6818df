/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A moment of a window in which the VM runs, until it stops at a breakpoint. Where the monitor has
 * to let it go on itself (libvirt, for the leases on its disks) it is not the gdbstub that does.
 * Up to QEMU 8.0 the stub tells of the stop all the same; later ones tell only whom they were told
 * to run by, so the monitor is asked. And it is the monitor who knows whose stop it was.
 */
#include <errno.h>

#include "target/qemu_internal.h"
#include "target/wait.h"

/* How long until the next look, in milliseconds: a stop is to be told; or it is looked for. */
#define QUIET 500u
#define SOON  2u
#define LATE  25u

#define INTERRUPTS 8u

int vp_qemu_let_run(struct vp_qemu *q, bool again, struct vp_err *err)
{
	int rc;

	if (!q->mon->ops->pause)
		return vp_gdb_cont(q->gdb, err);
	rc = vp_gdb_restore(q->gdb, err);
	if (!rc)
		rc = q->mon->ops->resume(q->mon, again, err);
	if (!rc)
		q->went_on = true;
	return rc;
}

/* No word to the stub: a byte would stop it. What the monitor has not learned yet it says later. */
static int look(struct vp_qemu *q, enum vp_seen *seen, struct vp_err *err)
{
	struct vp_runstate state;
	int rc = q->mon->ops->seen(q->mon, seen, err);

	if (!rc && *seen == VP_SEEN_STOPPED) {
		rc = vp_ask_runstate(q->mon, &state, err);
		if (!rc && state.running)
			*seen = VP_SEEN_RUNNING;
	}
	return rc;
}

struct run {
	int64_t deadline;
	unsigned int ms, pace, interrupts;
};

static int next_pace(struct run *r, bool told)
{
	int64_t left = r->deadline - vp_now_ms();

	if (told)
		r->pace = SOON;
	else if (r->pace != QUIET)
		r->pace = 2 * r->pace < LATE ? 2 * r->pace : LATE;
	return left < r->pace ? (int)left : (int)r->pace;
}

/* It has run for long enough; a stop by its owner is his. */
static int enough(struct vp_qemu *q, struct run *r, enum vp_seen seen, struct vp_err *err)
{
	if (seen == VP_SEEN_PAUSED)
		return vp_err_set(err, -EBUSY,
				  "%.60s was paused through %s meanwhile, and not let go on within "
				  "%u ms",
				  q->name, q->mon->ops->name, r->ms);
	if (r->interrupts++ == INTERRUPTS)
		return vp_err_set(err, -EIO, "%.60s does not stop", q->name);
	r->deadline = vp_now_ms() + q->cfg.timeout_ms / INTERRUPTS;
	r->pace = SOON;
	return vp_gdb_interrupt(q->gdb, err);
}

static int until_stopped(struct vp_qemu *q, struct run *r, struct vp_err *err)
{
	enum vp_seen seen = VP_SEEN_RUNNING;
	bool told = false;

	for (;;) {
		int left = next_pace(r, told);
		int rc = left > 0 ? vp_gdb_told(q->gdb, (unsigned int)left, err)
				  : enough(q, r, seen, err);

		told = left > 0 && !rc;
		if (!rc || rc == -ETIMEDOUT)
			rc = look(q, &seen, err);
		if (rc)
			return rc == -ETIMEDOUT ? -EIO : rc; /* what gives no answer */
		if (seen == VP_SEEN_STOPPED)
			return 0;
	}
}

int vp_qemu_run(struct vp_qemu *q, unsigned int ms, struct vp_err *err)
{
	bool announces = vp_gdb_announces(q->version);
	struct run r = { .ms = ms, .pace = announces ? QUIET : SOON };
	int rc;

	if (!q->mon->ops->pause)
		return vp_gdb_run(q->gdb, ms, err);
	rc = vp_qemu_let_run(q, true, err);
	r.deadline = vp_now_ms() + ms;
	if (!rc)
		rc = until_stopped(q, &r, err);
	else if (rc == -ETIMEDOUT)
		rc = -EIO;
	if (!rc) { /* all that the stub told of it comes before anything that the monitor tells */
		rc = vp_gdb_told(q->gdb, 0, err);
		rc = rc == -ETIMEDOUT ? 0 : rc;
	}
	if (rc || !r.interrupts)
		return rc;
	return vp_err_set(err, -ETIMEDOUT, "no breakpoint was reached within %u ms", ms);
}
