/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo's batches: random sites, random versions, the resume rules in turn.
 *
 * `installed` is what this side believes to stand at each site. Nobody else
 * writes the guest's text, so a difference at the end is a failure.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/demo.h"

#define BATCH_MAX      8  /* sites of an ordinary batch */
#define ALL_SITES_ONCE 16 /* one batch of so many changes every site */
#define REVERT_EVERY   50 /* one batch of so many takes back the one before */
#define REMOVE_WAIT_MS 20000
#define ANSWER_MS      60000 /* for hosts with far more vCPUs than cores */

struct demo {
	const struct vp_demo_config *cfg;
	struct vp_demo_result *res;
	struct vp_demo_guest guest;
	struct vp_engine *engine;
	uint64_t random;
	unsigned int rule;  /* the next resume rule */
	uint8_t *installed; /* version at each site */
	uint8_t *before;    /* the same before the newest batch */
	size_t *order;	    /* a permutation of the sites; the batch is its beginning */
	struct vp_site *batch;
	double *us; /* how long each batch took */
	pthread_t hotplug;
	atomic_bool hotplug_stop;
	int hotplug_rc;
	struct vp_err hotplug_err;
};

/* xorshift64*: the same seed gives the same batches. */
static uint64_t random_below(struct demo *d, uint64_t limit)
{
	d->random ^= d->random >> 12;
	d->random ^= d->random << 25;
	d->random ^= d->random >> 27;
	return ((d->random * 0x2545f4914f6cdd1d) >> 32) % limit;
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Choose @n different sites: the beginning of a shuffle. */
static void choose_sites(struct demo *d, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = i + random_below(d, d->guest.nsites - i);
		size_t site = d->order[i];

		d->order[i] = d->order[j];
		d->order[j] = site;
	}
}

/* park, emulate, fixup in turn; fixup where the new version cannot be emulated. */
static enum vp_resume next_rule(struct demo *d, const struct tg_version *v)
{
	static const enum vp_resume rules[] = { VP_RESUME_PARK, VP_RESUME_EMULATE,
						VP_RESUME_FIXUP };
	enum vp_resume rule = rules[d->rule++ % 3];

	return rule == VP_RESUME_EMULATE && !v->emulate ? VP_RESUME_FIXUP : rule;
}

/* Fill the batch, and note in `installed` what it will leave behind. */
static size_t make_batch(struct demo *d)
{
	size_t n =
		random_below(d, ALL_SITES_ONCE) ? 1 + random_below(d, BATCH_MAX) : d->guest.nsites;

	memcpy(d->before, d->installed, d->guest.nsites);
	choose_sites(d, n);
	for (size_t i = 0; i < n; i++) {
		const struct tg_site *s = &d->guest.sites[d->order[i]];
		uint8_t *version = &d->installed[d->order[i]];
		const struct tg_version *old = &s->version[*version];

		*version =
			(uint8_t)((*version + 1 + random_below(d, s->versions - 1u)) % s->versions);
		d->batch[i] = (struct vp_site){ .addr = VP_GVA(s->addr), .len = s->len };
		memcpy(d->batch[i].old_bytes, old->bytes, s->len);
		memcpy(d->batch[i].new_bytes, s->version[*version].bytes, s->len);
		d->batch[i].resume = next_rule(d, &s->version[*version]);
		d->batch[i].fixup = VP_GVA(s->version[*version].fixup);
	}
	return n;
}

static void scribble(struct demo *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vp_demo_guest_scribble(&d->guest, d->order[i], d->installed[d->order[i]]);
}

/* Take back the newest batch. */
static int revert(struct demo *d, struct vp_poke_result *r, struct vp_err *err)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;

	opts.strategy = d->cfg->strategy;
	opts.timeout_ms = ANSWER_MS;
	memcpy(d->installed, d->before, d->guest.nsites);
	d->res->reverts++;
	return vp_revert(d->engine, 0, &opts, r, err);
}

