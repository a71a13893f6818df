/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold in every state, and at the end of every call and schedule. */
#include <errno.h>
#include <string.h>

#include "world.h"

/* --- what may be run --------------------------------------------------------- */

/*
 * Run through every mixture of the bytes that @v may fetch behind a head that is no int3. @fits:
 * the variants that agree with the bytes chosen so far. Returns the variants that may be run.
 */
static unsigned int mixtures(const struct vcpu *v, unsigned int site, unsigned int pos,
			     unsigned int fits)
{
	unsigned int runs = 0;

	if (!fits || pos == sc->insn->len)
		return fits;
	for (unsigned int id = 0; id <= ID_OTHER; id++) {
		unsigned int more;

		if (!(v->may[site][pos] & 1u << id) || (!pos && id == ID_INT3))
			continue;
		more = mixtures(v, site, pos + 1, fits & variants_with(pos, id));
		if (!more)
			violate("torn: vCPU %ld may run a mixture at site %u", v - w.vcpu, site);
		runs |= more;
	}
	return runs;
}

static void check_fetch(const struct vcpu *v, unsigned int site, bool *old, bool *new)
{
	long i = v - w.vcpu;
	unsigned int runs;

	if (v->may[site][0] & 1u << ID_INT3 && !v->armed && !patch_is_at(site))
		violate("vCPU %ld may run our int3 at site %u without a #BP exit", i, site);
	runs = mixtures(v, site, 0, (1u << MAX_VARIANTS) - 1);
	if (runs & ~(unsigned int)w.legal[site])
		violate("stale: vCPU %ld may run at site %u what must not be run any more", i,
			site);
	if (!w.in_call || w.stands[site] == w.to)
		return;
	/* What the guest put on the new code of an unfinished batch is not the batch's old code. */
	if (sc->script[w.action].kind == ACT_SETTLE && patch_is_at(site))
		return;
	*old = *old || runs & 1u << w.stands[site];
	*new = *new || runs & 1u << w.to;
}

void check_state(void)
{
	bool old = false, new = false;

	for (unsigned int i = 0; i < sc->vcpus; i++)
		for (unsigned int s = 0; s < sc->sites; s++)
			if (w.vcpu[i].mode == GUEST)
				check_fetch(&w.vcpu[i], s, &old, &new);
	w.ran_new = w.ran_new || new;
	if (w.ran_new && old)
		violate("not atomic: somebody has run new code, and somebody may still run old");
	if (!w.locked && !w.engine->unfinished && atomic_load(&w.engine->table))
		violate("nothing is in flight, but a trap table is published");
}

/* --- verdicts ---------------------------------------------------------------- */

/* The variant whose effect the registers show, or -1: none. */
static int effect(const struct vp_trap *trap)
{
	for (unsigned int i = 0; i < MAX_VARIANTS; i++) {
		struct vp_regs r = { .rip = trap->rip.v };
		struct vp_insn insn;

		if (trap->regs.rip == fixup_gva(i).v)
			return (int)i;
		if (vp_insn_decode(sc->insn->bytes[i], sc->insn->len, trap->rip, &insn, NULL))
			continue;
		r.rip = insn.kind == VP_INSN_JMP_REL ? insn.target.v : r.rip + insn.len;
		if (insn.kind == VP_INSN_MOV_IMM)
			r.gpr[insn.reg] = insn.imm;
		if (!memcmp(&r, &trap->regs, sizeof(r)))
			return (int)i;
	}
	return -1;
}

/* A batch that is taken back, but not to the end: a handler from before may still be at its rule.
 */
static bool may_finish(const struct vcpu *v, int ran)
{
	return w.engine->unfinished && ran == w.pending && !v->began_undone;
}

static void check_resume(unsigned int i, const struct vp_trap *trap)
{
	const struct vcpu *v = &w.vcpu[i];
	int ran;

	if (trap->regs.rip == trap->rip.v)
		return; /* again at the same address */
	ran = effect(trap);
	if (ran < 0)
		violate("the trap of vCPU %u was resumed at a wrong place", i);
	else if (!(w.legal[v->at] & 1u << ran) && !may_finish(v, ran))
		violate("stale: the handler of vCPU %u did code that must not be run any more", i);
	else if (v->began_undone)
		violate("the handler of vCPU %u did new code that is being taken back", i);
}

