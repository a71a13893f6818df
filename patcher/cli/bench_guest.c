/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of the bench, seen from the host. It runs meanwhile, so what it writes is loaded
 * atomically.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/bench.h"

#define ANSWER_MS 60000 /* for hosts with far more vCPUs than cores */
#define WAIT_US	  30e6

extern const uint8_t vp_benchguest_start[], vp_benchguest_end[];

const struct vp_bench_way vp_bench_ways[] = {
	{ "kick", VP_STRATEGY_INT3, VP_SERIALIZER_KICK },
	{ "kick-membarrier", VP_STRATEGY_INT3, VP_SERIALIZER_KICK_MEMBARRIER },
	{ "membarrier", VP_STRATEGY_INT3, VP_SERIALIZER_MEMBARRIER },
	{ "stop", VP_STRATEGY_STOP, VP_SERIALIZER_AUTO },
	{ NULL, VP_STRATEGY_INT3, VP_SERIALIZER_AUTO },
};

_Static_assert(sizeof(vp_bench_ways) / sizeof(vp_bench_ways[0]) == VP_BENCH_WAYS_MAX,
	       "VP_BENCH_WAYS_MAX");

static const uint8_t nop[TB_SITE_LEN] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
static const uint8_t jmp[TB_SITE_LEN] = { 0xe9, 0x00, 0x00, 0x00, 0x00 };

double vp_bench_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

void vp_bench_nap_us(double us)
{
	const struct timespec nap = { .tv_sec = (time_t)(us / 1e6),
				      .tv_nsec = (long)(us * 1e3) % 1000000000 };

	nanosleep(&nap, NULL);
}

static uint64_t load(const volatile uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* --- a guest --------------------------------------------------------------------- */

static int find(struct vp_bench_guest *g, const char *name, size_t len, vp_gva *addr, void **hva,
		struct vp_err *err)
{
	int rc = vp_symtab_find(vp_vm_symbols(g->vm), name, addr, err);

	if (rc)
		return rc;
	*hva = vp_vm_image_hva(g->vm, *addr, len);
	return *hva ? 0 : vp_err_set(err, -ENOEXEC, "the bench's guest: no %s", name);
}

int vp_bench_guest_alive(const struct vp_bench_guest *g, struct vp_err *err)
{
	struct vp_vm_status st;

	if (!vp_vm_wait(g->vm, 0, &st))
		return 0;
	return vp_err_set(err, -ESRCH, "the bench's guest ended, code 0x%x: %s", st.code, st.text);
}

/* Until each vCPU's @counter is at least @least, or above what it was if that is 0. */
static int wait_for(struct vp_bench_guest *g, size_t counter, uint64_t least, struct vp_err *err)
{
	double end = vp_bench_now_us() + WAIT_US;
	uint64_t was[VP_VCPU_MAX];
	unsigned int ready;

	for (unsigned int i = 0; i < g->nvcpus; i++)
		was[i] = load((const volatile uint64_t *)&g->vcpus[i] + counter) + 1;
	do {
		int rc = vp_bench_guest_alive(g, err);

		if (rc)
			return rc;
		ready = 0;
		for (unsigned int i = 0; i < g->nvcpus; i++)
			ready += load((const volatile uint64_t *)&g->vcpus[i] + counter) >=
				 (least ? least : was[i]);
		if (ready == g->nvcpus)
			return 0;
		vp_bench_nap_us(100);
	} while (vp_bench_now_us() < end);
	return vp_err_set(err, -ETIMEDOUT, "a vCPU of the bench's guest made no progress");
}

#define COUNTER(member) (offsetof(struct tb_vcpu, member) / sizeof(uint64_t))

/* Twice: a vCPU that was held between its look at the clock and that for a reset has an old time.
 */
int vp_bench_gaps_reset(struct vp_bench_guest *g, struct vp_err *err)
{
	int rc = 0;

	for (int i = 0; !rc && i < 2; i++) {
		uint32_t reset = g->shared->reset + 1;

		__atomic_store_n(&g->shared->reset, reset, __ATOMIC_RELEASE);
		rc = wait_for(g, COUNTER(reset), reset, err);
	}
	return rc;
}

int vp_bench_all_run(struct vp_bench_guest *g, struct vp_err *err)
{
	return wait_for(g, COUNTER(rounds), 0, err);
}

double vp_bench_gap(const struct vp_bench_guest *g, unsigned int vcpu)
{
	return (double)load(&g->vcpus[vcpu].longest) / g->tsc_per_us;
}

uint64_t vp_bench_rounds(const struct vp_bench_guest *g)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < g->nvcpus; i++)
		sum += load(&g->vcpus[i].rounds);
	return sum;
}

