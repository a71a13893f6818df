/* SPDX-License-Identifier: Apache-2.0 */
/* What is worth comparing: figures of one run, side by side, whatever the machine. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench_doc.h"

#define SAME NAN /* a place */

/* One figure over another; NULL and SAME: as it is in the first one, which may be any there. */
struct side {
	const char *way, *name;
	double x;
};

static const struct rule {
	const char *group;
	struct side this, that;
	const char *stat;
} rules[] = {
	{ "sync", { "membarrier", NULL, SAME }, { "kick", NULL, SAME }, "p99" },
	{ "sync", { "kick-membarrier", NULL, SAME }, { "kick", NULL, SAME }, "p99" },
	{ "latency", { "membarrier", NULL, SAME }, { "kick", NULL, SAME }, "median" },
	{ "latency", { "membarrier", NULL, SAME }, { "kick", NULL, SAME }, "p99" },
	{ "sites", { NULL, NULL, 1000 }, { NULL, NULL, 1 }, "median" },
	{ "exits", { NULL, "#BP: fixup", SAME }, { NULL, "out", SAME }, "median" },
	{ "exits", { NULL, "#BP: emulate", SAME }, { NULL, "out", SAME }, "median" },
	{ "exits", { NULL, "#BP: the guest's own", SAME }, { NULL, "out", SAME }, "median" },
	{ "demo-median", { "this", NULL, SAME }, { "other", NULL, SAME }, "median" },
	{ "demo-p99", { "this", NULL, SAME }, { "other", NULL, SAME }, "median" },
	{ "command-pause", { "vmpoke", NULL, SAME }, { "gdb", NULL, SAME }, "median" },
	{ "command-wall", { "vmpoke", NULL, SAME }, { "gdb", NULL, SAME }, "median" },
};

static const char *text(const json_t *f, const char *key)
{
	return json_string_value(json_object_get(f, key));
}

static bool is_of(const json_t *f, const struct rule *r)
{
	const struct side *s = &r->this;
	const char *name = text(f, "case");

	return !strcmp(text(f, "group"), r->group) &&
	       (!s->way || !strcmp(text(f, "way"), s->way)) &&
	       (!s->name || (name && !strcmp(name, s->name))) &&
	       (isnan(s->x) || fabs(vp_bench_number(f, "x") - s->x) < 1e-9);
}

static json_t *ratio(const json_t *doc, const json_t *f, const struct rule *r)
{
	const struct vp_bench_group *g = vp_bench_group(r->group);
	const char *way = r->that.way ? r->that.way : text(f, "way");
	const char *name = r->that.name ? r->that.name : text(f, "case");
	double x = isnan(r->that.x) ? vp_bench_number(f, "x") : r->that.x;
	const json_t *that = vp_bench_find(doc, text(f, "env"), r->group, way, x, name);
	double over = that ? vp_bench_number(that, r->stat) : 0;
	char place[2][128];

	if (!(over > 0))
		return NULL;
	if (name) {
		snprintf(place[0], sizeof(place[0]), "%s", text(f, "case"));
		snprintf(place[1], sizeof(place[1]), "%s", name);
	} else {
		snprintf(place[0], sizeof(place[0]), "%g %s", vp_bench_number(f, "x"), g->x);
		snprintf(place[1], sizeof(place[1]), "%g %s", x, g->x);
	}
	return json_pack("{s:s, s:o, s:f}", "env", text(f, "env"), "what",
			 json_sprintf("%s, %s: %s, %s / %s, %s", r->group, r->stat, text(f, "way"),
				      place[0], way, place[1]),
			 "ratio", vp_bench_number(f, r->stat) / over);
}

json_t *vp_bench_ratios(const json_t *doc)
{
	json_t *list = json_array();
	const json_t *f;
	size_t i;

	for (size_t k = 0; k < sizeof(rules) / sizeof(rules[0]); k++)
		json_array_foreach(json_object_get(doc, "figures"), i, f) if (is_of(f, &rules[k]))
		{
			json_t *one = ratio(doc, f, &rules[k]);

			if (one)
				json_array_append_new(list, one);
		}
	return list;
}
