/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's coroutine: the calls that a scenario makes, one after the other. */
#include <string.h>

#include "world.h"

struct world w;
const struct scenario *sc;
unsigned int broken;

static const struct action *current(void)
{
	return &sc->script[w.action];
}

static void on_phase(void *arg, enum vp_phase p)
{
	(void)arg;
	if (p != VP_PHASE_PLANNED)
		return;
	/* An earlier batch that was unfinished is settled now. */
	w.given_up = w.undone = w.reached = w.ran_new = false;
}

static int poke(const struct action *a, const struct vp_poke_opts *opts)
{
	struct vp_site sites[MAX_SITES];

	memset(sites, 0, sizeof(sites));
	for (unsigned int s = 0; s < sc->sites; s++) {
		sites[s].addr = site_gva(s);
		sites[s].len = sc->insn->len;
		sites[s].resume = a->rule;
		sites[s].fixup = fixup_gva(a->to);
		memcpy(sites[s].old_bytes, sc->insn->bytes[w.stands[s]], sc->insn->len);
		memcpy(sites[s].new_bytes, sc->insn->bytes[a->to], sc->insn->len);
	}
	return vp_poke(w.engine, sites, sc->sites, opts, NULL, NULL);
}

static int perform(const struct action *a)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	struct vp_word words[2];

	opts.phase = on_phase;
	words[0] = (struct vp_word){ WORD_GVA, w.stands[0], a->to };
	words[sc->word] = (struct vp_word){ LOCK_GVA, 0, 0 };
	opts.words = words;
	opts.nwords = (size_t)sc->word + sc->condition;
	switch (a->kind) {
	case ACT_POKE:
		return poke(a, &opts);
	case ACT_REVERT:
		return vp_revert(w.engine, 0, &opts, NULL, NULL);
	case ACT_SETTLE:
		return vp_engine_settle(w.engine, 0, NULL);
	case ACT_END:
		break;
	}
	return 0;
}

static void engine_main(void)
{
	for (w.action = 0; current()->kind != ACT_END; w.action++) {
		const struct action *a = current();
		int rc;

		w.before = a->before;
		if (a->kind != ACT_SETTLE)
			w.to = a->to;
		w.in_call = true;
		w.was_free = false;
		for (unsigned int s = 0; s < sc->sites && a->kind != ACT_SETTLE; s++)
			w.legal[s] |= (uint8_t)(1u << a->to);
		rc = perform(a);
		w.in_call = false;
		note("the call returns %d", rc);
		check_return(rc);
	}
	w.done = true;
	check_done();
	for (;;)
		coro_yield();
}

void script_init(void)
{
	memset(&w, 0, sizeof(w));
	w.target.ops = &explore_ops;
	w.before = true;
	w.timeouts_left = sc->timeouts;
	w.patches_left = sc->patches;
	w.counts_left = sc->counts;
	w.locks_left = sc->locks;
	w.joins_left = sc->joins;
	w.leaves_left = sc->leaves;
	for (unsigned int s = 0; s < sc->sites; s++) {
		memcpy(w.text[s], sc->insn->bytes[0], sc->insn->len);
		w.legal[s] = 1;
	}
	for (unsigned int i = 0; i < sc->vcpus; i++) {
		struct vcpu *v = &w.vcpu[i];

		v->traps_left = sc->traps;
		v->foreign_left = sc->foreign;
		if (sc->joins && i == sc->vcpus - 1u)
			continue;
		v->mode = GUEST;
		vcpu_serialize(v);
	}
	if (vp_engine_new(&w.target, &w.engine, NULL))
		violate("vp_engine_new() failed");
	coro_start(ENGINE, engine_main);
	coro_run(ENGINE); /* the calls that are made before, and up to the first step */
}
