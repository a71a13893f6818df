/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints, and registers that are given to a vCPU. */
#include "target/gdb.h"
#include "target/gdb_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * Z1, a "hardware" breakpoint: with KVM Z0 would write an int3 into the guest, which would outlive
 * us; under TCG the two are the same (insert_breakpoint() of QEMU's accel/).
 */
static int ask_all(struct vp_gdb *g, char how, const vp_gva *addr, size_t n, int64_t deadline,
		   struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = vp_gdb_ask(g, deadline, err, "%c1,%" PRIx64 ",1", how, addr[i].v);
	return rc;
}

/* The first of @addr that QEMU refuses goes into @refused. */
static int take_answers(struct vp_gdb *g, const vp_gva *addr, size_t n, const vp_gva **refused,
			int64_t deadline, struct vp_err *err)
{
	char *payload = NULL;
	size_t len;
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);
		if (!rc && strcmp(payload, "OK") && !*refused)
			*refused = &addr[i];
	}
	return rc;
}

int vp_gdb_change_breaks(struct vp_gdb *g, const vp_gva *clear, size_t nclear, const vp_gva *set,
			 size_t nset, struct vp_err *err)
{
	const vp_gva *not_set = NULL, *not_there = NULL; /* that one is no matter */
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (rc)
		return rc;
	rc = ask_all(g, 'z', clear, nclear, deadline, err);
	if (!rc)
		rc = ask_all(g, 'Z', set, nset, deadline, err);
	if (!rc)
		rc = take_answers(g, clear, nclear, &not_there, deadline, err);
	if (!rc)
		rc = take_answers(g, set, nset, &not_set, deadline, err);
	rc = vp_gdb_finish(g, rc, deadline, err);
	if (rc || !not_set)
		return rc;
	return vp_err_set(err, -EOPNOTSUPP, "QEMU sets no breakpoint at 0x%" PRIx64, not_set->v);
}

/* --- registers ---------------------------------------------------------------- */

/* In the order of QEMU's gdb-xml/i386-64bit.xml: 16 of 8 bytes, RIP, and 4 bytes of RFLAGS. */
static const enum vp_gpr order[VP_GPR_COUNT] = {
	VP_RAX, VP_RBX, VP_RCX, VP_RDX, VP_RSI, VP_RDI, VP_RBP, VP_RSP,
	VP_R8,	VP_R9,	VP_R10, VP_R11, VP_R12, VP_R13, VP_R14, VP_R15,
};

#define REGS_BYTES (8 * VP_GPR_COUNT + 8 + 4)

static void put(char *text, size_t at, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * (at + i), 3, "%02x", (unsigned int)(value >> (8 * i) & 0xff));
}

static void put_regs(const struct vp_regs *regs, char *text)
{
	for (size_t i = 0; i < VP_GPR_COUNT; i++)
		put(text, 8 * i, regs->gpr[order[i]], 8);
	put(text, 8 * VP_GPR_COUNT, regs->rip, 8);
	put(text, 8 * VP_GPR_COUNT + 8, regs->rflags, 4);
}

/*
 * Give, and see what it has taken. If somebody lets the VM go on in between, it has, and nothing
 * more is known; -EAGAIN: he did before, and what came back first is what was there.
 */
static int give(struct vp_gdb *g, const char *text, int64_t deadline, struct vp_err *err)
{
	char *payload = NULL;
	size_t len = 0;
	int rc = vp_gdb_ask(g, deadline, err, "G%s", text);

	if (!rc)
		rc = vp_gdb_ask(g, deadline, err, "g");
	if (!rc)
		rc = vp_gdb_answer(g, &payload, &len, NULL, deadline, err);
	if (!rc && (!len || payload[0] == 'E'))
		rc = vp_gdb_unexpected("registers", payload, err);
	else if (!rc && strcmp(payload, "OK"))
		rc = vp_gdb_lost(g, deadline, err);
	if (rc)
		return vp_gdb_finish(g, rc, deadline, err);
	rc = vp_gdb_finish(g, vp_gdb_answer(g, &payload, &len, NULL, deadline, err), deadline, err);
	if (rc)
		return rc == -EAGAIN && g->ran ? 0 : rc;
	if (len < strlen(text) || strncmp(payload, text, strlen(text)))
		return vp_err_set(err, -EIO, "the vCPU did not take its registers");
	return 0;
}

int vp_gdb_set_regs(struct vp_gdb *g, int vcpu, const struct vp_regs *regs, struct vp_err *err)
{
	char text[2 * REGS_BYTES + 1];
	int64_t deadline;
	int rc = vp_gdb_begin(g, &deadline, err);

	if (rc)
		return rc;
	put_regs(regs, text);
	/* The number of a thread is that of its vCPU and one (gdb_get_cpu_index() in QEMU). */
	rc = vp_gdb_ask(g, deadline, err, "Hgp1.%x", (unsigned int)vcpu + 1);
	if (!rc) /* if this is lost the registers would be another one's: nothing is sent ahead */
		rc = vp_gdb_want_ok(g, "the choice of a vCPU", deadline, err);
	return rc ? vp_gdb_finish(g, rc, deadline, err) : give(g, text, deadline, err);
}