/* How fast the guest's own clock is: two looks at it, and at ours, far enough from each other. */
static int measure_clock(struct vp_bench_guest *g, struct vp_err *err)
{
	double first = vp_bench_now_us();
	uint64_t tsc = load(&g->vcpus[0].last_tsc);
	int rc;

	do {
		vp_bench_nap_us(100e3);
		rc = wait_for(g, COUNTER(rounds), load(&g->vcpus[0].rounds) + 1, err);
	} while (!rc && load(&g->vcpus[0].last_tsc) <= tsc);
	if (!rc)
		g->tsc_per_us =
			(double)(load(&g->vcpus[0].last_tsc) - tsc) / (vp_bench_now_us() - first);
	return rc;
}

static int find_tables(struct vp_bench_guest *g, struct vp_err *err)
{
	void *per_vcpu = NULL, *shared = NULL, *code;
	vp_gva addr;
	int rc = find(g, "tb_vcpus", g->nvcpus * sizeof(*g->vcpus), &addr, &per_vcpu, err);

	if (!rc)
		rc = find(g, "tb_shared", sizeof(*g->shared), &addr, &shared, err);
	if (!rc)
		rc = find(g, "tb_code", TB_BLOCKS * TB_BLOCK_STRIDE, &g->code, &code, err);
	g->vcpus = per_vcpu;
	g->shared = shared;
	return rc;
}

static bool serializes_by(const struct vp_bench_guest *g, const struct vp_bench_way *way)
{
	return !way->serializer ||
	       !strcmp(vp_local_target(g->local)->serializer, vp_serializer_name(way->serializer));
}

/* -EOPNOTSUPP: a VM for this way cannot be had here. */
static int create(const struct vp_bench_config *cfg, const struct vp_bench_way *way,
		  struct vp_bench_guest *g, struct vp_err *err)
{
	struct vp_vm_config vm_cfg = {
		.name = "bench",
		.kvm_path = cfg->kvm_path,
		.image = vp_benchguest_start,
		.image_len = (size_t)(vp_benchguest_end - vp_benchguest_start),
		.image_what = "the bench's guest",
		.vcpus = g->nvcpus,
		.serializer = way->serializer,
		.console_fd = -1,
	};
	int rc = vp_vm_create(&vm_cfg, &g->vm, err);

	if (rc)
		return rc;
	g->local = vp_vm_local(g->vm);
	g->engine = vp_vm_engine(g->vm);
	if (!serializes_by(g, way))
		return vp_err_set(err, -EOPNOTSUPP, "a VM has serializer %s here",
				  vp_local_target(g->local)->serializer);
	if (way->strategy == VP_STRATEGY_INT3 && vp_vm_route(g->vm) == VP_ROUTE_NONE)
		return vp_err_set(err, -EOPNOTSUPP, "this KVM reports no int3");
	return 0;
}

/* Its page tables never change, as those that Linux maps its own text by: no vCPU is asked. */
static int keep_space(struct vp_bench_guest *g, struct vp_err *err)
{
	struct vp_target *t = vp_local_target(g->local);
	struct vp_vcpu_state state = { 0 };
	int rc = t->ops->lock(t, err);

	if (rc)
		return rc;
	rc = t->ops->hold(t, -1, &state, err);
	if (!rc)
		t->ops->release(t);
	t->ops->unlock(t);
	g->space = state.paging;
	return rc;
}

static int boot(const struct vp_bench_config *cfg, const struct vp_bench_way *way,
		unsigned int vcpus, struct vp_bench_guest *g, struct vp_err *err)
{
	int rc;

	g->nvcpus = vcpus;
	rc = create(cfg, way, g, err);
	if (!rc)
		rc = find_tables(g, err);
	if (!rc)
		rc = vp_vm_start(g->vm, err);
	if (!rc)
		rc = wait_for(g, COUNTER(rounds), 1, err);
	if (!rc)
		rc = keep_space(g, err);
	return rc ? rc : measure_clock(g, err);
}

/* --- one for each way ---------------------------------------------------------------- */

static void guest_free(struct vp_bench_guest *g)
{
	if (g)
		vp_vm_destroy(g->vm);
	free(g);
}

/* A guest for way @i; one that is there already, if it will do. It is held. */
static int guest_for(const struct vp_bench_config *cfg, struct vp_bench_guests *all, size_t i,
		     struct vp_err *err)
{
	const struct vp_bench_way *way = &vp_bench_ways[i];
	struct vp_bench_guest *g;
	int rc;

	for (size_t k = 0; k < i; k++)
		if (all->of[k] && serializes_by(all->of[k], way)) {
			all->of[i] = all->of[k];
			return 0;
		}
	g = calloc(1, sizeof(*g));
	if (!g)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = boot(cfg, way, all->nvcpus, g, err);
	if (!rc)
		rc = vp_local_pause(g->local, ANSWER_MS, err);
	if (!rc)
		all->of[i] = g;
	else
		guest_free(g);
	return rc;
}

int vp_bench_guests_boot(const struct vp_bench_config *cfg, unsigned int vcpus,
			 struct vp_bench_guests *out, struct vp_err *err)
{
	bool any = false;

