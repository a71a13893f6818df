/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a VM; and with a gdbstub alone, what was seen when it was connected to. */
#include <stdio.h>
#include <string.h>

#include "target/qemu_internal.h"
#include "target/wait.h"

/* Was a vmpoke killed in a window? For who only looks. One that lives and is in a window holds the
 * lock. */
static void say_interrupted(struct vp_qemu *q, struct vp_qemu_info *info)
{
	struct vp_err why = { "" };

	if (q->gdb_only || vp_vmlock_take(q->locks[0], 0, NULL))
		return;
	if (vp_qemu_check_marks(q, &why))
		snprintf(info->interrupted, sizeof(info->interrupted), "%s", why.text);
	vp_vmlock_drop(q->locks[0]);
}

static int ask_all(struct vp_qemu *q, struct vp_qemu_info *info, struct vp_err *err)
{
	struct vp_runstate state = { .text = "running", .running = true };
	int rc = vp_ask_name(q->mon, info->name, sizeof(info->name), err);

	snprintf(info->version, sizeof(info->version), "%s", q->version_text);
	if (!rc)
		rc = vp_ask_accel(q->mon, q->version, info->accel, sizeof(info->accel), err);
	if (!rc)
		rc = vp_ask_vcpus(q->mon, &info->vcpus, err);
	if (!rc && !q->windows) /* in a window it is us who stopped it */
		rc = vp_qemu_runstate(q, &state, err);
	strcpy(info->state_text, state.text);
	info->state = state.running ? VP_QEMU_RUNNING : VP_QEMU_PAUSED;
	return rc;
}

int vp_qemu_see(struct vp_qemu *q, struct vp_err *err)
{
	int rc = ask_all(q, &q->seen, err);

	q->there = q->seen.vcpus;
	if (!rc && !q->confidential[0])
		rc = vp_qemu_look_at_vcpus(q, err);
	if (rc)
		return rc;
	q->seen_vcpus = q->vcpus;
	q->nseen_vcpus = q->nvcpus;
	q->vcpus = NULL;
	q->nvcpus = 0;
	q->seen_ms = vp_now_ms();
	return 0;
}

/*
 * Over QMP a vCPU is looked at while it runs, and what is seen is a hint as well: what is written
 * is compared, by the same page tables, when it stands.
 */
#define SEEN_MS 100

bool vp_qemu_just_saw(const struct vp_qemu *q)
{
	return q->seen_ms && vp_now_ms() - q->seen_ms <= SEEN_MS;
}

static int ask_in_window(struct vp_qemu *q, struct vp_qemu_info *info, struct vp_err *err)
{
	int rc = vp_qemu_take(q, err);

	if (rc)
		return rc;
	rc = vp_qemu_window_enter(q, err);
	if (!rc) {
		rc = ask_all(q, info, err);
		vp_qemu_window_leave(q);
	}
	vp_qemu_drop(q);
	return rc;
}

int vp_qemu_describe(struct vp_qemu *q, struct vp_qemu_info *info, struct vp_err *err)
{
	int rc = 0;

	*info = (struct vp_qemu_info){ 0 };
	pthread_mutex_lock(&q->mutex);
	if (!q->gdb_only)
		rc = ask_all(q, info, err);
	else if (!q->windows && vp_qemu_just_saw(q))
		*info = q->seen;
	else
		rc = ask_in_window(q, info, err);
	info->recovered = q->recovered;
	strcpy(info->identity, q->identity);
	strcpy(info->process, q->mon->peer.text);
	strcpy(info->confidential, q->confidential);
	if (!rc && q->mon->ops->describe)
		q->mon->ops->describe(q->mon, info);
	if (!rc)
		say_interrupted(q, info);
	pthread_mutex_unlock(&q->mutex);
	return rc;
}
