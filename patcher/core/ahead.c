/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is about to be looked at, fetched in one go where each read of the target is dear.
 * The plan says what it looks at, page tables included; the stop looks at the same again, and
 * fetches it anew for that: what is compared in the stop was read in the stop.
 *
 * Nothing depends on it: what was not wanted, or could not be fetched, is read when it is looked
 * at, and it is then that an error says where.
 */
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

void vp_ahead_want(struct vp_ahead *a, vp_gpa gpa, size_t len, enum vp_when when)
{
	size_t room = a->room ? 2 * a->room : 64;
	void *p;

	if (len > sizeof(a->wants[0].bytes) || a->fetched)
		return;
	if (a->n == a->room) {
		p = reallocarray(a->wants, room, sizeof(*a->wants));
		if (!p)
			return;
		a->wants = p;
		a->room = room;
	}
	a->wants[a->n++] = (struct vp_want){ .gpa = gpa, .len = (uint8_t)len, .when = when };
}

/* Of one address the longest first: it has what the others have. */
static int by_place(const void *a, const void *b)
{
	const struct vp_want *x = a, *y = b;

	if (x->gpa.v != y->gpa.v)
		return x->gpa.v < y->gpa.v ? -1 : 1;
	return y->len - x->len;
}

/* Sorted, each address once, for whenever one of them was wanted. */
static void tidy(struct vp_ahead *a)
{
	size_t n = 0;

	if (a->n)
		qsort(a->wants, a->n, sizeof(*a->wants), by_place);
	for (size_t i = 0; i < a->n; i++)
		if (!n || a->wants[i].gpa.v != a->wants[n - 1].gpa.v)
			a->wants[n++] = a->wants[i];
		else
			a->wants[n - 1].when |= a->wants[i].when;
	a->n = n;
}

void vp_ahead_fetch(struct vp_ahead *a, struct vp_target *t, enum vp_when now)
{
	struct vp_piece *pieces;
	size_t n = 0;

	vp_ahead_forget(a);
	tidy(a);
	pieces = t->ops->read_pieces ? calloc(a->n + 1, sizeof(*pieces)) : NULL;
	if (!pieces)
		return;
	for (size_t i = 0; i < a->n; i++)
		if (a->wants[i].when & now)
			pieces[n++] = (struct vp_piece){ .gpa = a->wants[i].gpa,
							 .into = a->wants[i].bytes,
							 .len = a->wants[i].len };
	for (size_t i = 0; i < a->n; i++)
		a->wants[i].here = a->wants[i].when & now;
	a->fetched = n && !t->ops->read_pieces(t, pieces, n, NULL);
	free(pieces);
}

void vp_ahead_forget(struct vp_ahead *a)
{
	a->fetched = false;
}

static const struct vp_want *find(const struct vp_ahead *a, vp_gpa gpa)
{
	size_t lo = 0, hi = a->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->wants[mid].gpa.v < gpa.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < a->n && a->wants[lo].gpa.v == gpa.v ? &a->wants[lo] : NULL;
}

int vp_ahead_read(const struct vp_ahead *a, struct vp_target *t, vp_gpa gpa, void *buf, size_t len,
		  struct vp_err *err)
{
	const struct vp_want *w = a && a->fetched ? find(a, gpa) : NULL;

	if (!w || !w->here || w->len < len)
		return t->ops->read(t, gpa, buf, len, err);
	memcpy(buf, w->bytes, len);
	return 0;
}

void vp_ahead_free(struct vp_ahead *a)
{
	free(a->wants);
	*a = (struct vp_ahead){ 0 };
}
