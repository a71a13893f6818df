/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* In units of the picture. */
#define WIDTH  700.0
#define HEIGHT 320.0
#define LEFT   70.0
#define RIGHT  690.0
#define TOP    30.0
#define BOTTOM 270.0
#define BAR    20.0
#define NAMES  230.0 /* of bars: left of them */

void vp_bench_put(FILE *to, const char *text)
{
	char clean[512];

	vp_text_copy(clean, sizeof(clean), text ? text : "");
	for (const char *c = clean; *c; c++) {
		switch (*c) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			fputc(*c, to);
		}
	}
}

static const char *text(const json_t *f, const char *key)
{
	const char *value = json_string_value(json_object_get(f, key));

	return value ? value : "";
}

static size_t series_of(const struct vp_bench_plot *p, const json_t *f)
{
	size_t i = 0;

	while (i + 1 < p->nways && strcmp(p->ways[i], text(f, "way")) != 0)
		i++;
	return i;
}

bool vp_bench_plot_begin(struct vp_bench_plot *p, const json_t *doc, const char *env,
			 const struct vp_bench_group *group)
{
	const json_t *all = json_object_get(doc, "figures"), *f;
	size_t i;

	*p = (struct vp_bench_plot){ .group = group };
	p->figures = calloc(json_array_size(all) + 1, sizeof(json_t *));
	json_array_foreach(all, i, f)
	{
		if (!p->figures || strcmp(text(f, "env"), env) != 0 ||
		    strcmp(text(f, "group"), group->id) != 0)
			continue;
		p->figures[p->n++] = f;
		if (p->nways < VP_BENCH_SERIES_MAX &&
		    (!p->nways || strcmp(p->ways[series_of(p, f)], text(f, "way")) != 0))
			p->ways[p->nways++] = text(f, "way");
	}
	if (!p->n)
		vp_bench_plot_end(p);
	return p->n;
}

void vp_bench_plot_end(struct vp_bench_plot *p)
{
	free(p->figures);
	p->figures = NULL;
	p->n = 0;
}

/* What is drawn beside the median: how bad it gets. */
static const char *worst_of(const struct vp_bench_plot *p)
{
	return p->group->linear ? "min" : "p99";
}

/* --- scales ------------------------------------------------------------------------ */

struct scale {
	double low, high; /* of the values, as logarithms if @log */
	double from, to;  /* of the picture */
	bool log;
};

static double place(const struct scale *s, double value)
{
	double v = s->log ? log10(fmax(value, 1e-3)) : value;

	if (!(s->high > s->low))
		return (s->from + s->to) / 2;
	v = fmin(fmax(v, s->low), s->high); /* NAN comes out as the lowest */
	return s->from + (v - s->low) / (s->high - s->low) * (s->to - s->from);
}

static void stretch(struct scale *s, double value)
{
	double v = s->log ? log10(fmax(value, 1e-3)) : value;

	if (isfinite(v)) {
		s->low = fmin(s->low, v);
		s->high = fmax(s->high, v);
	}
}

static struct scale scale_x(const struct vp_bench_plot *p)
{
	struct scale s = { INFINITY, -INFINITY, LEFT + 10, RIGHT - 10, p->group->steps };

	for (size_t i = 0; i < p->n; i++)
		stretch(&s, vp_bench_number(p->figures[i], "x"));
	return s;
}

/* From 0 to 100 and a bit, or from one power of ten to another. */
static struct scale scale_y(const struct vp_bench_plot *p)
{
	struct scale s = { INFINITY, -INFINITY, BOTTOM, TOP, !p->group->linear };

	for (size_t i = 0; i < p->n; i++) {
		stretch(&s, vp_bench_number(p->figures[i], "median"));
		stretch(&s, vp_bench_number(p->figures[i], worst_of(p)));
	}
	if (p->group->linear) {
		s.low = 0;
		s.high = fmin(fmax(s.high, 100), 150);
	} else if (isfinite(s.low)) {
		s.low = floor(s.low);
		s.high = fmax(ceil(s.high), s.low + 1);
	}
	return s;
}

static void begin(FILE *to, const struct vp_bench_plot *p, double height)
{
	fprintf(to, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"", WIDTH, height);
	vp_bench_put(to, p->group->title);
	fputs("\">\n", to);
}

/* --- lines --------------------------------------------------------------------------- */

