/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the bench that compare the ways to patch. In each round each way has its turn, so
 * that whatever else the machine does falls on all of them alike.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/bench.h"
#include "base/tell.h"

#define TURN	  20	/* batches of a turn, */
#define TURN_US	  300e3 /* if they take no longer than this */
#define BREATH_US 1e3	/* between two of them: the guest runs */
#define ANSWER_MS 60000 /* as for batches */

/* One way's samples at one place. */
struct taken {
	struct vp_samples a, b, c;
};

/* What a part works with: all guests of so many vCPUs, and where it is. */
struct part {
	const struct vp_bench_config *cfg;
	json_t *doc;
	struct vp_bench_guests guests;
	const char *name;
	uint64_t done, total; /* steps */
	double turn_us;	      /* how long the batches of the newest turn took, breaths included */
};

static void step(struct part *p)
{
	vp_tell_progress(p->name, ++p->done, p->total);
}

/* Way number @i of round @run: each begins once. NULL: that one cannot be had. */
static const struct vp_bench_way *turn(const struct part *p, unsigned int run, unsigned int i,
				       size_t *at, struct vp_bench_guest **g)
{
	*at = (run + i) % (VP_BENCH_WAYS_MAX - 1);
	*g = p->guests.of[*at];
	return *g ? &vp_bench_ways[*at] : NULL;
}

static int end_guests(struct part *p, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < VP_BENCH_WAYS_MAX; i++)
		if (p->guests.of[i])
			rc = vp_bench_guest_restore(p->guests.of[i], err);
	vp_bench_guests_free(&p->guests);
	return rc;
}

static void take_gaps(const struct vp_bench_guest *g, struct vp_samples *s)
{
	for (unsigned int i = 0; i < g->nvcpus; i++)
		vp_samples_add(s, vp_bench_gap(g, i));
}

/* Between two batches. Without it a vCPU that was held may not have come back yet: nobody to wait
 * for. */
static int breathe(struct vp_bench_guest *g, struct vp_err *err)
{
	vp_bench_nap_us(BREATH_US);
	return vp_bench_all_run(g, err);
}

/* --- latency: sync, batch, pause, by vCPUs ---------------------------------------------- */

static int one_sync(struct vp_bench_guest *g, const struct vp_bench_way *way, double *us,
		    struct vp_err *err)
{
	struct vp_target *t = vp_local_target(g->local);
	double start;
	int rc = t->ops->lock(t, err);

	if (rc)
		return rc;
	start = vp_bench_now_us();
	if (way->strategy == VP_STRATEGY_INT3) {
		rc = t->ops->sync(t, VP_SYNC_CORE, ANSWER_MS, err);
	} else {
		rc = t->ops->stop(t, ANSWER_MS, err);
		if (!rc)
			t->ops->resume(t);
	}
	*us = vp_bench_now_us() - start;
	t->ops->unlock(t);
	return rc;
}

/* Nobody patches: how long does a vCPU stand still all the same? */
static int calm_turn(struct part *p, struct vp_bench_guest *g, struct taken *t, struct vp_err *err)
{
	int rc = vp_bench_guest_run(&p->guests, g, TB_BLOCK_SITES, err);

	if (rc)
		return rc;
	vp_bench_nap_us(p->turn_us);
	take_gaps(g, &t->c);
	return vp_bench_guest_alive(g, err);
}

static int latency_turn(struct part *p, const struct vp_bench_way *way, struct vp_bench_guest *g,
			struct taken *t, struct vp_err *err)
{
	int rc = vp_bench_guest_run(&p->guests, g, TB_BLOCK_SITES, err);
	double start = vp_bench_now_us(), end = start + TURN_US, us;

	for (unsigned int i = 0; !rc && i < TURN && vp_bench_now_us() < end; i++) {
		const struct vp_bench_batch b = { .first = i % TB_BLOCK_SITES,
						  .n = 1,
						  .resume = VP_RESUME_EMULATE };

		rc = vp_bench_poke(g, way, &b, &us, err);
		if (!rc)
			vp_samples_add(&t->b, us);
		if (!rc)
			rc = breathe(g, err);
	}
	if (!rc)
		take_gaps(g, &t->c);
	p->turn_us = vp_bench_now_us() - start;
	end = start + p->turn_us + TURN_US;
	for (unsigned int i = 0; !rc && i < TURN && vp_bench_now_us() < end; i++) {
		rc = one_sync(g, way, &us, err);
		if (!rc)
			vp_samples_add(&t->a, us);
		if (!rc)
			rc = breathe(g, err);
	}
	return rc ? rc : vp_bench_guest_alive(g, err);
}

