/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of one thing that was measured often, and what is told of them. */
#ifndef VP_CLI_BENCH_STATS_H
#define VP_CLI_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* Zero it to begin. */
struct vp_samples {
	double *v;
	size_t n, size;
	bool lost; /* there was no memory for some */
};

struct vp_summary {
	size_t n;
	double min, median, p90, p99, max;
};

void vp_samples_add(struct vp_samples *s, double value);
void vp_samples_free(struct vp_samples *s);

/*
 * Sorts them. Percentiles are samples: the smallest that so many of all are not above. All 0
 * without any. False if there are none, or some were lost.
 */
bool vp_samples_summary(struct vp_samples *s, struct vp_summary *out);

#endif /* VP_CLI_BENCH_STATS_H */
