/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs. One in the guest may stand at any site at any moment, so running a whole instruction is
 * not a step: check.c looks at all that could be run, in every state. Steps are what changes
 * something: to trap, to be handled, to enter the guest, to pass through the VMM.
 */
#include <string.h>

#include "world.h"

bool vcpu_present(const struct vcpu *v)
{
	return v->mode != ABSENT && v->mode != JOINING;
}

/* From the start of its handler until it enters the guest again. */
bool vcpu_in_trap(const struct vcpu *v)
{
	return v->mode == HANDLER || v->mode == VERDICT || v->mode == PARKED;
}

void vcpu_serialize(struct vcpu *v)
{
	for (unsigned int s = 0; s < sc->sites; s++)
		for (unsigned int p = 0; p < sc->insn->len; p++)
			v->may[s][p] = (uint8_t)(1u << value_id(p, w.text[s][p]));
	v->behind = false;
}

/* What it does in the VMM before it enters the guest; see enter() in local_run.c. */
void vcpu_serve(struct vcpu *v)
{
	v->armed = w.want_armed;
	if (v->behind)
		vcpu_serialize(v);
}

/* --- the handler ------------------------------------------------------------- */

static void handler_main(void)
{
	unsigned int i = coro_running() - 1;
	struct vcpu *v = &w.vcpu[i];
	vp_gva at = v->at == AT_FOREIGN ? FOREIGN_GVA : site_gva(v->at);
	struct vp_trap trap = { .vcpu = i,
				.rip = at,
				.paging = guest_paging,
				.code64 = true,
				.regs = { .rip = at.v } };
	enum vp_verdict verdict = w.target.sink.handle(w.target.sink.arg, &trap);

	check_verdict(i, &trap, verdict);
	if (broken & BREAK_SAMPLE) {
		coro_yield();
		v->woken = false;
	}
	v->mode = verdict == VP_VERDICT_PARK ? PARKED : VERDICT;
	for (;;)
		coro_yield();
}

static void handler_step(unsigned int i)
{
	struct vcpu *v = &w.vcpu[i];
	unsigned int who = 1 + i;

	if (!core.sp[who]) {
		v->began_undone = w.undone;
		coro_start(who, handler_main);
	}
	coro_run(who);
	if (v->mode == HANDLER)
		return;
	core.sp[who] = NULL;
	v->stage = 0;
	v->table = atomic_load(&w.engine->table);
}

/* --- steps ------------------------------------------------------------------- */

static bool topology_is_free(void)
{
	return !w.locked || broken & BREAK_TOPOLOGY;
}

static unsigned int guest_choices(unsigned int i, struct choice *to)
{
	const struct vcpu *v = &w.vcpu[i];
	uint8_t who = (uint8_t)(1 + i);
	unsigned int n = 0;

	if (v->behind || v->armed != w.want_armed)
		to[n++] = (struct choice){ who, SERVE, 0 };
	for (uint8_t s = 0; s < sc->sites && v->traps_left && v->armed; s++)
		if (v->may[s][0] & 1u << ID_INT3)
			to[n++] = (struct choice){ who, TRAP, s };
	if (v->foreign_left && v->armed)
		to[n++] = (struct choice){ who, FOREIGN, 0 };
	if (w.leaves_left && i == sc->vcpus - 1u && topology_is_free())
		to[n++] = (struct choice){ who, LEAVE, 0 };
	return n;
}

