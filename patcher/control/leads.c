/* SPDX-License-Identifier: Apache-2.0 */
/* Where instructions begin, and where those of a batch lead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "x86/decode.h"

#define SWEEP_MAX 65536u

/*
 * @code gets what stands in the @before bytes before @addr, and VP_INSN_MAX from it on: nops for
 * those of a next page that cannot be read.
 */
static int read_around(struct vp_control *c, vp_gva addr, size_t before, uint8_t *code,
		       struct vp_err *err)
{
	size_t page = 0x1000 - (addr.v & 0xfff);
	vp_gva from = VP_GVA(addr.v - before);

	if (!vp_control_read(c, from, code, before + VP_INSN_MAX, NULL))
		return 0;
	memset(code + before, 0x90, VP_INSN_MAX);
	return vp_control_read(c, from, code, before + (page < VP_INSN_MAX ? page : VP_INSN_MAX),
			       err);
}

/* Is it a probe, or a jump away that may be one, and has then cut what comes behind it? */
static bool may_cut(struct vp_control *c, const struct vp_insn *insn)
{
	return insn->kind == VP_INSN_INT3 ||
	       (insn->kind == VP_INSN_JMP_REL && !vp_control_name(c, insn->target, NULL));
}

/*
 * From the symbol on, instruction by instruction; where that leads over a probe (an int3, or a jump
 * to where nothing has a name) or into what is no instruction, nobody knows.
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
	if (read_around(c, addr, offset, code, NULL))
		at = offset; /* that it is not mapped is said elsewhere */
	for (; at < offset; at += insn.len) {
		if (vp_insn_decode(code + at, offset + VP_INSN_MAX - at,
				   VP_GVA(addr.v - offset + at), &insn, NULL))
			break;
		if (at + insn.len > offset && insn.kind != VP_INSN_INT3)
			rc = vp_err_set(err, -EINVAL,
					"0x%llx lies inside the instruction at %s+0x%llx",
					(unsigned long long)addr.v, symbol, (unsigned long long)at);
		if (may_cut(c, &insn))
			break;
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
	uint8_t bytes[VP_INSN_MAX];
	struct vp_insn insn;
	int rc = vp_control_boundary(c, addr, err);

	if (!rc)
		rc = read_around(c, addr, 0, bytes, err);
	if (!rc && vp_insn_decode(bytes, sizeof(bytes), addr, &insn, NULL))
		rc = vp_err_set(err, -EINVAL, "no instruction stands there");
	return rc;
}

/* Can a vCPU be sent to @addr, once the batch stands? @known: it is sent there before, too. */
static int check_lead(struct vp_control *c, const struct vp_site *sites, size_t n, vp_gva addr,
		      bool known, struct vp_err *err)
{
	int rc = known ? 0 : check_runs(c, addr, err);

	for (size_t i = 0; !rc && i < n; i++) {
		if (addr.v == sites[i].addr.v)
			return 0;
		if (addr.v - sites[i].addr.v < sites[i].len)
			rc = vp_err_set(err, -EINVAL, "that is inside site %zu", i);
	}
	return rc || known ? rc : check_insn(c, addr, err);
}

/* Is it a branch that tells where it leads? */
static bool is_branch(const struct vp_site *s, const uint8_t *bytes, struct vp_insn *insn)
{
	return !vp_insn_decode(bytes, s->len, s->addr, insn, NULL) && vp_insn_leads(insn);
}

static int check_site(struct vp_control *c, const struct vp_site *sites, size_t n, size_t i,
		      struct vp_err *err)
{
	const struct vp_site *s = &sites[i];
	const char *what = "fixup";
	vp_gva to = s->fixup;
	struct vp_insn insn, old;
	struct vp_err why;
	int rc = s->resume == VP_RESUME_FIXUP ? check_lead(c, sites, n, to, false, &why) : 0;

	if (!rc && is_branch(s, s->new_bytes, &insn)) {
		what = insn.kind == VP_INSN_CALL_REL ? "call" : "jump";
		to = insn.target;
		rc = check_lead(c, sites, n, to,
				is_branch(s, s->old_bytes, &old) && old.target.v == to.v, &why);
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
