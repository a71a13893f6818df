/* SPDX-License-Identifier: Apache-2.0 */
/* What the qemu target asks QEMU's monitor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/folder.h"
#include "target/qemu_internal.h"

void vp_qemu_forget(struct vp_qemu *q)
{
	free(q->vcpus);
	q->vcpus = NULL;
	q->nvcpus = 0;
	q->rips.known = false;
	q->ram_is_new = false;
}

/* Not one vCPU may be missed: another command must tell the same number, or have told it since
 * lock(). */
int vp_qemu_look_at_vcpus(struct vp_qemu *q, struct vp_err *err)
{
	char *text = NULL;
	int rc;

	if (q->vcpus)
		return 0;
	/* QMP does not tell them; while the stub is there it passes the question on sooner. */
	rc = q->windows && q->gdb && !q->gdb_only
		     ? vp_gdb_hmp(q->gdb, "info registers -a", &text, err)
		     : q->mon->ops->hmp(q->mon, "info registers -a", &text, err);
	if (!rc)
		rc = vp_hmp_registers(text, &q->vcpus, &q->nvcpus, err);
	free(text);
	if (!rc && q->there != q->nvcpus)
		rc = vp_ask_vcpus(q->mon, &q->there, err);
	if (!rc && q->there != q->nvcpus)
		rc = vp_err_set(err, -EPROTO,
				"QEMU has %u vCPUs, but shows the registers of %zu: try again if "
				"one was just plugged in or out",
				q->there, q->nvcpus);
	if (rc)
		vp_qemu_forget(q);
	return rc;
}

int vp_qemu_map_ram(struct vp_qemu *q, struct vp_err *err)
{
	char *text = NULL;
	int rc = q->mon->ops->hmp(q->mon, "info mtree -f", &text, err);

	if (!rc)
		rc = vp_hmp_ram(text, q->ram, &q->nram, err);
	free(text);
	if (rc)
		return rc;
	vp_qemu_direct_map(q, q->ram, q->nram);
	vp_hmp_join(q->ram, &q->nram);
	return 0;
}

bool vp_qemu_is_ram(const struct vp_qemu *q, vp_gpa gpa, size_t len)
{
	for (size_t i = 0; i < q->nram; i++) {
		const struct vp_hmp_range *r = &q->ram[i];

		if (gpa.v >= r->start && gpa.v - r->start < r->len &&
		    len <= r->len - (gpa.v - r->start))
			return true;
	}
	return false;
}

int vp_qemu_ask_peeks(struct vp_qemu *q, struct vp_err *err)
{
	uint8_t byte;
	int rc = q->mon->ops->save(q->mon, VP_GPA(q->ram[0].start), &byte, 1, err);
	q->peeks = !rc;
	q->asked_peeks = !rc || rc == -EOPNOTSUPP;
	return q->asked_peeks ? 0 : rc;
}

/* Who cannot be seen is told from others by the socket, as far as that goes: not by all ways. */
static int name_by_socket(struct vp_qemu *q, struct vp_err *err)
{
	const char *path = q->gdb_only ? q->gdb_path : q->cfg.qmp_path;
	char file[VP_FILE_KEY];

	if (!path || vp_file_key(path, file))
		return vp_err_set(
			err, -EOPNOTSUPP,
			"%.80s has no UUID, and its process cannot be seen: nothing tells "
			"it from other VMs",
			q->name);
	snprintf(q->identity, sizeof(q->identity), "qemu-%s-%s", q->gdb_only ? "gdb" : "qmp", file);
	return 0;
}

/* Its UUID, so that all ways to one VM agree; without one, the process. */
int vp_qemu_find_identity(struct vp_qemu *q, struct vp_err *err)
{
	char uuid[64];
	int rc = vp_ask_uuid(q->mon, uuid, sizeof(uuid), err);

	if (rc)
		return rc;
	if (strspn(uuid, "0-") != 36)
		snprintf(q->identity, sizeof(q->identity), "%s", uuid);
	else if (!q->mon->peer.pid)
		rc = name_by_socket(q, err);
	else
		snprintf(q->identity, sizeof(q->identity), "qemu-%d-%llu", q->mon->peer.pid,
			 (unsigned long long)q->mon->peer.start);
	return rc;
}