static int latency_at(struct part *p, unsigned int vcpus, struct vp_err *err)
{
	struct taken taken[VP_BENCH_WAYS_MAX] = { 0 }, calm = { 0 };
	struct vp_bench_guest *g;
	size_t at = 0;
	int rc = vp_bench_guests_boot(p->cfg, vcpus, &p->guests, err);

	for (unsigned int run = 0; !rc && run < p->cfg->runs; run++) {
		bool calmed = false;

		for (unsigned int i = 0; !rc && i < VP_BENCH_WAYS_MAX - 1; i++) {
			const struct vp_bench_way *way = turn(p, run, i, &at, &g);

			if (way)
				rc = latency_turn(p, way, g, &taken[at], err);
			if (way && !rc && !calmed) {
				rc = calm_turn(p, g, &calm, err);
				calmed = true;
			}
		}
		step(p);
	}
	for (size_t i = 0; vp_bench_ways[i].name; i++) {
		const char *way = vp_bench_ways[i].name;

		vp_bench_doc_add(p->doc, "sync", way, vcpus, NULL, &taken[i].a);
		vp_bench_doc_add(p->doc, "latency", way, vcpus, NULL, &taken[i].b);
		vp_bench_doc_add(p->doc, "pause", way, vcpus, NULL, &taken[i].c);
	}
	vp_bench_doc_add(p->doc, "pause", "none", vcpus, NULL, &calm.c);
	return rc ? rc : end_guests(p, err);
}

static int latency(struct part *p, struct vp_err *err)
{
	static const unsigned int vcpus[] = { 1, 2, 4, 8, 16 };
	const size_t n = sizeof(vcpus) / sizeof(vcpus[0]);
	int rc = 0;

	p->total = n * p->cfg->runs;
	for (size_t i = 0; !rc && i < n; i++)
		if (vcpus[i] <= p->cfg->max_vcpus)
			rc = latency_at(p, vcpus[i], err);
	return rc;
}

/* --- sites: a batch, by how many ---------------------------------------------------------- */

#define SITES_TURN 4

static int sites_turn(struct part *p, const struct vp_bench_way *way, struct vp_bench_guest *g,
		      unsigned int n, struct taken *t, struct vp_err *err)
{
	const struct vp_bench_batch b = { .first = 0, .n = n, .resume = VP_RESUME_EMULATE };
	int rc = vp_bench_guest_run(&p->guests, g, n, err);
	double us;

	for (unsigned int i = 0; !rc && i < SITES_TURN; i++) {
		rc = vp_bench_poke(g, way, &b, &us, err);
		if (!rc)
			vp_samples_add(&t->a, us);
		if (!rc)
			rc = breathe(g, err);
	}
	return rc ? rc : vp_bench_guest_alive(g, err);
}

static int sites_at(struct part *p, unsigned int n, struct vp_err *err)
{
	struct taken taken[VP_BENCH_WAYS_MAX] = { 0 };
	struct vp_bench_guest *g;
	size_t at = 0;
	int rc = 0;

	for (unsigned int run = 0; !rc && run < p->cfg->runs; run++) {
		for (unsigned int i = 0; !rc && i < VP_BENCH_WAYS_MAX - 1; i++) {
			const struct vp_bench_way *way = turn(p, run, i, &at, &g);

			if (way)
				rc = sites_turn(p, way, g, n, &taken[at], err);
		}
		step(p);
	}
	for (size_t i = 0; vp_bench_ways[i].name; i++)
		vp_bench_doc_add(p->doc, "sites", vp_bench_ways[i].name, n, NULL, &taken[i].a);
	return rc;
}

/* Of one number of vCPUs, for each of @n values of what varies. */
static int over(struct part *p, const unsigned int *values, size_t n,
		int (*at)(struct part *p, unsigned int value, struct vp_err *err),
		struct vp_err *err)
{
	int rc = vp_bench_guests_boot(p->cfg, p->cfg->vcpus, &p->guests, err);

	p->total = n * p->cfg->runs;
	for (size_t i = 0; !rc && i < n; i++)
		rc = at(p, values[i], err);
	return rc ? rc : end_guests(p, err);
}

