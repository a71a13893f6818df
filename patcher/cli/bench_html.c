/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bench has found, as one HTML file that needs nothing else: no script, no font, no picture
 * of another place. Every text of the document may be hostile; vp_bench_put() is the one way that
 * texts take.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/bench_plot.h"

static const char head[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	"'unsafe-inline'\">\n"
	"<title>vmpoke bench</title>\n"
	"<style>\n"
	":root{color-scheme:light "
	"dark;--fg:#1b1f24;--bg:#fff;--dim:#667;--line:#d5d9e0;--s0:#0b62c4;"
	"--s1:#b4450b;--s2:#16794a;--s3:#8a3fb5;--s4:#a1820a;--s5:#667}\n"
	"@media(prefers-color-scheme:dark){:root{--fg:#e4e8ee;--bg:#14171c;--dim:#9aa4b2;"
	"--line:#353c47;--s0:#6cb0ff;--s1:#ff9c66;--s2:#5fd39a;--s3:#cf9bff;--s4:#e3c34c;--s5:#"
	"9aa4b2"
	"}}\n"
	"body{font:15px/1.5 "
	"system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:60rem;"
	"margin:2rem auto;padding:0 1rem}\n"
	"h1,h2,h3{line-height:1.2}figure{margin:1rem "
	"0}figcaption,.dim{color:var(--dim);font-size:13px}"
	"\n"
	"code{overflow-wrap:anywhere}table{border-collapse:collapse;font-size:13px}"
	"th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid var(--line)}"
	"th:first-child,td:first-child,td.t{text-align:left}\n"
	"svg{width:100%;height:auto;max-width:44rem}svg text{fill:var(--fg);font:12px "
	"system-ui,sans-serif}\n"
	".grid{stroke:var(--line)}.l{fill:none;stroke-width:2}.q{stroke-dasharray:4 "
	"4;stroke-width:1}\n"
	".c0{stroke:var(--s0)}.c1{stroke:var(--s1)}.c2{stroke:var(--s2)}.c3{stroke:var(--s3)}"
	".c4{stroke:var(--s4)}.c5{stroke:var(--s5)}\n"
	".f0{fill:var(--s0)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(-"
	"-s4"
	")}.f5{fill:var(--s5)}\n"
	"</style></head><body>\n"
	"<h1>vmpoke bench</h1>\n";

static void put_member(FILE *to, const json_t *object, const char *key)
{
	vp_bench_put(to, json_string_value(json_object_get(object, key)));
}

static void put_runs(FILE *to, const json_t *env)
{
	fprintf(to, "; %.0f runs of <code>", vp_bench_number(env, "runs"));
	put_member(to, env, "command");
	fputs("</code>", to);
}

static void print_cells(FILE *to, const json_t *f)
{
	static const char *const columns[] = { "min", "median", "p90", "p99", "max" };

	fputs("<tr><td>", to);
	if (json_object_get(f, "case"))
		put_member(to, f, "case");
	else
		fprintf(to, "%g", vp_bench_number(f, "x"));
	fputs("</td><td class=\"t\">", to);
	put_member(to, f, "way");
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		double value = vp_bench_number(f, columns[i]);

		fprintf(to, value < 100 ? "</td><td>%.2f" : "</td><td>%.0f", value);
	}
	fprintf(to, "</td><td>%.0f</td></tr>\n", vp_bench_number(f, "n"));
}

static void print_table(FILE *to, const struct vp_bench_plot *p)
{
	fputs("<details><summary>The figures</summary><table><tr><th>", to);
	vp_bench_put(to, p->group->x);
	fputs("</th><th>way</th><th>min</th><th>median</th><th>p90</th><th>p99</th><th>max</th>"
	      "<th>n</th></tr>\n",
	      to);
	for (size_t i = 0; i < p->n; i++)
		print_cells(to, p->figures[i]);
	fputs("</table></details>\n", to);
}

static void print_group(FILE *to, const json_t *doc, const json_t *env,
			const struct vp_bench_group *g)
{
	struct vp_bench_plot p;

	if (!vp_bench_plot_begin(&p, doc, json_string_value(json_object_get(env, "name")), g))
		return;
	fputs("<h3>", to);
	vp_bench_put(to, g->title);
	fputs("</h3>\n<figure>\n", to);
	vp_bench_plot_print(to, &p);
	fputs("<figcaption>", to);
	vp_bench_put(to, g->unit);
	fputs(", ", to);
	vp_bench_put(to, g->means);
	fputs(g->x[0] ? "; lines: the median, dashed: the 99th percentile. " : "; the median. ",
	      to);
	fputs("Environment: ", to);
	put_member(to, env, "name");
	fputs(", on ", to);
	put_member(to, env, "machine");
	put_runs(to, env);
	fputs("</figcaption></figure>\n", to);
	print_table(to, &p);
	vp_bench_plot_end(&p);
}

static void print_env(FILE *to, const json_t *doc, const json_t *env)
{
	const json_t *note;
	size_t i;

	fputs("<h2>", to);
	put_member(to, env, "name");
	fputs(": ", to);
	put_member(to, env, "what");
	fputs("</h2>\n<p class=\"dim\">", to);
	put_member(to, env, "machine");
	fputs("; load before: ", to);
	put_member(to, env, "load");
	put_runs(to, env);
	fputs("</p>\n", to);
	json_array_foreach(json_object_get(env, "notes"), i, note)
	{
		fputs("<p>Note: ", to);
		vp_bench_put(to, json_string_value(note));
		fputs("</p>\n", to);
	}
	for (const struct vp_bench_group *g = vp_bench_groups; g->id; g++)
		print_group(to, doc, env, g);
}

static void print_ratios(FILE *to, const json_t *doc)
{
	json_t *ratios = vp_bench_ratios(doc);
	const json_t *r;
	size_t i;

	if (json_array_size(ratios))
		fputs("<h2>Ratios, each of one "
		      "run</h2>\n<table><tr><th>environment</th><th>what</th>"
		      "<th>ratio</th></tr>\n",
		      to);
	json_array_foreach(ratios, i, r)
	{
		fputs("<tr><td>", to);
		put_member(to, r, "env");
		fputs("</td><td class=\"t\">", to);
		put_member(to, r, "what");
		fprintf(to, "</td><td>%.3f</td></tr>\n", vp_bench_number(r, "ratio"));
	}
	if (json_array_size(ratios))
		fputs("</table>\n", to);
	json_decref(ratios);
}

void vp_bench_print_html(FILE *to, const json_t *doc)
{
	const json_t *envs = json_object_get(doc, "environments"), *env;
	size_t i;

	fputs(head, to);
	if (!json_array_size(envs))
		fputs("<p>Nothing was measured.</p>\n", to);
	print_ratios(to, doc);
	json_array_foreach(envs, i, env) print_env(to, doc, env);
	fputs("</body></html>\n", to);
}
