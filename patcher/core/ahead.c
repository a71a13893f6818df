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

/* What is wanted @now, as pieces; NULL: nothing, or no memory. */
static struct vp_piece *pieces_of(struct vp_ahead *a, enum vp_when now, size_t *n)
{
	struct vp_piece *pieces;

	vp_ahead_forget(a);
	tidy(a);
	*n = 0;
	pieces = a->n ? calloc(a->n, sizeof(*pieces)) : NULL;
	for (size_t i = 0; i < a->n && pieces; i++) {
		struct vp_want *w = &a->wants[i];

		w->here = w->when & now;
		if (w->here)
			pieces[(*n)++] =
				(struct vp_piece){ .gpa = w->gpa, .into = w->bytes, .len = w->len };
	}
	return pieces;
}

void vp_ahead_fetch(struct vp_ahead *a, struct vp_target *t, enum vp_when now)
{
	size_t n = 0;
	struct vp_piece *pieces = t->ops->read_pieces ? pieces_of(a, now, &n) : NULL;

	a->fetched = n && !t->ops->read_pieces(t, pieces, n, NULL);
	free(pieces);
}

int vp_ahead_stop(struct vp_ahead *a, struct vp_target *t, unsigned int timeout_ms,
		  struct vp_err *err)
{
	size_t n = 0;
	struct vp_piece *pieces = t->ops->stop_reading ? pieces_of(a, VP_IN_STOP, &n) : NULL;
	bool read = false;
	int rc = n ? t->ops->stop_reading(t, timeout_ms, pieces, n, &read, err)
		   : t->ops->stop(t, timeout_ms, err);

	free(pieces);
	if (!rc && read)
		a->fetched = true;
	else if (!rc)
		vp_ahead_fetch(a, t, VP_IN_STOP);
	return rc;
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
