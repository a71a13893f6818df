/* SPDX-License-Identifier: Apache-2.0 */
/* The qemu target: opening, recovering, closing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/qemu_internal.h"

/* --- life -------------------------------------------------------------------------- */

static void destroy(struct vp_qemu *q)
{
	vp_gdb_close(q->gdb);
	if (q->mon)
		q->mon->ops->close(q->mon);
	while (q->nlocks)
		vp_vmlock_close(q->locks[--q->nlocks]);
	vp_qemu_direct_close(q);
	vp_qemu_forget(q);
	free(q->seen_vcpus);
	free(q->gdb_path);
	free(q->name);
	pthread_mutex_destroy(&q->mutex);
	free(q);
}

int vp_qemu_new(const struct vp_qemu_config *cfg, const char *name, struct vp_qemu **out,
		struct vp_err *err)
{
	struct vp_qemu *q = calloc(1, sizeof(*q));
	pthread_mutexattr_t attr;

	if (!q)
		return vp_err_set(err, -ENOMEM, "out of memory");
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&q->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	q->target.ops = &vp_qemu_ops;
	q->target.serializer = "stop";
	q->target.no_int3 = "a stock QEMU does not hand int3s over";
	q->cfg = *cfg;
	q->mem_fd = -1;
	if (!q->cfg.timeout_ms)
		q->cfg.timeout_ms = VP_TIMEOUT_MS;
	q->name = strdup(cfg->name ? cfg->name : name);
	q->gdb_path = cfg->gdb_path ? strdup(cfg->gdb_path) : NULL;
	if (!q->name || (cfg->gdb_path && !q->gdb_path)) {
		destroy(q);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	*out = q;
	return 0;
}

/* --- over a monitor that carries QMP ------------------------------------------------ */

static int recover(struct vp_qemu *q, struct vp_err *err)
{
	int rc = vp_qemu_window_enter(q, err);

	if (rc)
		return rc;
	rc = vp_qemu_repair(q, err);
	vp_qemu_window_leave(q);
	if (!rc && q->stuck.text[0])
		rc = vp_err_set(err, -EUCLEAN, "%s", q->stuck.text); /* half is right: the bytes */
	return rc;
}

/* Was a vmpoke killed in a window, and is that to be put right? */
static int repair_interrupted(struct vp_qemu *q, struct vp_err *err)
{
	int rc = q->cfg.repair ? vp_qemu_take(q, err) : 0;

	if (rc || !q->cfg.repair)
		return rc;
	q->interrupted = vp_vmlock_interrupted(q->locks[0]);
	if (q->interrupted)
		rc = vp_qemu_check_keeper(q, err);
	if (!rc && q->interrupted)
		rc = recover(q, err);
	vp_qemu_drop(q);
	return rc;
}

/* The map of it, and whether it can be read while the guest runs. */
static int look_at_memory(struct vp_qemu *q, struct vp_err *err)
{
	int rc;

	if (q->confidential[0]) {
		q->peeks = q->asked_peeks = true; /* nothing is read: so not in a window either */
		return 0;
	}
	rc = vp_qemu_map_ram(q, err);
	return rc || q->nblocks ? rc : vp_qemu_ask_peeks(q, err);
}

int vp_qemu_open_monitor(const struct vp_qemu_config *cfg, const char *name, struct vp_monitor *mon,
			 struct vp_qemu **out, struct vp_err *err)
{
	struct vp_qemu *q = NULL;
	int rc = vp_qemu_new(cfg, name, &q, err);

	if (rc) {
		mon->ops->close(mon);
		return rc;
	}
	q->mon = mon;
	rc = vp_monitor_check_arch(mon, err);
	if (!rc)
		rc = vp_ask_version(mon, q->version_text, sizeof(q->version_text), &q->version,
				    err);
	if (!rc)
		rc = vp_ask_confidential(mon, q->confidential, sizeof(q->confidential), err);
	if (!rc)
		rc = vp_qemu_find_identity(q, err);
	if (!rc)
		rc = vp_qemu_add_identity(q, err);
	if (!rc)
		rc = look_at_memory(q, err);
	if (!rc)
		rc = repair_interrupted(q, err);
	if (rc)
		destroy(q);
	else
		*out = q;
	return rc;
}

int vp_qemu_open(const struct vp_qemu_config *cfg, struct vp_qemu **out, struct vp_err *err)
{
	struct vp_monitor *mon;
	struct vp_qemu *q;
	int rc;

	if (cfg->qmp_path) {
		rc = vp_monitor_qmp_open(cfg->qmp_path,
					 cfg->timeout_ms ? cfg->timeout_ms : VP_TIMEOUT_MS, &mon,
					 err);
		return rc ? rc : vp_qemu_open_monitor(cfg, cfg->qmp_path, mon, out, err);
	}
	if (!cfg->gdb_path)
		return vp_err_set(err, -EINVAL, "neither a QMP socket nor a gdbstub is given");
	rc = vp_qemu_new(cfg, cfg->gdb_path, &q, err);
	if (rc)
		return rc;
	rc = vp_qemu_open_gdb(q, err);
	if (rc)
		destroy(q);
	else
		*out = q;
	return rc;
}

/*
 * Detach from the owner's gdbstub, which takes a stopped VM. One that runs, with the stub's mode
 * set back, needs none of it: QEMU looks no more at a connection that was closed, and makes a new
 * start with the next (gdb_chr_event()).
 */
static int let_go(struct vp_qemu *q, struct vp_err *err)
{
	struct vp_err why = { "" };
	struct vp_runstate state;
	int rc = vp_qemu_take(q, err);

	if (rc)
		return rc;
	rc = vp_qemu_window_enter(q, &why);
	if (q->windows) {
		rc = vp_qemu_ready(q, &state, &why);
		if (rc == -EBUSY) /* somebody else's doing is why it stands */
			vp_gdb_detach(q->gdb, false, NULL);
		else if (rc || vp_gdb_detach(q->gdb, true, &why))
			rc = vp_err_set(&q->stuck, -EIO,
					"%.60s may have been left stopped (%.100s): "
					"`vmpoke recover %.40s`",
					q->name, why.text, q->name);
		vp_qemu_window_end(q, !rc || rc == -EBUSY);
	}
	vp_qemu_drop(q);
	return rc == -EBUSY ? 0 : rc; /* its owner has paused it: it stays so */
}

int vp_qemu_close(struct vp_qemu *q, struct vp_err *err)
{
	int rc = 0;

	if (!q)
		return 0;
	if (q->windows) {
		q->windows = 1;
		vp_qemu_window_leave(q);
	}
	if (q->gdb_only && !(q->runs && vp_gdb_went_on(q->gdb)) && !q->stuck.text[0] &&
	    !q->left.text[0])
		rc = let_go(q, err);
	if (q->stuck.text[0])
		rc = vp_err_set(err, -EIO, "%s", q->stuck.text);
	destroy(q);
	return rc;
}

struct vp_target *vp_qemu_target(struct vp_qemu *q)
{
	return &q->target;
}
