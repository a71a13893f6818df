/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each vCPU stands: the list of threads, which are QEMU's vCPUs, and the general registers of
 * those that are meant to be there. One packet, one answer, whatever it is; what is not as it is
 * meant to be is asked of the human monitor, which takes several times as long to tell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/gdb_internal.h"

int vp_gdb_rips_ask(struct vp_gdb *g, const struct vp_gdb_rips *r, int64_t deadline,
		    struct vp_err *err)
{
	int rc = vp_gdb_ask(g, deadline, err, "qfThreadInfo");

	for (size_t i = 0; i < r->n && !rc; i++)
		rc = vp_gdb_ask(g, deadline, err, "qsThreadInfo");
	for (size_t i = 0; i < r->n && !rc; i++) {
		rc = vp_gdb_ask(g, deadline, err, "Hgp1.%zx", i + 1);
		if (!rc)
			rc = vp_gdb_ask(g, deadline, err, "g");
	}
	return rc;
}

/* Thread @i of all, or what stands behind the last. */
static bool is_listed(const struct vp_gdb_rips *r, size_t i, const char *payload)
{
	char want[32];

	if (i == r->n)
		return !strcmp(payload, "l");
	snprintf(want, sizeof(want), "mp01.%02zx", i + 1);
	return !strcmp(payload, want);
}

/* Registers come in GDB's order: RIP behind the sixteen others (i386/64bit-core.xml). */
#define RIP_AT 128u

static bool take_rip(const char *payload, size_t len, uint64_t *rip)
{
	uint8_t bytes[sizeof(*rip)];

	if (len < 2 * (RIP_AT + sizeof(bytes)) ||
	    !vp_gdb_unhex(payload + 2 * RIP_AT, 2 * sizeof(bytes), bytes, sizeof(bytes)))
		return false;
	memcpy(rip, bytes, sizeof(bytes));
	return true;
}

int vp_gdb_rips_take(struct vp_gdb *g, struct vp_gdb_rips *r, int64_t deadline, struct vp_err *err)
{
	size_t answers = r->n + 1 + 2 * r->n;

	r->known = r->n;
	for (size_t i = 0; i < answers; i++) {
		char *payload;
		size_t len, at = i - (r->n + 1);
		int rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);

		if (rc) {
			r->known = false;
			return rc;
		}
		if (i <= r->n)
			r->known &= is_listed(r, i, payload);
		else if (at % 2 == 0)
			r->known &= !strcmp(payload, "OK");
		else
			r->known &= take_rip(payload, len, &r->at[at / 2]);
	}
	return 0;
}
