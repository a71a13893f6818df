/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the VM is: whether it may be written to, and whether it is ours to let go on. At the end of a
 * migration a VM stands still as it does when we stop it; to let it go on then is to have it run
 * twice, on one disk.
 */
#include <errno.h>
#include <unistd.h>

#include "target/qemu_internal.h"
#include "target/wait.h"

/* In a window the gdbstub passes the question on if the monitor does not answer any more. */
int vp_qemu_runstate(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err)
{
	int rc = vp_ask_runstate(q->mon, state, err);
	struct vp_monitor *stub;

	if (!rc || q->gdb_only || !q->gdb)
		return rc;
	if (vp_monitor_gdb_open(q->gdb, &stub, NULL))
		return rc;
	if (!vp_ask_runstate(stub, state, NULL))
		rc = 0;
	stub->ops->close(stub);
	return rc;
}

/*
 * Since we let it go on: has its owner paused it, by the way that both use? That way learns of
 * other stops a moment later.
 */
#define LEARN_US    2000u
#define LEARN_TRIES 500u

static int check_owner(struct vp_qemu *q, struct vp_err *err)
{
	enum vp_seen seen = VP_SEEN_RUNNING;
	int rc = 0;

	for (unsigned int i = 0; !rc && seen == VP_SEEN_RUNNING && i < LEARN_TRIES; i++) {
		if (i)
			usleep(LEARN_US);
		rc = q->mon->ops->seen(q->mon, &seen, err);
	}
	if (rc || seen != VP_SEEN_PAUSED)
		return rc;
	return vp_err_set(err, -EBUSY,
			  "%.60s was paused through %s meanwhile, which was not our doing: it is "
			  "left so, and its owner decides whether it runs on",
			  q->name, q->mon->ops->name);
}

static int is_ours(struct vp_qemu *q, const struct vp_runstate *state, struct vp_err *err)
{
	if (state->running)
		return 0;
	if (state->paused)
		return q->paused && q->went_on ? check_owner(q, err) : 0;
	return vp_err_set(err, -EBUSY,
			  "%.60s is %.40s now, which was not our doing: it is left as it is, and "
			  "its owner decides whether it runs on",
			  q->name, state->text);
}

int vp_qemu_may_resume(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err)
{
	int rc = vp_qemu_runstate(q, state, err);

	return rc ? rc : is_ours(q, state, err);
}

int vp_qemu_look(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err)
{
	struct vp_now now;

	q->looked_ms = 0;
	if (q->gdb && q->mon->ops->listen && !vp_qemu_look_now(q, state, NULL)) {
		q->may_write = q->looked_ms;
		return is_ours(q, state, err);
	}
	if (vp_ask_now(q->mon, &now, NULL)) /* one by one, or by the other way */
		return vp_qemu_may_resume(q, state, err);
	*state = now.state;
	q->may_write = state->paused && !q->paused && !now.migration.under_way;
	if (q->may_write)
		q->looked_ms = vp_now_ms();
	return is_ours(q, state, err);
}

/*
 * It stood still, by us, and nothing was under way that ends elsewhere: for a few milliseconds that
 * is as good as asking again.
 */
#define FRESH_MS 5

bool vp_qemu_just_looked(const struct vp_qemu *q)
{
	return q->looked_ms && vp_now_ms() - q->looked_ms <= FRESH_MS;
}

/* What ran amid a window is stopped again by our next byte: ask again then. */
#define TRIES 16

int vp_qemu_ready(struct vp_qemu *q, struct vp_runstate *state, struct vp_err *err)
{
	int rc = -EAGAIN;

	if (q->stands) {
		*state = (struct vp_runstate){ .paused = true };
		return 0;
	}
	for (unsigned int i = 0; rc == -EAGAIN && i < TRIES; i++)
		rc = vp_qemu_may_resume(q, state, err);
	return rc;
}

int vp_qemu_check_migration(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_migration now;
	int rc = vp_ask_migration(q->mon, &now, err);

	if (rc || !now.under_way)
		return rc;
	return vp_err_set(err, -EBUSY,
			  "%.80s is being migrated, or saved (%.20s): try again when that is over, "
			  "where it runs then",
			  q->name, now.status);
}

/*
 * One that ended in the window has left a VM behind that runs elsewhere. -EAGAIN, and nothing was
 * written: it ran since the window began, so what was compared is not what stands there.
 */
int vp_qemu_check_write(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_runstate state;
	int rc;

	if (!q->may_write && q->mon->ops->query)
		vp_qemu_look(q, &state, NULL);
	if (q->may_write)
		return 0;
	rc = vp_qemu_check_migration(q, err);
	if (!rc)
		rc = vp_qemu_may_resume(q, &state, err);
	q->may_write = !rc;
	return rc;
}

/*
 * The same for the batch that was compared when the VM was looked at. A migration that began since
 * does not end in so short a time, and QEMU marks what we write; but it must not have run.
 */
int vp_qemu_check_batch(struct vp_qemu *q, struct vp_err *err)
{
	if (q->may_write || !vp_qemu_just_looked(q))
		return vp_qemu_check_write(q, err);
	vp_qemu_listen(q);
	q->may_write = q->mon->resumes == q->resumes;
	if (q->may_write)
		return 0;
	return vp_err_set(err, -EAGAIN, "somebody let %.60s go on while vmpoke held it: try again",
			  q->name);
}

int vp_qemu_check_confidential(const struct vp_qemu *q, struct vp_err *err)
{
	if (!q->confidential[0])
		return 0;
	return vp_err_set(
		err, -ENOKEY,
		"%.60s is a confidential guest (%s): its memory is encrypted, and to patch "
		"it from outside is impossible by design; patch it from inside",
		q->name, q->confidential);
}