unsigned int vcpu_choices(unsigned int i, struct choice *to)
{
	const struct vcpu *v = &w.vcpu[i];
	uint8_t who = (uint8_t)(1 + i);
	enum what only = HANDLE;

	switch ((enum mode)v->mode) {
	case GUEST: {
		unsigned int n = guest_choices(i, to);

		n += patch_answer_choice(i, to + n);
		if (!i)
			n += patch_choices(to + n);
		if (!i && w.counts_left)
			to[n++] = (struct choice){ who, COUNT, 0 };
		if (!i && (w.locks_left || w.lock))
			to[n++] = (struct choice){ who, LOCK, 0 };
		if (!i && sc->unmaps && !w.unmapped && w.in_call && w.ever_capped)
			to[n++] = (struct choice){ who, UNMAP, 0 };
		return n;
	}
	case ABSENT:
		if (!w.joins_left || i != sc->vcpus - 1u || !topology_is_free())
			return 0;
		/* fall through */
	case JOINING:
		only = JOIN;
		break;
	case TRAPPED:
		only = BEGIN;
		break;
	case HANDLER:
		break;
	case PARKED:
		if (!v->woken)
			return 0;
		/* fall through */
	case VERDICT:
		only = ENTER;
		break;
	}
	*to = (struct choice){ who, (uint8_t)only, 0 };
	return 1;
}

static void enter(struct vcpu *v)
{
	v->mode = GUEST;
	v->at = 0;
	v->table = NULL;
	v->woken = v->must_leave = v->began_undone = v->guests = v->not_ours = false;
	if (broken & BREAK_ENTRY)
		v->behind = false;
	vcpu_serve(v);
	patch_answer((unsigned int)(v - w.vcpu));
}

/* With the lock over topology this is one step. Without it, what it has read may be old. */
static void join(struct vcpu *v)
{
	if (v->mode == ABSENT) {
		w.joins_left--;
		v->mode = JOINING;
		vcpu_serialize(v);
		v->armed = w.want_armed;
		if (broken & BREAK_TOPOLOGY)
			return;
	}
	v->mode = GUEST;
}

static void leave(struct vcpu *v)
{
	uint8_t traps_left = v->traps_left;

	w.leaves_left--;
	memset(v, 0, sizeof(*v)); /* padding, too: it is part of the state */
	v->mode = ABSENT;
	v->traps_left = traps_left;
}

/* Another user of the key: the guest counts it without a look at the sites. */
static void count(void)
{
	w.counts_left--;
	w.count += COUNTED;
}

/* Take it, or let it go. */
static void lock(void)
{
	w.locks_left -= !w.lock;
	w.lock = !w.lock;
}

static void trap(struct vcpu *v, unsigned int at)
{
	if (at == AT_FOREIGN)
		v->foreign_left--;
	else
		v->traps_left--;
	v->at = (uint8_t)at;
	v->mode = TRAPPED;
	v->guests = at != AT_FOREIGN && patch_int3_stands(at);
	v->not_ours = v->guests && !(w.ever_capped & 1u << at);
	if (v->behind && !(broken & BREAK_ENTRY))
		memset(v->may, 0, sizeof(v->may));
}

void vcpu_step(unsigned int i, const struct choice *c)
{
	struct vcpu *v = &w.vcpu[i];

	switch ((enum what)c->what) {
	case SERVE:
		note(v->behind ? "serializes" : "passes through the VMM");
		vcpu_serve(v);
		note(v->armed ? ", armed" : ", not armed");
		break;
	case TRAP:
		note("runs the int3 of site %u", c->arg);
		trap(v, c->arg);
		break;
	case FOREIGN:
		note("runs the guest's own int3");
		trap(v, AT_FOREIGN);
		break;
	case BEGIN:
		note("begins to handle the trap");
		v->mode = HANDLER;
		v->woken = false;
		break;
	case HANDLE:
		handler_step(i);
		break;
	case ENTER:
		note(v->behind ? "enters, serialized" : "enters");
		enter(v);
		break;
	case JOIN:
		note("appears");
		join(v);
		break;
	case LEAVE:
		note("vanishes");
		leave(v);
		break;
	case PATCH:
	case PROCEED:
		patch_step(c);
		break;
	case ANSWER:
		note("answers the guest's text_poke");
		patch_answer(i);
		break;
	case COUNT:
		note("the guest counts another user");
		count();
		break;
	case LOCK:
		note(w.lock ? "the guest lets its lock go" : "the guest takes its lock");
		lock();
		break;
	case UNMAP:
		note("the guest unmaps the page");
		w.unmapped = true;
		break;
	case GO:
	case TIME_OUT:
		break;
	}
}
