/* SPDX-License-Identifier: Apache-2.0 */
/* Where instructions begin, and where those of a batch lead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "x86/decode.h"

#define SWEEP_MAX 65536u

/*
 * From the symbol on, instruction by instruction; where that leads over an int3 (a probe) or into
 * what is no instruction, nobody knows.
 */
int vp_control_boundary(struct vp_control *c, vp_gva addr, struct vp_err *err)
{
	uint64_t offset = 0, at = 0;
	const char *symbol = vp_control_name(c, addr, &offset);
	struct vp_insn insn;
	uint8_t *code;
	int rc = 0;

	if (!symbol || !offset || offset > SWEEP_MAX)
		return 0;
	code = malloc(offset + VP_INSN_MAX);
	if (!code)
		return vp_err_set(err, -ENOMEM, "out of memory");
	memset(code + offset, 0x90, VP_INSN_MAX);
	if (vp_control_read(c, VP_GVA(addr.v - offset), code, offset, NULL))
		at = offset; /* that it is not mapped is said elsewhere */
	for (; at < offset; at += insn.len) {
		if (vp_insn_decode(code + at, offset + VP_INSN_MAX - at,
				   VP_GVA(addr.v - offset + at), &insn, NULL) ||
		    insn.kind == VP_INSN_INT3)
			break;
		if (at + insn.len > offset)
			rc = vp_err_set(err, -EINVAL,
					"0x%llx lies inside the instruction at %s+0x%llx",
					(unsigned long long)addr.v, symbol, (unsigned long long)at);
	}
	free(code);
	return rc;
}

/* May code run at @addr, of the kernel's half in Linux? */
static int check_runs(struct vp_control *c, vp_gva addr, struct vp_err *err)
{
	const struct vp_paging *space;
	bool runs = false;
	int rc = vp_control_space(c, addr, &space, err);

	if (!rc && space)
		rc = vp_linux_is_code(c->linux_guest, addr, &runs, err);
	else if (!rc)
		rc = vp_engine_is_code(c->cfg.engine, -1, addr, &runs, err);
	if (!rc && !runs)
		rc = vp_err_set(err, -EFAULT, "no code can run there");
	return rc;
}

static int check_insn(struct vp_control *c, vp_gva addr, struct vp_err *err)
{
	size_t room = 0x1000 - (addr.v & 0xfff);
	uint8_t bytes[VP_INSN_MAX];
	struct vp_insn insn;
	int rc = vp_control_boundary(c, addr, err);

	memset(bytes, 0x90, sizeof(bytes)); /* for what lies on the next page */
	if (!rc)
		rc = vp_control_read(c, addr, bytes, room < VP_INSN_MAX ? room : VP_INSN_MAX, err);
	if (!rc && vp_insn_decode(bytes, sizeof(bytes), addr, &insn, NULL))
		rc = vp_err_set(err, -EINVAL, "no instruction stands there");
	return rc;
}

/* Can a vCPU be sent to @addr, once the batch stands? */
static int check_lead(struct vp_control *c, const struct vp_site *sites, size_t n, vp_gva addr,
		      struct vp_err *err)
{
	int rc = check_runs(c, addr, err);

	for (size_t i = 0; !rc && i < n; i++) {
		if (addr.v == sites[i].addr.v)
			return 0;
		if (addr.v - sites[i].addr.v < sites[i].len)
			rc = vp_err_set(err, -EINVAL, "that is inside site %zu", i);
	}
	return rc ? rc : check_insn(c, addr, err);
}

static int check_site(struct vp_control *c, const struct vp_site *sites, size_t n, size_t i,
		      struct vp_err *err)
{
	const struct vp_site *s = &sites[i];
	const char *what = "fixup";
	vp_gva to = s->fixup;
	struct vp_insn insn;
	struct vp_err why;
	int rc = s->resume == VP_RESUME_FIXUP ? check_lead(c, sites, n, to, &why) : 0;

	if (!rc && !vp_insn_decode(s->new_bytes, s->len, s->addr, &insn, NULL) &&
	    (insn.kind == VP_INSN_JMP_REL || insn.kind == VP_INSN_CALL_REL ||
	     insn.kind == VP_INSN_JCC_REL)) {
		what = insn.kind == VP_INSN_CALL_REL ? "call" : "jump";
		to = insn.target;
		rc = check_lead(c, sites, n, to, &why);
	}
	if (!rc)
		return 0;
	return vp_err_set(err, rc, "site %zu at 0x%llx: its %s leads to 0x%llx: %.160s", i,
			  (unsigned long long)s->addr.v, what, (unsigned long long)to.v, why.text);
}

int vp_control_leads(struct vp_control *c, const struct vp_site *sites, size_t n,
		     struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = check_site(c, sites, n, i, err);
	return rc;
}
