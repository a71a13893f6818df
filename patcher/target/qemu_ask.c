/* SPDX-License-Identifier: Apache-2.0 */
/* What the qemu target asks QEMU's monitor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/qemu_internal.h"

int vp_qemu_registers(struct vp_qemu *q, char **text, struct vp_err *err)
{
	int rc = 0;

	*text = NULL;
	if (!q->registers) {
		rc = q->mon->ops->hmp(q->mon, "info registers -a", text, err);
		if (rc || !q->windows)
			return rc;
		q->registers = *text;
	}
	*text = strdup(q->registers);
	return *text ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
}

int vp_qemu_map_ram(struct vp_qemu *q, struct vp_err *err)
{
	char *text = NULL;
	int rc = q->mon->ops->hmp(q->mon, "info mtree -f", &text, err);

	if (!rc)
		rc = vp_hmp_ram(text, q->ram, &q->nram, err);
	free(text);
	return rc;
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
	else
		snprintf(q->identity, sizeof(q->identity), "qemu-%d-%llu", q->mon->peer_pid,
			 (unsigned long long)q->mon->peer_start);
	return 0;
}