static void grid(FILE *to, const struct vp_bench_plot *p, const struct scale *sx,
		 const struct scale *sy)
{
	double step = sy->log ? 1 : 25, seen = NAN;

	for (double v = sy->low; isfinite(v) && v <= sy->high + 1e-9; v += step) {
		double value = sy->log ? pow(10, v) : v, y = place(sy, value);

		fprintf(to,
			"<line class=\"grid\" x1=\"%g\" y1=\"%.1f\" x2=\"%g\" y2=\"%.1f\"/>"
			"<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.10g</text>\n",
			LEFT, y, RIGHT, y, LEFT - 6, y + 4, value);
	}
	for (size_t i = 0; i < p->n; i++) {
		double value = vp_bench_number(p->figures[i], "x"), x = place(sx, value);

		if (fabs(x - seen) < 14) /* the same one, or one too near for its name */
			continue;
		seen = x;
		fprintf(to, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%g</text>\n", x,
			BOTTOM + 18, value);
	}
	fprintf(to, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">", RIGHT, BOTTOM + 38);
	vp_bench_put(to, p->group->x);
	fprintf(to, "</text><text x=\"%g\" y=\"%g\">", 4.0, TOP - 14);
	vp_bench_put(to, p->group->unit);
	fputs("</text>\n", to);
}

static void line(FILE *to, const struct vp_bench_plot *p, size_t series, const char *stat,
		 const char *style, const struct scale *sx, const struct scale *sy)
{
	fprintf(to, "<polyline class=\"l%s c%zu\" points=\"", style, series);
	for (size_t i = 0; i < p->n; i++)
		if (series_of(p, p->figures[i]) == series)
			fprintf(to, "%.1f,%.1f ", place(sx, vp_bench_number(p->figures[i], "x")),
				place(sy, vp_bench_number(p->figures[i], stat)));
	fputs("\"/>\n", to);
}

/* The points, each of which says what it is to whoever points at it. */
static void points(FILE *to, const struct vp_bench_plot *p, const struct scale *sx,
		   const struct scale *sy)
{
	for (size_t i = 0; i < p->n; i++) {
		const json_t *f = p->figures[i];

		fprintf(to, "<circle class=\"f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>",
			series_of(p, f), place(sx, vp_bench_number(f, "x")),
			place(sy, vp_bench_number(f, "median")));
		vp_bench_put(to, text(f, "way"));
		fprintf(to, ", %g: median %g, %s %g</title></circle>\n", vp_bench_number(f, "x"),
			vp_bench_number(f, "median"), worst_of(p), vp_bench_number(f, worst_of(p)));
	}
}

static void legend(FILE *to, const struct vp_bench_plot *p)
{
	for (size_t i = 0; i < p->nways; i++) {
		double x = LEFT + 140 * (double)i;

		fprintf(to,
			"<rect class=\"f%zu\" x=\"%g\" y=\"%g\" width=\"12\" height=\"12\"/>"
			"<text x=\"%g\" y=\"%g\">",
			i, x, HEIGHT - 22, x + 17, HEIGHT - 12);
		vp_bench_put(to, p->ways[i]);
		fputs("</text>\n", to);
	}
}

static void lines(FILE *to, const struct vp_bench_plot *p)
{
	struct scale sx = scale_x(p), sy = scale_y(p);

	begin(to, p, HEIGHT);
	grid(to, p, &sx, &sy);
	for (size_t i = 0; i < p->nways; i++) {
		line(to, p, i, worst_of(p), " q", &sx, &sy);
		line(to, p, i, "median", "", &sx, &sy);
	}
	points(to, p, &sx, &sy);
	legend(to, p);
	fputs("</svg>\n", to);
}

/* --- bars ----------------------------------------------------------------------------- */

static void bars(FILE *to, const struct vp_bench_plot *p)
{
	struct scale s = { 0, 0, NAMES, RIGHT - 90, false };

	for (size_t i = 0; i < p->n; i++)
		stretch(&s, vp_bench_number(p->figures[i], "median"));
	begin(to, p, BAR * (double)p->n + 8);
	for (size_t i = 0; i < p->n; i++) {
		const json_t *f = p->figures[i];
		double y = BAR * (double)i + 4, value = vp_bench_number(f, "median");

		fprintf(to, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">", NAMES - 8, y + 13);
		vp_bench_put(to, text(f, "case"));
		fputs(", ", to);
		vp_bench_put(to, text(f, "way"));
		fprintf(to,
			"</text><rect class=\"f%zu\" x=\"%g\" y=\"%.1f\" width=\"%.1f\" "
			"height=\"%g\"/><text x=\"%.1f\" y=\"%.1f\">%.4g</text>\n",
			series_of(p, f), NAMES, y, fmax(place(&s, value) - NAMES, 1), BAR - 5,
			place(&s, value) + 6, y + 13, value);
	}
	fputs("</svg>\n", to);
}

void vp_bench_plot_print(FILE *to, const struct vp_bench_plot *p)
{
	(p->group->x[0] ? lines : bars)(to, p);
}