static int sites(struct part *p, struct vp_err *err)
{
	/* The Linux kernel itself went from 2,655 ms to 0.7 ms for 164, in batches of 256. */
	static const unsigned int sizes[] = { 1, 4, 16, 64, 164, 256, 1000, TB_SITES };

	return over(p, sizes, sizeof(sizes) / sizeof(sizes[0]), sites_at, err);
}

/* --- kept: what the guest still does, by batches a second ----------------------------------- */

/* What it did in a while, and how many batches there were. */
struct window {
	double rounds_per_us;
	unsigned int batches;
};

/* @way NULL: nobody patches. */
static int watch(struct vp_bench_guest *g, const struct vp_bench_way *way, double us, double period,
		 struct window *out, struct vp_err *err)
{
	double start, end, next, now;
	uint64_t rounds;
	int rc = vp_bench_gaps_reset(g, err);

	*out = (struct window){ 0 };
	start = vp_bench_now_us();
	rounds = vp_bench_rounds(g);
	end = start + us;
	next = start + period / 2;
	for (now = start; !rc && now < end; now = vp_bench_now_us()) {
		struct vp_bench_batch b = { .n = 1, .resume = VP_RESUME_EMULATE };

		if (!way || now < next) {
			vp_bench_nap_us((way && next < end ? next : end) - now);
			continue;
		}
		b.first = out->batches++ % TB_BLOCK_SITES;
		rc = vp_bench_poke(g, way, &b, NULL, err);
		next += period;
		if (next < now) /* what was missed is not made up for */
			next = now;
	}
	out->rounds_per_us = (double)(vp_bench_rounds(g) - rounds) / (vp_bench_now_us() - start);
	return rc ? rc : vp_bench_guest_alive(g, err);
}

static double window_us(unsigned int rate)
{
	return rate == 1 ? 1e6 : 300e3;
}

static int kept_window(const struct vp_bench_way *way, struct vp_bench_guest *g, unsigned int rate,
		       struct window *out, struct vp_samples *gaps, struct vp_err *err)
{
	int rc = watch(g, way, window_us(rate), 1e6 / rate, out, err);

	if (!rc)
		take_gaps(g, gaps);
	return rc;
}

/* With and without, in this order in one round and in the other in the next. */
static int kept_turn(struct part *p, const struct vp_bench_way *way, struct vp_bench_guest *g,
		     unsigned int rate, bool calm_first, struct taken *t, struct vp_samples *calm,
		     struct vp_err *err)
{
	struct window none = { 0 }, with = { 0 };
	int rc = vp_bench_guest_run(&p->guests, g, TB_BLOCK_SITES, err);

	if (!rc && calm_first)
		rc = kept_window(NULL, g, rate, &none, calm, err);
	if (!rc)
		rc = kept_window(way, g, rate, &with, &t->c, err);
	if (!rc && !calm_first)
		rc = kept_window(NULL, g, rate, &none, calm, err);
	if (rc)
		return rc;
	if (none.rounds_per_us > 0)
		vp_samples_add(&t->a, 100 * with.rounds_per_us / none.rounds_per_us);
	vp_samples_add(&t->b, 100e6 * with.batches / rate / window_us(rate));
	return 0;
}

static int kept_at(struct part *p, unsigned int rate, struct vp_err *err)
{
	struct taken taken[VP_BENCH_WAYS_MAX] = { 0 };
	struct vp_samples calm = { 0 };
	struct vp_bench_guest *g;
	size_t at = 0;
	int rc = 0;

	for (unsigned int run = 0; !rc && run < p->cfg->runs; run++) {
		for (unsigned int i = 0; !rc && i < VP_BENCH_WAYS_MAX - 1; i++) {
			const struct vp_bench_way *way = turn(p, run, i, &at, &g);

			if (way)
				rc = kept_turn(p, way, g, rate, run % 2, &taken[at], &calm, err);
		}
		step(p);
	}
	for (size_t i = 0; vp_bench_ways[i].name; i++) {
		const char *way = vp_bench_ways[i].name;

		vp_bench_doc_add(p->doc, "kept", way, rate, NULL, &taken[i].a);
		vp_bench_doc_add(p->doc, "reached", way, rate, NULL, &taken[i].b);
		vp_bench_doc_add(p->doc, "gap", way, rate, NULL, &taken[i].c);
	}
	vp_bench_doc_add(p->doc, "gap", "none", rate, NULL, &calm);
	return rc;
}

