/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's result, for machines and for people. */
#include <stdio.h>

#include "cli/demo.h"

typedef unsigned long long ull;

/* What makes every vCPU see the new bytes: the stop strategy and the naive writer do without
 * sync(). */
static const char *serializer(const struct vp_demo_config *cfg, const struct vp_demo_result *res)
{
	return cfg->naive ? "none" : cfg->strategy == VP_STRATEGY_STOP ? "stop" : res->serializer;
}

static json_t *hex(uint64_t value)
{
	return json_sprintf("0x%llx", (ull)value);
}

static json_t *wrong_list(const struct vp_demo_result *res)
{
	json_t *list = json_array();

	for (size_t i = 0; i < res->nwrong_first; i++) {
		const struct tg_wrong *w = &res->wrong_first[i];
		json_t *entry =
			json_pack("{ss si}", "site", res->wrong_site[i], "vcpu", (int)w->vcpu);

		if (w->vector == TG_NO_VECTOR) {
			json_object_set_new(entry, "value", hex(w->value));
		} else {
			json_object_set_new(entry, "exception", json_integer((int)w->vector));
			json_object_set_new(entry, "rip", hex(w->rip));
		}
		json_array_append_new(list, entry);
	}
	return list;
}

static json_t *bp_exits(const struct vp_poke_stats *s)
{
	return json_pack("{sI sI sI sI sI}", "fixup", (json_int_t)s->bp_exits.fixup, "emulate",
			 (json_int_t)s->bp_exits.emulate, "park", (json_int_t)s->bp_exits.park,
			 "late", (json_int_t)s->bp_exits.late, "foreign",
			 (json_int_t)s->bp_exits.foreign);
}

json_t *vp_demo_json(const struct vp_demo_config *cfg, const struct vp_demo_result *res)
{
	const struct vp_demo_counts *c = &res->counts;
	json_t *out = json_pack(
		"{sb si ss ss ss sI sI sI sI sI sI so s{sf sf sf} sb sI sf sI sI so}", "ok",
		res->ok, "vcpus", (int)cfg->vcpus, "strategy", vp_strategy_name(cfg->strategy),
		"trap_route", vp_route_name(res->route), "serializer", serializer(cfg, res),
		"pokes", (json_int_t)res->pokes, "sites", (json_int_t)res->sites, "calls",
		(json_int_t)c->calls, "wrong", (json_int_t)c->wrong, "own_int3",
		(json_int_t)c->own_int3, "own_int3_seen", (json_int_t)c->own_int3_seen, "bp_exits",
		bp_exits(&res->stats), "poke_us", "median", res->median_us, "p99", res->p99_us,
		"max", res->max_us, "naive", cfg->naive, "seed", (json_int_t)cfg->seed, "seconds",
		res->seconds, "syncs", (json_int_t)res->syncs, "reverts", (json_int_t)res->reverts,
		"wrong_first", wrong_list(res));

	if (cfg->hotplug)
		json_object_set_new(out, "hotplug",
				    json_pack("{sI sI}", "added", (json_int_t)res->added, "removed",
					      (json_int_t)res->removed));
	if (!res->ok)
		json_object_set_new(out, "error", json_string(res->error));
	return out;
}

static void print_wrongs(const struct vp_demo_result *res)
{
	for (size_t i = 0; i < res->nwrong_first; i++) {
		const struct tg_wrong *w = &res->wrong_first[i];

		printf("  wrong      %s on vCPU %u: ", res->wrong_site[i], w->vcpu);
		if (w->vector == TG_NO_VECTOR)
			printf("returned 0x%llx\n", (ull)w->value);
		else
			printf("exception %llu at 0x%llx\n", (ull)w->vector, (ull)w->rip);
	}
}

void vp_demo_print(const struct vp_demo_config *cfg, const struct vp_demo_result *res)
{
	const struct vp_demo_counts *c = &res->counts;
	const struct vp_poke_stats *s = &res->stats;

	printf("%u vCPUs, %s, trap route %s, serializer %s, seed %llu\n", cfg->vcpus,
	       cfg->naive ? "naive stores" : vp_strategy_name(cfg->strategy),
	       vp_route_name(res->route), serializer(cfg, res), (ull)cfg->seed);
	printf("  batches    %llu (%llu of them reverts), %llu site writes, %llu syncs, %.1f s\n",
	       (ull)res->pokes, (ull)res->reverts, (ull)res->sites, (ull)res->syncs, res->seconds);
	printf("  batch      %.0f us median, %.0f us p99, %.0f us max\n", res->median_us,
	       res->p99_us, res->max_us);
	printf("  calls      %llu, %llu wrong\n", (ull)c->calls, (ull)c->wrong);
	printf("  own int3   %llu, %llu seen by the guest\n", (ull)c->own_int3,
	       (ull)c->own_int3_seen);
	printf("  #BP exits  %llu fixup, %llu emulate, %llu park, %llu late, %llu foreign\n",
	       (ull)s->bp_exits.fixup, (ull)s->bp_exits.emulate, (ull)s->bp_exits.park,
	       (ull)s->bp_exits.late, (ull)s->bp_exits.foreign);
	if (cfg->hotplug)
		printf("  hotplug    %llu vCPUs added, %llu removed\n", (ull)res->added,
		       (ull)res->removed);
	print_wrongs(res);
	if (res->ok && cfg->naive)
		printf("inconclusive: nothing went wrong this time; try more --pokes\n");
	else if (res->ok)
		printf("ok: every call behaved like a version that was installed\n");
	else
		printf("NOT ok: %s\n", res->error);
}
