/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_stats.h"

#include <stdlib.h>

void vp_samples_add(struct vp_samples *s, double value)
{
	if (s->n == s->size) {
		size_t size = s->size ? 2 * s->size : 64;
		double *more = realloc(s->v, size * sizeof(*more));

		if (!more) {
			s->lost = true;
			return;
		}
		s->v = more;
		s->size = size;
	}
	s->v[s->n++] = value;
}

void vp_samples_free(struct vp_samples *s)
{
	free(s->v);
	*s = (struct vp_samples){ 0 };
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const struct vp_samples *s, size_t percent)
{
	return s->v[(s->n * percent + 99) / 100 - 1];
}

bool vp_samples_summary(struct vp_samples *s, struct vp_summary *out)
{
	*out = (struct vp_summary){ .n = s->n };
	if (!s->n || s->lost)
		return false;
	qsort(s->v, s->n, sizeof(*s->v), compare);
	out->min = s->v[0];
	out->median = percentile(s, 50);
	out->p90 = percentile(s, 90);
	out->p99 = percentile(s, 99);
	out->max = s->v[s->n - 1];
	return true;
}
