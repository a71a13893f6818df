/* SPDX-License-Identifier: Apache-2.0 */
/* One plot as SVG: the figures of a group in one environment. */
#ifndef VP_CLI_BENCH_PLOT_H
#define VP_CLI_BENCH_PLOT_H

#include <stdio.h>

#include "cli/bench_doc.h"

#define VP_BENCH_SERIES_MAX 6 /* colours; more ways share the last */

struct vp_bench_plot {
	const struct vp_bench_group *group;
	const json_t **figures; /* of it, in the order of the document */
	size_t n;
	const char *ways[VP_BENCH_SERIES_MAX]; /* in the order in which they come */
	size_t nways;
};

/* False: there is no figure (or no memory). */
bool vp_bench_plot_begin(struct vp_bench_plot *p, const json_t *doc, const char *env,
			 const struct vp_bench_group *group);
void vp_bench_plot_end(struct vp_bench_plot *p);

void vp_bench_plot_print(FILE *to, const struct vp_bench_plot *p);

/* A text, printable and escaped for HTML, also within quotes. */
void vp_bench_put(FILE *to, const char *text);

#endif /* VP_CLI_BENCH_PLOT_H */