static int kept(struct part *p, struct vp_err *err)
{
	static const unsigned int rates[] = { 1, 10, 100, 1000 };

	return over(p, rates, sizeof(rates) / sizeof(rates[0]), kept_at, err);
}

/* --- who else was busy ------------------------------------------------------------------ */

struct busy {
	double wall_us, all_us, own_us;
};

static double own_cpu_us(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user. */
static struct busy look_busy(void)
{
	struct busy b = { .wall_us = vp_bench_now_us() };
	unsigned long long t[8] = { 0 };
	FILE *f = fopen("/proc/stat", "re");

	if (f && fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
			&t[3], &t[4], &t[5], &t[6], &t[7]) == 8)
		b.all_us = (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) * 1e6 /
			   (double)sysconf(_SC_CLK_TCK);
	if (f)
		fclose(f);
	b.own_us = own_cpu_us(RUSAGE_SELF) + own_cpu_us(RUSAGE_CHILDREN);
	return b;
}

/* Where others want the cores, times are those of queueing for one. */
static void note_busy(const struct busy *from, json_t *doc)
{
	struct busy to = look_busy();
	double own = to.own_us - from->own_us, all = to.all_us - from->all_us;
	double others = (all - own) / (to.wall_us - from->wall_us);

	if (others > 0.1)
		vp_bench_doc_note(doc,
				  "others had %.1f of %ld cores meanwhile: long times are of "
				  "waiting for one, and what work is kept says little",
				  others, sysconf(_SC_NPROCESSORS_ONLN));
}

/* --- all of it ------------------------------------------------------------------------------ */

const char *const vp_bench_parts[] = { "latency", "sites", "kept", "exits", "demo", NULL };

static bool wanted(const struct vp_bench_config *cfg, const char *part)
{
	return !cfg->only || !strcmp(cfg->only, part);
}

/* The ways that cannot be had, those for one reason in one line. */
static void note_missing(const struct vp_bench_guests *all, json_t *doc)
{
	for (size_t i = 0; vp_bench_ways[i].name; i++) {
		char names[128] = "";
		size_t n = 0;

		if (all->of[i] || (i && !strcmp(all->why[i], all->why[i - 1])))
			continue;
		for (size_t k = i; vp_bench_ways[k].name && !strcmp(all->why[k], all->why[i]); k++)
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "",
					      vp_bench_ways[k].name);
		vp_bench_doc_note(doc, "%s: not measured: %s", names, all->why[i]);
	}
}

/* What this host is to a guest, and which ways it has not. */
static int describe(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err)
{
	struct vp_bench_guests all;
	int rc;

	vp_bench_doc_env(doc, cfg->env, cfg->what, cfg->command, cfg->runs);
	rc = vp_bench_guests_boot(cfg, 1, &all, err);
	if (rc)
		return rc;
	note_missing(&all, doc);
	for (size_t i = 0; !cfg->made_up_traps && i < VP_BENCH_WAYS_MAX; i++)
		if (all.of[i] && vp_vm_route(all.of[i]->vm) == VP_ROUTE_INTERNAL_ERROR) {
			vp_bench_doc_note(doc,
					  "this host's KVM emulates the guest's kernel mode, an "
					  "instruction at a time: ratios mean something, times "
					  "are those of such a host");
			break;
		}
	vp_bench_doc_note(doc, "sites, kept and gap: %u vCPUs", cfg->vcpus);
	vp_bench_guests_free(&all);
	return 0;
}

int vp_bench_run(const struct vp_bench_config *cfg, json_t *doc, struct vp_err *err)
{
	static const struct {
		const char *name;
		int (*run)(struct part *p, struct vp_err *err);
	} parts[] = { { "latency", latency }, { "sites", sites }, { "kept", kept } };
	struct busy from = look_busy();
	int rc = describe(cfg, doc, err);

	for (size_t i = 0; !rc && i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct part p = { .cfg = cfg, .doc = doc, .name = parts[i].name };

		if (!wanted(cfg, p.name))
			continue;
		rc = parts[i].run(&p, err);
		vp_bench_guests_free(&p.guests); /* those that a failure has left */
	}
	if (!rc && wanted(cfg, "exits"))
		rc = vp_bench_exits(cfg, doc, err);
	if (!rc && cfg->against && wanted(cfg, "demo"))
		rc = vp_bench_demo(cfg, doc, err);
	if (!rc)
		note_busy(&from, doc);
	return rc;
}
