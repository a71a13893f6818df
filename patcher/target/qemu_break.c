/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is set, and what the caller wants kept, stands in the marks before QEMU knows of it, so that
 * whoever recovers finds it: the note "ADDR,ADDR;BYTES", in hex.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "target/gdb_wire.h"
#include "target/qemu_internal.h"

int vp_qemu_breaks_note(struct vp_qemu *q, struct vp_err *err)
{
	char text[VP_NOTE_MAX + 1] = "";
	size_t at = 0;
	int rc = 0;

	_Static_assert(17 * VP_BREAKS_MAX + 2 + 2 * VP_KEPT_MAX < VP_NOTE_MAX, "it fits");
	for (size_t i = 0; i < q->nbreaks; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llx", i ? "," : "",
				       (unsigned long long)q->breaks[i].v);
	at += (size_t)snprintf(text + at, sizeof(text) - at, ";");
	for (size_t i = 0; i < q->nkept; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x",
				       (unsigned int)q->kept[i]);
	for (size_t i = 0; i < q->nlocks && !rc; i++)
		rc = vp_vmlock_note(q->locks[i], text, err);
	return rc;
}

static int bad_note(struct vp_err *err)
{
	return vp_err_set(err, -EBADMSG,
			  "the mark of the vmpoke that was killed makes no sense: what it did to "
			  "the VM is not known");
}

static int read_addresses(struct vp_qemu *q, const char *text, struct vp_err *err)
{
	unsigned long long addr;
	int n;

	for (q->nbreaks = 0; *text != ';'; text += n + (text[n] == ',')) {
		n = 0;
		if (q->nbreaks == VP_BREAKS_MAX || sscanf(text, "%16llx%n", &addr, &n) != 1 ||
		    (text[n] != ',' && text[n] != ';') || !strncmp(text + n, ",;", 2))
			return bad_note(err);
		q->breaks[q->nbreaks++] = VP_GVA(addr);
	}
	return 0;
}

static int read_note(struct vp_qemu *q, const char *text, struct vp_err *err)
{
	const char *hex = strchr(text, ';');
	size_t len = hex ? strlen(++hex) : 0;
	int rc = hex ? read_addresses(q, text, err) : bad_note(err);

	if (rc)
		return rc;
	if (len % 2 || len / 2 > VP_KEPT_MAX || !vp_gdb_unhex(hex, len, q->kept, len / 2))
		return bad_note(err);
	q->nkept = len / 2;
	return 0;
}

int vp_qemu_breaks_take_over(struct vp_qemu *q, struct vp_err *err)
{
	const char *text = "";
	int rc;

	for (size_t i = 0; i < q->nlocks && !*text; i++)
		text = vp_vmlock_noted(q->locks[i]);
	q->nbreaks = q->nkept = 0;
	if (!*text)
		return 0;
	rc = read_note(q, text, err);
	return rc ? rc : vp_qemu_breaks_clear(q, err);
}

int vp_qemu_breaks_clear(struct vp_qemu *q, struct vp_err *err)
{
	int rc = 0;

	while (q->nbreaks && !rc) {
		rc = vp_gdb_unbreak(q->gdb, q->breaks[q->nbreaks - 1], err);
		if (rc == -EAGAIN && vp_gdb_ran(q->gdb))
			rc = vp_gdb_unbreak(q->gdb, q->breaks[q->nbreaks - 1], err);
		if (!rc)
			q->nbreaks--;
	}
	return rc;
}