	*out = (struct vp_bench_guests){ .nvcpus = vcpus };
	for (size_t i = 0; vp_bench_ways[i].name; i++) {
		struct vp_err why = { "" };
		int rc = guest_for(cfg, out, i, &why);

		any |= !rc;
		snprintf(out->why[i], sizeof(out->why[i]), "%s", why.text);
		if (rc && rc != -EOPNOTSUPP) {
			vp_bench_guests_free(out);
			return vp_err_set(err, rc, "%s", why.text);
		}
	}
	return any ? 0 : vp_err_set(err, -EOPNOTSUPP, "%s", out->why[0]);
}

void vp_bench_guests_free(struct vp_bench_guests *all)
{
	for (size_t i = 0; i < VP_BENCH_WAYS_MAX; i++) {
		struct vp_bench_guest *g = all->of[i];

		for (size_t k = i; k < VP_BENCH_WAYS_MAX; k++)
			if (all->of[k] == g)
				all->of[k] = NULL;
		guest_free(g);
	}
}

int vp_bench_guest_run(struct vp_bench_guests *all, struct vp_bench_guest *g, unsigned int sites,
		       struct vp_err *err)
{
	unsigned int blocks = (sites + TB_BLOCK_SITES - 1) / TB_BLOCK_SITES;
	int rc = 0;

	for (size_t i = 0; !rc && i < VP_BENCH_WAYS_MAX; i++)
		if (all->of[i] && all->of[i] != g)
			rc = vp_local_pause(all->of[i]->local, ANSWER_MS, err);
	if (rc)
		return rc;
	__atomic_store_n(&g->shared->blocks, blocks, __ATOMIC_RELEASE);
	__atomic_store_n(&g->shared->extra, TB_NOTHING, __ATOMIC_RELEASE);
	vp_local_cont(g->local);
	return vp_bench_gaps_reset(g, err); /* each of them runs */
}

/* --- its sites -------------------------------------------------------------------------- */

static vp_gva site_at(const struct vp_bench_guest *g, unsigned int i)
{
	return VP_GVA(g->code.v + i / TB_BLOCK_SITES * TB_BLOCK_STRIDE +
		      i % TB_BLOCK_SITES * TB_SITE_STRIDE);
}

static void make_site(const struct vp_bench_guest *g, unsigned int i, enum vp_resume resume,
		      struct vp_site *out)
{
	vp_gva at = site_at(g, i);

	*out = (struct vp_site){
		.addr = at,
		.len = TB_SITE_LEN,
		.resume = resume,
		.fixup = VP_GVA(at.v + TB_SITE_LEN),
	};
	memcpy(out->old_bytes, g->jmp[i] ? jmp : nop, TB_SITE_LEN);
	memcpy(out->new_bytes, g->jmp[i] ? nop : jmp, TB_SITE_LEN);
}

int vp_bench_poke(struct vp_bench_guest *g, const struct vp_bench_way *way,
		  const struct vp_bench_batch *batch, double *us, struct vp_err *err)
{
	struct vp_site *sites = calloc(batch->n, sizeof(*sites));
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	double start;
	int rc;

	if (!sites)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < batch->n; i++)
		make_site(g, batch->first + i, batch->resume, &sites[i]);
	opts.strategy = way->strategy;
	opts.timeout_ms = ANSWER_MS;
	opts.note = "bench";
	opts.space = &g->space;
	opts.phase = batch->phase;
	opts.phase_arg = batch->arg;
	start = vp_bench_now_us();
	rc = vp_poke(g->engine, sites, batch->n, &opts, NULL, err);
	if (us)
		*us = vp_bench_now_us() - start;
	for (unsigned int i = 0; !rc && i < batch->n; i++)
		g->jmp[batch->first + i] ^= 1;
	free(sites);
	return rc;
}

int vp_bench_guest_restore(struct vp_bench_guest *g, struct vp_err *err)
{
	const struct vp_bench_way stop = { "stop", VP_STRATEGY_STOP, VP_SERIALIZER_AUTO };
	int rc = 0;

	for (unsigned int i = 0; !rc && i < TB_SITES;) {
		struct vp_bench_batch b = { .first = i, .n = 0, .resume = VP_RESUME_PARK };

		while (i < TB_SITES && g->jmp[i])
			i++, b.n++;
		if (b.n)
			rc = vp_bench_poke(g, &stop, &b, NULL, err);
		i++;
	}
	for (unsigned int i = 0; !rc && i < TB_SITES; i++) {
		const uint8_t *bytes = vp_vm_image_hva(g->vm, site_at(g, i), TB_SITE_LEN);

		if (!bytes || memcmp(bytes, nop, TB_SITE_LEN) != 0)
			rc = vp_err_set(err, -EIO, "site %u is not as it was", i);
	}
	return rc;
}