void check_verdict(unsigned int i, const struct vp_trap *trap, enum vp_verdict verdict)
{
	static const char *const names[] = {
		[VP_VERDICT_RESUME] = "run again",
		[VP_VERDICT_PARK] = "park",
		[VP_VERDICT_FOREIGN] = "the guest's",
	};
	bool moved = trap->regs.rip != trap->rip.v;

	note("verdict: %s", verdict == VP_VERDICT_RESUME && moved ? "resume rule" : names[verdict]);
	if (w.vcpu[i].at == AT_FOREIGN) {
		if (verdict != VP_VERDICT_FOREIGN)
			violate("swallowed: the guest did not get its own int3 from vCPU %u", i);
		return;
	}
	/* It may be run again; the guest must get it if it still stands. */
	if (w.vcpu[i].not_ours && !(w.ever_capped & 1u << w.vcpu[i].at) &&
	    (moved || verdict == VP_VERDICT_PARK))
		violate("swallowed: the guest's int3 on vCPU %u, where we never capped, was taken "
			"for ours",
			i);
	if (verdict == VP_VERDICT_FOREIGN && !w.vcpu[i].guests)
		violate("lost: a trap of ours on vCPU %u was given to the guest", i);
	if (verdict == VP_VERDICT_RESUME)
		check_resume(i, trap);
}

/* --- ends -------------------------------------------------------------------- */

static bool allowed(int rc)
{
	bool counted = sc->counts > w.counts_left || sc->locks > w.locks_left;

	switch (rc) {
	case 0:
		return true;
	case -ETIMEDOUT:
	case -EBUSY:
	case -ENOENT: /* a revert of a batch that was rolled back */
		return sc->timeouts > w.timeouts_left || (rc == -ENOENT && counted) ||
		       (rc == -EBUSY && w.patched); /* a foreign int3 stands there */
	case -EAGAIN:
		if (sc->locks > w.locks_left)
			return true;
		/* fall through */
	case -ESTALE:
	case -EIO:
		return w.patched || counted;
	default:
		return false;
	}
}

/* Which variant stands at a site after a call, and may be run from now on. */
static void settle_site(unsigned int s, int rc, uint8_t to)
{
	int now = variant_standing(s);
	bool guests = w.patched && now == MAX_VARIANTS - 1;

	if (patch_int3_stands(s))
		return; /* it goes on */
	if (!guests && w.engine->unfinished && !w.engine->unfinished->reached_heads)
		now = w.stands[s]; /* capped and guarded: the old one will come back */
	if (now < 0 && w.text[s][0] == VP_INT3)
		violate("site %u is left with an int3", s);
	else if (now < 0)
		violate("site %u is left with bytes that are neither old nor new", s);
	else if (!guests && now != (rc && rc != -EIO ? w.stands[s] : to))
		violate("the call returned %d, but site %u holds variant %d", rc, s, now);
	if (now < 0)
		return;
	w.stands[s] = (uint8_t)now;
	w.legal[s] = (uint8_t)(1u << now);
	if (patch_is_at(s) && w.poke_step != POKE_DONE)
		w.legal[s] |= 1u << (MAX_VARIANTS - 1);
}

/* The count goes with the sites, and what the guest did to it meanwhile stays. */
static void check_count(int rc)
{
	unsigned int now = w.count % COUNTED;

	if (sc->word && now != w.stands[0])
		violate("the call returned %d: the count says %u, the sites %u", rc, now,
			w.stands[0]);
	if (sc->word && w.count / COUNTED != (unsigned int)(sc->counts - w.counts_left))
		violate("the guest's own change of the count is lost");
}

void check_return(int rc)
{
	if (!allowed(rc))
		violate("the call returned %d", rc);
	if ((rc == -ETIMEDOUT || rc == -EAGAIN) && w.ran_new)
		violate("the call failed, but somebody has run its new code");
	for (unsigned int s = 0; s < sc->sites; s++)
		settle_site(s, rc, sc->script[w.action].kind == ACT_SETTLE ? w.stands[s] : w.to);
	check_count(rc);
	if (w.engine->unfinished)
		w.pending = w.to;
	else
		w.given_up = w.undone = w.reached = w.ran_new = false;
}

void check_done(void)
{
	bool guarded = w.engine->unfinished;

	if (w.locked)
		violate("at the end: the lock is held");
	if (w.want_armed != guarded)
		violate("at the end: %s", guarded ? "disarmed, but a site is guarded" : "armed");
	if (guarded && !atomic_load(&w.engine->table))
		violate("at the end: a batch is unfinished and no table guards it");
}

void world_stuck(void)
{
	const char *engine = w.done ? "" : ", and the engine waits for it";

	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.vcpu[i].mode == PARKED && (!w.done || !w.engine->unfinished))
			violate("stuck: vCPU %u is parked for ever%s", i, engine);
	if (!w.done)
		violate("stuck: the engine waits for ever");
}