static int apply(struct demo *d, size_t n, struct vp_poke_result *r, struct vp_err *err)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;

	opts.strategy = d->cfg->strategy;
	opts.timeout_ms = ANSWER_MS;
	opts.note = "demo";
	return vp_poke(d->engine, d->batch, n, &opts, r, err);
}

/* Batch number @i, timed. The time does not include choosing its sites. */
static int one_batch(struct demo *d, uint64_t i, struct vp_err *err)
{
	bool back = !d->cfg->naive && i % REVERT_EVERY == REVERT_EVERY - 1;
	size_t n = back ? 0 : make_batch(d);
	struct vp_poke_result r = { .sites = n };
	double start = now_us();
	int rc = 0;

	if (d->cfg->naive)
		scribble(d, n);
	else
		rc = back ? revert(d, &r, err) : apply(d, n, &r, err);
	d->us[i] = now_us() - start;
	if (rc)
		return rc;
	d->res->pokes++;
	d->res->sites += r.sites;
	return 0;
}

static void show_progress(struct demo *d, double *last)
{
	struct vp_demo_counts c;
	double now = now_us();

	if (!d->cfg->progress || now - *last < 250e3)
		return;
	*last = now;
	vp_demo_guest_count(&d->guest, &c);
	fprintf(stderr, "\r%llu of %llu batches, %llu calls, %llu wrong ",
		(unsigned long long)d->res->pokes, (unsigned long long)d->cfg->pokes,
		(unsigned long long)c.calls, (unsigned long long)c.wrong);
}

static int all_batches(struct demo *d, struct vp_err *err)
{
	double last = 0;
	int rc = 0;

	for (uint64_t i = 0; i < d->cfg->pokes && !rc; i++) {
		rc = one_batch(d, i, err);
		/* What nobody runs, nobody checks: let the guest go once round its sites. */
		if (!rc)
			rc = vp_demo_guest_run(&d->guest, d->guest.nsites, err);
		show_progress(d, &last);
	}
	if (d->cfg->progress)
		fprintf(stderr, "\r%60s\r", "");
	return rc;
}

/* S10: a vCPU more, then one of them all less, until told to stop. */
static void *hotplug_thread(void *arg)
{
	struct demo *d = arg;
	unsigned int seed = (unsigned int)d->cfg->seed;
	int rc = 0;

	while (!rc && !atomic_load(&d->hotplug_stop)) {
		unsigned int id;

		rc = vp_vm_vcpu_add(d->guest.vm, &id, &d->hotplug_err);
		if (rc)
			break;
		d->res->added++;
		/* Numbers 0 to vcpus are all there now: an added one gets the lowest free. */
		id = (unsigned int)rand_r(&seed) % (d->cfg->vcpus + 1);
		rc = vp_vm_vcpu_remove(d->guest.vm, id, REMOVE_WAIT_MS, false, &d->hotplug_err);
		d->res->removed += !rc;
	}
	d->hotplug_rc = rc;
	return NULL;
}

/* The batches, with or without the hotplug thread beside them. */
static int run_batches(struct demo *d, struct vp_err *err)
{
	int rc;

	if (!d->cfg->hotplug)
		return all_batches(d, err);
	rc = -pthread_create(&d->hotplug, NULL, hotplug_thread, d);
	if (rc)
		return vp_err_set(err, rc, "no thread for --hotplug: %s", strerror(-rc));
	rc = all_batches(d, err);
	atomic_store(&d->hotplug_stop, true);
	pthread_join(d->hotplug, NULL);
	if (!rc && d->hotplug_rc)
		rc = vp_err_set(err, d->hotplug_rc, "--hotplug: %s", d->hotplug_err.text);
	return rc;
}

