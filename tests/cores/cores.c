/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrite code that real cores execute: the test guest with its workers at CPL 3 (guest/user.h),
 *the real engine and target, and the trap route of kvm.c. See docs/cores.md.
 *
 *	cores [--vcpus N] [--sites N] [--seed N] [--serializer kick|kick-membarrier|membarrier]
 *	      [--naive] [--until-wrong]
 *
 * Prints one JSON object. Exit code 0: it ran to its end, whatever was wrong then.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cli/demo.h"

#define REVERT_EVERY 3 /* one batch of so many takes back the one before */
#define ANSWER_MS    60000
#define SPINS	     1000

struct cores {
	uint64_t sites_goal;
	bool naive, until_wrong;
	enum vp_serializer serializer;
	uint64_t random;
	struct vp_demo_guest guest;
	struct vp_engine *engine;
	uint8_t *installed, *before; /* version at each site; the same before the newest batch */
	size_t *order;		     /* a permutation of the sites; a batch is its beginning */
	struct vp_site *batch;
	double calls_per_second; /* of all vCPUs, while nobody pokes */
	uint64_t batches, reverts, sites, syncs;
	double seconds;
};

/* xorshift64*: the same seed gives the same batches. */
static uint64_t random_below(struct cores *c, uint64_t limit)
{
	c->random ^= c->random >> 12;
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return ((c->random * 0x2545f4914f6cdd1d) >> 32) % limit;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* --- batches ----------------------------------------------------------------- */

static void make_site(struct cores *c, size_t site, struct vp_site *out)
{
	const struct tg_site *s = &c->guest.sites[site];
	unsigned int was = c->installed[site];
	unsigned int is = (was + 1 + (unsigned int)random_below(c, s->versions - 1u)) % s->versions;

	c->installed[site] = (uint8_t)is;
	*out = (struct vp_site){
		.addr = VP_GVA(s->addr),
		.len = s->len,
		.fixup = VP_GVA(s->version[is].fixup),
	};
	memcpy(out->old_bytes, s->version[was].bytes, s->len);
	memcpy(out->new_bytes, s->version[is].bytes, s->len);
	switch (random_below(c, 3)) {
	case 0:
		out->resume = VP_RESUME_PARK;
		break;
	case 1:
		out->resume = VP_RESUME_FIXUP;
		break;
	default:
		out->resume = s->version[is].emulate ? VP_RESUME_EMULATE : VP_RESUME_PARK;
	}
}

/* All sites, or in one batch of eight some. Returns how many. */
static size_t make_batch(struct cores *c)
{
	size_t all = c->guest.nsites;
	size_t n = random_below(c, 8) ? all : 1 + random_below(c, all);

	memcpy(c->before, c->installed, all);
	for (size_t i = 0; i < n; i++) {
		size_t j = i + random_below(c, all - i);
		size_t site = c->order[j];

		c->order[j] = c->order[i];
		c->order[i] = site;
		make_site(c, site, &c->batch[i]);
	}
	return n;
}

static int one_batch(struct cores *c, struct vp_err *err)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	struct vp_poke_result r = { 0 };
	int rc;

	opts.timeout_ms = ANSWER_MS;
	if (c->naive) {
		r.sites = make_batch(c);
		for (size_t i = 0; i < r.sites; i++)
			vp_demo_guest_scribble(&c->guest, c->order[i], c->installed[c->order[i]]);
		rc = 0;
	} else if (c->batches % REVERT_EVERY == REVERT_EVERY - 1) {
		memcpy(c->installed, c->before, c->guest.nsites);
		c->reverts++;
		rc = vp_revert(c->engine, 0, &opts, &r, err);
	} else {
		size_t n = make_batch(c);

		rc = vp_poke(c->engine, c->batch, n, &opts, &r, err);
	}
	c->batches++;
	c->sites += r.sites;
	c->syncs += r.syncs;
	return rc;
}

static struct vp_demo_counts count(struct cores *c)
{
	struct vp_demo_counts counts;

	vp_demo_guest_count(&c->guest, &counts);
	return counts;
}

/* What nobody runs, nobody checks: let the guest go once round its sites. */
static int go_round(struct cores *c, struct vp_err *err)
{
	uint64_t goal = count(c).calls + c->guest.nsites;

	/* On another core that takes no time; giving up this one would take a time slice. */
	for (unsigned int i = 0; i < SPINS; i++)
		if (count(c).calls >= goal)
			return vp_demo_guest_alive(&c->guest, err);
	return vp_demo_guest_run(&c->guest, c->guest.nsites, err);
}

static int all_batches(struct cores *c, struct vp_err *err)
{
	double start = now();
	int rc = 0;

	while (!rc && c->sites < c->sites_goal && !(c->until_wrong && count(c).wrong)) {
		rc = one_batch(c, err);
		if (!rc)
			rc = go_round(c, err);
	}
	c->seconds = now() - start;
	return rc;
}

/* --- report ------------------------------------------------------------------ */

