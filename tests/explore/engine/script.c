/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's coroutine: the calls that a scenario makes, one after the other; and its steps. */
#include <stdio.h>
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

void world_begin(size_t scenario)
{
	sc = &scenarios[scenario];
	memset(&w, 0, sizeof(w));
	memset(&core, 0, sizeof(core));
	text_init();
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

/* --- steps ------------------------------------------------------------------- */

unsigned int world_choices(struct choice *to)
{
	unsigned int n = 0;

	if (!w.done && (!w.wait || wait_is_over()))
		to[n++] = (struct choice){ ENGINE, GO, 0 };
	else if (!w.done && w.timeouts_left)
		to[n++] = (struct choice){ ENGINE, TIME_OUT, 0 };
	for (unsigned int i = 0; i < sc->vcpus; i++)
		n += vcpu_choices(i, to + n);
	return n;
}

/* What the engine's stores do that no operation of the target shows. */
static void note_engine(const struct vp_batch *was, bool undoing, bool open)
{
	const struct vp_batch *b = atomic_load(&w.engine->table);

	if (b != was)
		note("%s", b ? "table published" : "table retired");
	else if (b && atomic_load(&b->undoing) != undoing)
		note("table marked undoing");
	else if (b && atomic_load(&b->open) != open)
		note("table marked open");
}

void world_step(const struct choice *c)
{
	const struct vp_batch *b = atomic_load(&w.engine->table);
	bool undoing = b && atomic_load(&b->undoing), open = b && atomic_load(&b->open);

	if (c->who != ENGINE) {
		vcpu_step(c->who - 1u, c);
	} else {
		if (c->what == TIME_OUT) {
			w.timeouts_left--;
			w.timed_out = true;
		}
		coro_run(ENGINE);
		if (notes)
			note_engine(b, undoing, open);
	}
	if (!core.cut)
		check_state();
}

/* --- what the search asks ------------------------------------------------------ */

struct scenario_text world_scenario(size_t i)
{
	return (struct scenario_text){ scenarios[i].name, scenarios[i].what, scenarios[i].quick };
}

bool world_break(const char *what)
{
	static const struct {
		const char *name;
		enum broken what;
	} breakable[] = {
		{ "topology", BREAK_TOPOLOGY }, { "arm", BREAK_ARM },
		{ "entry", BREAK_ENTRY },	{ "sample", BREAK_SAMPLE },
		{ "quiesce", BREAK_QUIESCE },
	};
	unsigned int was = broken;

	for (size_t i = 0; i < sizeof(breakable) / sizeof(breakable[0]); i++)
		if (!strcmp(what, breakable[i].name))
			broken |= breakable[i].what;
	return broken != was;
}

unsigned int world_columns(void)
{
	return 1u + sc->vcpus;
}

const char *world_column(unsigned int who, char text[16])
{
	snprintf(text, 16, who == ENGINE ? "engine" : "vCPU %u", who - 1);
	return text;
}

struct world_bytes world_bytes(void)
{
	return (struct world_bytes){ &w, sizeof(w) };
}

/* Counters that nobody reads must not make states differ. */
void world_clean(void)
{
	memset(&w.engine->stats, 0, sizeof(w.engine->stats));
}

/* A handler that has its verdict stands for one that is not yet done with the table. */
void world_freed(const void *p)
{
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.vcpu[i].table == p)
			violate("a trap table is freed while the handler of vCPU %u has it", i);
}
