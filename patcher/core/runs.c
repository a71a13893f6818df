/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical bytes of a batch, sorted: to find overlaps, also through a page that is
 * mapped twice, and to find the site of a trap, also through another mapping.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/internal.h"

static int by_start(const void *a, const void *b)
{
	const struct vp_run *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

int vp_runs_make(struct vp_batch *b, struct vp_err *err)
{
	size_t n = 0;

	b->runs = calloc(b->n + 1, 2 * sizeof(*b->runs));
	if (!b->runs)
		return vp_err_set(err, -ENOMEM, "no memory for a batch of %zu sites", b->n);
	for (size_t i = 0; i < b->n; i++) {
		const struct vp_slot *s = &b->slots[i];
		uint8_t rest = (uint8_t)(s->site.len - s->split);

		b->runs[n++] = (struct vp_run){ s->head.v, s, s->split, true };
		if (rest)
			b->runs[n++] = (struct vp_run){ s->next.v, s, rest, false };
	}
	qsort(b->runs, n, sizeof(*b->runs), by_start);
	b->nruns = n;
	return 0;
}

/* Runs are never empty, so if any two overlap then two neighbours do. */
const struct vp_run *vp_runs_overlap(const struct vp_batch *b)
{
	for (size_t i = 1; i < b->nruns; i++)
		if (b->runs[i].start < b->runs[i - 1].start + b->runs[i - 1].len)
			return &b->runs[i - 1];
	return NULL;
}

/* How many runs start below @gpa. */
static size_t runs_below(const struct vp_batch *b, uint64_t gpa)
{
	size_t lo = 0, hi = b->nruns;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->runs[mid].start < gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct vp_slot *vp_runs_find_head(const struct vp_batch *b, vp_gpa gpa)
{
	size_t i = runs_below(b, gpa.v);

	return i < b->nruns && b->runs[i].start == gpa.v && b->runs[i].head ? b->runs[i].slot
									    : NULL;
}

bool vp_runs_meet(const struct vp_batch *a, const struct vp_batch *b)
{
	for (size_t i = 0; i < a->nruns; i++) {
		const struct vp_run *r = &a->runs[i];
		size_t n = runs_below(b, r->start + r->len);

		/* Of those that start before the end of r, the last reaches furthest. */
		if (n && b->runs[n - 1].start + b->runs[n - 1].len > r->start)
			return true;
	}
	return false;
}
