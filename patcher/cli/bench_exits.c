/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one exit costs the vCPU that makes it: the CPU time of a round of the guest's loop with one
 * exit in it, less that of a round without. An int3 of ours is there for long enough because the
 * batch is kept from going on, in its phase callback.
 */
#include <stdio.h>
#include <time.h>

#include "cli/bench.h"
#include "base/tell.h"

#define WHILE_US 20e3
#define ENOUGH	 100  /* rounds, or more of them: the vCPU may have no core for a while, */
#define LONG_US	 20e6 /* but not for ever */

/* One thing that a round may have in it. */
static const struct kind {
	const char *name;
	enum tb_extra extra;
	bool held;	     /* while a batch is in flight */
	unsigned int site;   /* the one of that batch: the workers run the first block */
	enum vp_resume rule; /* of it */
} kinds[] = {
	{ "out", TB_EXIT, false, 0, VP_RESUME_PARK },
	{ "#BP: fixup", TB_NOTHING, true, 0, VP_RESUME_FIXUP },
	{ "#BP: emulate", TB_NOTHING, true, 0, VP_RESUME_EMULATE },
	{ "#BP: the guest's own", TB_INT3, true, TB_SITES - 1, VP_RESUME_PARK },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct look {
	struct vp_bench_guest *g;
	double us_per_round;
	struct vp_err err;
	int rc;
};

/* What the thread of the one vCPU has used so far: whoever else wants the core is not in it. */
static double cpu_us(const struct vp_bench_guest *g)
{
	struct vp_vm_vcpu_info info = { 0 };
	struct timespec ts = { 0 };

	vp_vm_vcpus(g->vm, &info, 1);
	/* As pthread_getcpuclockid() makes it, of a thread's number. */
	clock_gettime((clockid_t)(~(unsigned int)info.thread_id << 3 | 6), &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void look(struct look *l)
{
	uint64_t first = vp_bench_rounds(l->g), rounds;
	double start = cpu_us(l->g), end = vp_bench_now_us() + LONG_US, us;

	do {
		vp_bench_nap_us(WHILE_US);
		us = cpu_us(l->g) - start;
		rounds = vp_bench_rounds(l->g) - first;
	} while (rounds < ENOUGH && vp_bench_now_us() < end);
	l->us_per_round = rounds ? us / (double)rounds : 0;
}

static void look_while_capped(void *arg, enum vp_phase phase)
{
	if (phase == VP_PHASE_CAPPED)
		look(arg);
}

static int look_at(struct vp_bench_guest *g, const struct vp_bench_way *way, const struct kind *k,
		   double *us, struct vp_err *err)
{
	struct look l = { .g = g };
	const struct vp_bench_batch batch = {
		.first = k->site, .n = 1, .resume = k->rule, .phase = look_while_capped, .arg = &l
	};
	int rc = 0;

	__atomic_store_n(&g->shared->extra, k->extra, __ATOMIC_RELEASE);
	if (k->held)
		rc = vp_bench_poke(g, way, &batch, NULL, err);
	else
		look(&l);
	__atomic_store_n(&g->shared->extra, TB_NOTHING, __ATOMIC_RELEASE);
	*us = l.us_per_round;
	return rc ? rc : vp_bench_guest_alive(g, err);
}

/* A vCPU that parks waits for the whole batch: that is its cost. */
static int look_at_park(struct vp_bench_guest *g, const struct vp_bench_way *way,
			struct vp_samples *s, struct vp_err *err)
{
	const struct vp_bench_batch batch = { .first = 0, .n = 1, .resume = VP_RESUME_PARK };
	int rc = vp_bench_gaps_reset(g, err);

	if (!rc)
		rc = vp_bench_poke(g, way, &batch, NULL, err);
	if (!rc) {
		vp_bench_nap_us(1e3);
		vp_samples_add(s, vp_bench_gap(g, 0));
	}
	return rc;
}

/* A round with nothing in it, then each kind, in turn. */
static int turn(struct vp_bench_guest *g, const struct vp_bench_way *way, struct vp_samples *s,
		struct vp_err *err)
{
	const struct kind nothing = { "", TB_NOTHING, false, 0, VP_RESUME_PARK };
	double plain, us;
	int rc = 0;

	for (size_t i = 0; !rc && i < KINDS; i++) {
		rc = look_at(g, way, &nothing, &plain, err);
		if (!rc)
			rc = look_at(g, way, &kinds[i], &us, err);
		if (!rc && plain > 0 && us > plain)
			vp_samples_add(&s[i], us - plain);
	}
	return rc ? rc : look_at_park(g, way, &s[KINDS], err);
}

int vp_bench_exits(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err)
{
	struct vp_samples samples[VP_BENCH_WAYS_MAX][KINDS + 1] = { 0 };
	struct vp_bench_guests all;
	int rc;

	if (cfg->made_up_traps) {
		vp_bench_doc_note(
			doc, "exits are not measured: at CPL 3 an int3 makes none here, those that "
			     "batches meet are made by the bench itself");
		return 0;
	}
	rc = vp_bench_guests_boot(cfg, 1, &all, err);
	for (unsigned int run = 0; !rc && run < cfg->runs; run++) {
		for (size_t i = 0; !rc && vp_bench_ways[i].name; i++) {
			const struct vp_bench_way *way = &vp_bench_ways[i];

			if (!all.of[i] || way->strategy != VP_STRATEGY_INT3)
				continue;
			rc = vp_bench_guest_run(&all, all.of[i], TB_BLOCK_SITES, err);
			if (!rc)
				rc = turn(all.of[i], way, samples[i], err);
		}
		vp_tell_progress("exits", run + 1, cfg->runs);
	}
	for (size_t i = 0; vp_bench_ways[i].name; i++) {
		for (size_t k = 0; k < KINDS; k++)
			vp_bench_doc_add(doc, "exits", vp_bench_ways[i].name, 0, kinds[k].name,
					 &samples[i][k]);
		vp_bench_doc_add(doc, "exits", vp_bench_ways[i].name, 0, "#BP: park, a batch",
				 &samples[i][KINDS]);
		if (!rc && all.of[i])
			rc = vp_bench_guest_restore(all.of[i], err);
	}
	vp_bench_guests_free(&all);
	return rc;
}
