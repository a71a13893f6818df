/* SPDX-License-Identifier: Apache-2.0 */
/* What a bench has found, for a terminal. What is printed may come from a file: it is made
 * harmless. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/bench.h"

static const char *text(const json_t *object, const char *key, char *out, size_t size)
{
	const char *value = json_string_value(json_object_get(object, key));

	vp_text_copy(out, size, value ? value : "");
	return out;
}

static bool belongs(const json_t *f, const char *env, const char *group)
{
	return !strcmp(json_string_value(json_object_get(f, "env")), env) &&
	       !strcmp(json_string_value(json_object_get(f, "group")), group);
}

static void print_number(FILE *to, double value)
{
	fprintf(to, value < 100 ? "%10.2f" : "%10.0f", value);
}

static void print_figure(FILE *to, const json_t *f)
{
	static const char *const columns[] = { "min", "median", "p90", "p99", "max" };
	char place[64], way[64];

	if (json_object_get(f, "case"))
		text(f, "case", place, sizeof(place));
	else
		snprintf(place, sizeof(place), "%g", vp_bench_number(f, "x"));
	fprintf(to, "  %-24s %-16s", place, text(f, "way", way, sizeof(way)));
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		print_number(to, vp_bench_number(f, columns[i]));
	fprintf(to, "%8.0f\n", vp_bench_number(f, "n"));
}

static void print_group(FILE *to, const json_t *doc, const char *env,
			const struct vp_bench_group *g)
{
	bool begun = false;
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(doc, "figures"), i, f)
	{
		if (!belongs(f, env, g->id))
			continue;
		if (!begun)
			fprintf(to, "\n %s (%s: %s)\n  %-24s %-16s%10s%10s%10s%10s%10s%8s\n",
				g->title, g->unit, g->means, g->x, "way", "min", "median", "p90",
				"p99", "max", "n");
		begun = true;
		print_figure(to, f);
	}
}

static void print_env(FILE *to, const json_t *doc, const json_t *env)
{
	const char *name = json_string_value(json_object_get(env, "name"));
	char shown[64], line[512];
	const json_t *note;
	size_t i;

	fprintf(to, "%s: %s\n", text(env, "name", shown, sizeof(shown)),
		text(env, "what", line, sizeof(line)));
	fprintf(to, "  on %s\n", text(env, "machine", line, sizeof(line)));
	fprintf(to, "  load before %s", text(env, "load", line, sizeof(line)));
	fprintf(to, "; %.0f runs: %s\n", vp_bench_number(env, "runs"),
		text(env, "command", line, sizeof(line)));
	json_array_foreach(json_object_get(env, "notes"), i, note)
	{
		vp_text_copy(line, sizeof(line), json_string_value(note));
		fprintf(to, "  note: %s\n", line);
	}
	for (const struct vp_bench_group *g = vp_bench_groups; g->id; g++)
		print_group(to, doc, name, g);
	fputc('\n', to);
}

static void print_ratios(FILE *to, const json_t *doc)
{
	json_t *ratios = vp_bench_ratios(doc);
	char env[64], what[256];
	const json_t *r;
	size_t i;

	if (json_array_size(ratios))
		fprintf(to, "Ratios, each of one run\n");
	json_array_foreach(ratios, i, r)
		fprintf(to, "  %8.3f  %-12s %s\n", vp_bench_number(r, "ratio"),
			text(r, "env", env, sizeof(env)), text(r, "what", what, sizeof(what)));
	json_decref(ratios);
}

void vp_bench_print_table(FILE *to, const json_t *doc)
{
	const json_t *env;
	size_t i;

	json_array_foreach(json_object_get(doc, "environments"), i, env) print_env(to, doc, env);
	print_ratios(to, doc);
}