static int compare_us(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(struct demo *d)
{
	size_t n = d->res->pokes;

	if (!n)
		return;
	qsort(d->us, n, sizeof(*d->us), compare_us);
	d->res->median_us = d->us[n / 2];
	d->res->p99_us = d->us[n - 1 - n / 100];
	d->res->max_us = d->us[n - 1];
}

static void copy_wrongs(struct demo *d)
{
	const struct tg_shared *sh = d->guest.shared;
	uint32_t n = __atomic_load_n(&sh->wrongs, __ATOMIC_ACQUIRE);

	d->res->nwrong_first = n < TG_WRONGS_MAX ? n : TG_WRONGS_MAX;
	for (size_t i = 0; i < d->res->nwrong_first; i++) {
		struct tg_wrong *w = &d->res->wrong_first[i];

		*w = sh->wrong[i];
		if (w->site < d->guest.nsites)
			memcpy(d->res->wrong_site[i], d->guest.sites[w->site].name, 16);
	}
}

/* Everything that must hold; the first that does not is named, if nothing failed before. */
static void judge(struct demo *d, int rc, const struct vp_err *err)
{
	struct vp_demo_result *r = d->res;
	const struct vp_demo_counts *c = &r->counts;
	const char *why = rc	     ? err->text
			  : c->wrong ? "calls behaved like no version of their site"
			  : c->own_int3 != c->own_int3_seen ? "int3s of the guest were lost"
			  : !c->own_int3		    ? "the guest made no int3 of its own"
			  : c->idle_vcpus		    ? "a vCPU made no call"
			  : r->pokes != d->cfg->pokes	    ? "not all batches were applied"
			  : r->changed_sites ? "a site does not hold what was installed last"
					     : "";

	r->ok = !*why;
	snprintf(r->error, sizeof(r->error), "%s", why);
}

static int demo_alloc(struct demo *d, struct vp_err *err)
{
	size_t n = d->guest.nsites;

	d->installed = calloc(n, 1);
	d->before = calloc(n, 1);
	d->order = calloc(n, sizeof(*d->order));
	d->batch = calloc(n, sizeof(*d->batch));
	d->us = calloc(d->cfg->pokes, sizeof(*d->us));
	if (!d->installed || !d->before || !d->order || !d->batch || !d->us)
		return vp_err_set(err, -ENOMEM, "out of memory for %llu batches",
				  (unsigned long long)d->cfg->pokes);
	for (size_t i = 0; i < n; i++)
		d->order[i] = i;
	return 0;
}

static void demo_free(struct demo *d)
{
	vp_demo_guest_free(&d->guest);
	free(d->installed);
	free(d->before);
	free(d->order);
	free(d->batch);
	free(d->us);
}

/* What there is to know when the workers rest, or have died. */
static void collect(struct demo *d)
{
	struct vp_demo_result *r = d->res;

	vp_demo_guest_count(&d->guest, &r->counts);
	vp_engine_stats(d->engine, &r->stats);
	r->syncs = r->stats.syncs;
	copy_wrongs(d);
	for (size_t i = 0; i < d->guest.nsites; i++)
		r->changed_sites += !vp_demo_guest_holds(&d->guest, i, d->installed[i]);
	measure(d);
}

int vp_demo_run(const struct vp_demo_config *cfg, struct vp_demo_result *res, struct vp_err *err)
{
	struct demo d = { .cfg = cfg, .res = res, .random = cfg->seed ? cfg->seed : 1 };
	struct vp_err why = { "" };
	double start;
	int rc = vp_demo_guest_boot(cfg, &d.guest, err);

	*res = (struct vp_demo_result){ 0 };
	if (rc)
		return rc;
	rc = demo_alloc(&d, err);
	if (rc) {
		demo_free(&d);
		return rc;
	}
	d.engine = vp_vm_engine(d.guest.vm);
	res->route = vp_vm_route(d.guest.vm);
	res->serializer = vp_local_target(vp_vm_local(d.guest.vm))->serializer;
	start = now_us();
	rc = run_batches(&d, &why);
	res->seconds = (now_us() - start) / 1e6;
	if (rc != -ESRCH) {
		struct vp_err rest = { "" };
		int rest_rc = vp_demo_guest_quiesce(&d.guest, &rest);

		if (!rc && rest_rc) {
			rc = rest_rc;
			why = rest;
		}
	}
	collect(&d);
	judge(&d, rc, &why);
	demo_free(&d);
	return 0;
}