static json_t *wrong_json(struct cores *c)
{
	const struct tg_shared *sh = c->guest.shared;
	uint32_t n = __atomic_load_n(&sh->wrongs, __ATOMIC_ACQUIRE);
	json_t *list = json_array();

	for (uint32_t i = 0; i < n && i < TG_WRONGS_MAX; i++) {
		const struct tg_wrong *w = &sh->wrong[i];
		const char *name = w->site < c->guest.nsites ? c->guest.sites[w->site].name : "?";

		json_array_append_new(list,
				      json_pack("{s:s#, s:i, s:I, s:I, s:I}", "site", name,
						(int)strnlen(name, 16), "vcpu", w->vcpu, "value",
						w->value, "vector", w->vector, "rip", w->rip));
	}
	return list;
}

static void report(struct cores *c, const struct vp_err *err)
{
	struct vp_demo_counts n = count(c);
	struct vp_local_counts local;
	struct vp_poke_stats s;
	int changed = 0;
	json_t *j;

	for (size_t i = 0; i < c->guest.nsites; i++)
		changed += !vp_demo_guest_holds(&c->guest, i, c->installed[i]);
	vp_engine_stats(c->engine, &s);
	j = json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:f, s:I, s:o, s:I, s:I, s:i, s:i,"
		" s:{s:I, s:I, s:I, s:I, s:I}}",
		"error", err->text, "serializer",
		vp_local_target(vp_vm_local(c->guest.vm))->serializer, "batches", c->batches,
		"reverts", c->reverts, "sites", c->sites, "syncs", c->syncs, "seconds", c->seconds,
		"cpu_seconds", cpu_seconds(), "calls", n.calls, "calls_per_second",
		c->calls_per_second, "wrong", n.wrong, "wrong_first", wrong_json(c), "own_int3",
		n.own_int3, "own_int3_seen", n.own_int3_seen, "idle_vcpus", n.idle_vcpus,
		"changed_sites", changed, "bp_exits", "fixup", s.bp_exits.fixup, "emulate",
		s.bp_exits.emulate, "park", s.bp_exits.park, "late", s.bp_exits.late, "foreign",
		s.bp_exits.foreign);
	vp_local_stats(vp_vm_local(c->guest.vm), &local);
	json_object_set_new(j, "kicks", json_integer((json_int_t)local.kicks));
	json_object_set_new(j, "membarriers", json_integer((json_int_t)local.barriers));
	json_dumpf(j, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(j);
}

/* --- all of it --------------------------------------------------------------- */

static void measure_speed(struct cores *c)
{
	const struct timespec nap = { .tv_nsec = 500000000 };
	uint64_t calls = count(c).calls;
	double start = now();

	nanosleep(&nap, NULL);
	c->calls_per_second = (double)(count(c).calls - calls) / (now() - start);
}

static int cores_alloc(struct cores *c, struct vp_err *err)
{
	size_t n = c->guest.nsites;

	c->installed = calloc(n, 1);
	c->before = calloc(n, 1);
	c->order = calloc(n, sizeof(*c->order));
	c->batch = calloc(n, sizeof(*c->batch));
	if (!c->installed || !c->before || !c->order || !c->batch)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		c->order[i] = i;
	return 0;
}

static int run(struct cores *c, unsigned int vcpus, struct vp_err *err)
{
	struct vp_demo_config cfg = { .vcpus = vcpus, .serializer = c->serializer };
	int rc = vp_demo_guest_boot(&cfg, &c->guest, err);

	if (rc)
		return rc;
	rc = cores_alloc(c, err);
	if (!rc) {
		c->engine = vp_vm_engine(c->guest.vm);
		measure_speed(c);
		rc = all_batches(c, err);
		if (!rc)
			rc = vp_demo_guest_quiesce(&c->guest, err);
		report(c, err);
	}
	vp_demo_guest_free(&c->guest);
	free(c->installed);
	free(c->before);
	free(c->order);
	free(c->batch);
	return rc;
}

/* AUTO: there is no such serializer. */
static enum vp_serializer serializer_of(const char *name)
{
	enum vp_serializer s = VP_SERIALIZER_MEMBARRIER;

	while (s != VP_SERIALIZER_AUTO && strcmp(name, vp_serializer_name(s)) != 0)
		s--;
	return s;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "vcpus", required_argument, NULL, 'v' },
		{ "sites", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "serializer", required_argument, NULL, 'z' },
		{ "naive", no_argument, NULL, 'n' },
		{ "until-wrong", no_argument, NULL, 'u' },
		{ 0 },
	};
	struct cores c = { .sites_goal = 10000, .random = 1 };
	unsigned int vcpus = 2;
	struct vp_err err = { "" };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'v':
			vcpus = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 's':
			c.sites_goal = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			c.random = strtoull(optarg, NULL, 0) | 1ull << 32;
			break;
		case 'z':
			c.serializer = serializer_of(optarg);
			if (c.serializer == VP_SERIALIZER_AUTO)
				return 2;
			break;
		case 'n':
			c.naive = true;
			break;
		case 'u':
			c.until_wrong = true;
			break;
		default:
			return 2;
		}
	}
	if (run(&c, vcpus, &err)) {
		fprintf(stderr, "cores: %s\n", err.text);
		return 1;
	}
	return 0;
}
