/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breakpoints that are wanted, and those that QEMU has. The two are made one before the VM runs, in
 * one exchange: each question costs the guest a part of a millisecond. What is wanted, and what the
 * caller wants kept, stands in the marks before QEMU knows of it, so that whoever recovers finds
 * it: the note "ADDR,ADDR;BYTES", in hex.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "target/gdb_wire.h"
#include "target/qemu_internal.h"

#define BREAKS_MAX (sizeof((struct vp_qemu *)0)->breaks / sizeof(struct vp_qemu_break))

/* --- the two lists ----------------------------------------------------------------- */

static struct vp_qemu_break *find(struct vp_qemu *q, vp_gva addr)
{
	for (size_t i = 0; i < q->nbreaks; i++)
		if (q->breaks[i].addr.v == addr.v)
			return &q->breaks[i];
	return NULL;
}

static bool is_wanted(const struct vp_qemu *q, vp_gva addr)
{
	for (size_t i = 0; i < q->nwanted; i++)
		if (q->wanted[i].v == addr.v)
			return true;
	return false;
}

/* --- the note ---------------------------------------------------------------------- */

static size_t append(char *text, size_t at, size_t size, vp_gva addr)
{
	return at + (size_t)snprintf(text + at, size - at, "%s%llx", at ? "," : "",
				     (unsigned long long)addr.v);
}

int vp_qemu_breaks_note(struct vp_qemu *q, struct vp_err *err)
{
	char text[VP_NOTE_MAX + 1] = "";
	size_t at = 0;
	int rc = 0;

	_Static_assert(17 * BREAKS_MAX + 2 + 2 * VP_KEPT_MAX < VP_NOTE_MAX, "it fits");
	for (size_t i = 0; i < q->nbreaks; i++)
		at = append(text, at, sizeof(text), q->breaks[i].addr);
	for (size_t i = 0; i < q->nwanted; i++)
		if (!find(q, q->wanted[i]))
			at = append(text, at, sizeof(text), q->wanted[i]);
	at += (size_t)snprintf(text + at, sizeof(text) - at, ";");
	for (size_t i = 0; i < q->nkept; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x",
				       (unsigned int)q->kept[i]);
	for (size_t i = 0; i < q->nlocks && !rc; i++)
		rc = vp_vmlock_note(q->locks[i], text, err);
	q->noted = !rc;
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
		if (q->nbreaks == BREAKS_MAX || sscanf(text, "%16llx%n", &addr, &n) != 1 ||
		    (text[n] != ',' && text[n] != ';') || !strncmp(text + n, ",;", 2))
			return bad_note(err);
		q->breaks[q->nbreaks++] = (struct vp_qemu_break){ .addr = VP_GVA(addr) };
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
	q->nbreaks = q->nwanted = q->nkept = 0;
	if (!*text)
		return 0;
	rc = read_note(q, text, err);
	return rc ? rc : vp_qemu_breaks_clear(q, err);
}

/* --- what QEMU has ----------------------------------------------------------------- */

/*
 * What it may have goes before anything comes: two at one place would be one too many. After this
 * there are no more than are ever wanted at a time.
 */
static int clear_doubts(struct vp_qemu *q, struct vp_err *err)
{
	vp_gva clear[BREAKS_MAX];
	size_t n = 0, kept = 0;
	int rc;

	for (size_t i = 0; i < q->nbreaks; i++)
		if (!q->breaks[i].sure)
			clear[n++] = q->breaks[i].addr;
	rc = n ? vp_gdb_change_breaks(q->gdb, clear, n, NULL, 0, err) : 0;
	for (size_t i = 0; i < q->nbreaks && !rc; i++)
		if (q->breaks[i].sure)
			q->breaks[kept++] = q->breaks[i];
	q->nbreaks = rc ? q->nbreaks : kept;
	return rc;
}

/* Until QEMU has answered it may have all of them. */
static int change(struct vp_qemu *q, struct vp_err *err)
{
	vp_gva clear[BREAKS_MAX], set[VP_BREAKS_MAX];
	size_t nclear = 0, nset = 0, kept = 0;
	int rc;

	for (size_t i = 0; i < q->nbreaks; i++) {
		q->breaks[i].sure = is_wanted(q, q->breaks[i].addr);
		if (!q->breaks[i].sure)
			clear[nclear++] = q->breaks[i].addr;
	}
	for (size_t i = 0; i < q->nwanted; i++) {
		if (find(q, q->wanted[i]))
			continue;
		q->breaks[q->nbreaks++] = (struct vp_qemu_break){ .addr = q->wanted[i] };
		set[nset++] = q->wanted[i];
	}
	if (!(nclear + nset))
		return 0;
	rc = vp_gdb_change_breaks(q->gdb, clear, nclear, set, nset, err);
	for (size_t i = 0; i < q->nbreaks && !rc; i++)
		if (is_wanted(q, q->breaks[i].addr))
			q->breaks[kept++] = (struct vp_qemu_break){ q->breaks[i].addr, true };
	q->nbreaks = rc ? q->nbreaks : kept;
	return rc;
}

int vp_qemu_breaks_put(struct vp_qemu *q, struct vp_err *err)
{
	int rc = q->noted || !q->nwanted ? 0 : vp_qemu_breaks_note(q, err);

	if (!rc)
		rc = clear_doubts(q, err);
	return rc ? rc : change(q, err);
}

int vp_qemu_breaks_clear(struct vp_qemu *q, struct vp_err *err)
{
	int rc;

	q->nwanted = 0;
	rc = vp_qemu_breaks_put(q, err);
	if (rc == -EAGAIN && vp_gdb_ran(q->gdb))
		rc = vp_qemu_breaks_put(q, err);
	return rc;
}
