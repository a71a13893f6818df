/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a batch: integers of the guest's data that change with it, and conditions, which
 * are only compared. They are data, so they need not be executable; but nobody may run what they
 * are part of.
 *
 * Under the int3 protocol the guest runs while they are stored, so no more than one may change: of
 * two, the first could not be taken back for certain if the second fails. With every vCPU stopped
 * any number may.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

#define AT(w) (unsigned long long)(w)->addr.v

bool vp_words_change(const struct vp_word *words, size_t n)
{
	while (n && vp_word_is_condition(&words[n - 1]))
		n--;
	return n != 0;
}

int vp_words_copy(struct vp_batch *b, const struct vp_word *words, size_t n, struct vp_err *err)
{
	struct vp_word *copy;

	if (!n)
		return 0;
	copy = calloc(n, sizeof(*copy));
	b->word_at = calloc(n, sizeof(*b->word_at));
	if (!copy || !b->word_at) {
		free(copy);
		return vp_err_set(err, -ENOMEM, "no memory for a batch of %zu words", n);
	}
	memcpy(copy, words, n * sizeof(*copy));
	b->rec.words = copy;
	b->rec.nwords = n;
	return 0;
}

/* --- planning ------------------------------------------------------------------ */

static int does_not_hold(const struct vp_word *w, uint32_t now, struct vp_err *err)
{
	if (vp_word_is_condition(w))
		return vp_err_set(err, -EAGAIN,
				  "condition at 0x%llx: 0x%x stands there, not 0x%x; nothing is "
				  "changed, try again",
				  AT(w), now, w->old_value);
	return vp_err_set(err, -ESTALE, "word at 0x%llx: holds %d, not %d", AT(w), (int32_t)now,
			  (int32_t)w->old_value);
}

static int plan_word(struct vp_space *sp, struct vp_batch *b, size_t i, bool half_done,
		     struct vp_err *err)
{
	const struct vp_word *w = &b->rec.words[i];
	struct vp_err why = { .text = "" };
	struct vp_map map;
	uint32_t now = 0;
	int rc;

	if (w->addr.v % sizeof(now))
		return vp_err_set(err, -EINVAL, "word at 0x%llx: is not 4-byte aligned", AT(w));
	rc = vp_space_walk(sp, w->addr, &map, &why);
	if (!rc)
		rc = vp_space_read(sp, map.gpa, &now, sizeof(now), &why);
	if (!rc && !vp_word_is_condition(w) && sp->target->ops->check_write)
		rc = sp->target->ops->check_write(sp->target, map.gpa, sizeof(now), &why);
	if (rc)
		return vp_err_set(err, rc, "word at 0x%llx: %s", AT(w), why.text);
	b->word_at[i] = map.gpa;
	for (size_t j = 0; j < b->nruns; j++)
		if (b->runs[j].start < map.gpa.v + sizeof(now) &&
		    map.gpa.v < b->runs[j].start + b->runs[j].len)
			return vp_err_set(err, -EINVAL, "word at 0x%llx: lies inside site %zu",
					  AT(w), b->runs[j].slot->index);
	if (now == w->old_value || (half_done && now == w->new_value) ||
	    (half_done && vp_word_is_condition(w)))
		return 0;
	return does_not_hold(w, now, err);
}

static int by_place(const void *a, const void *b)
{
	const vp_gpa *x = a, *y = b;

	return (x->v > y->v) - (x->v < y->v);
}

/* By physical address, which also catches one page mapped twice. */
static int check_distinct(const struct vp_batch *b, struct vp_err *err)
{
	size_t n = b->rec.nwords;
	vp_gpa *sorted = calloc(n + 1, sizeof(*sorted));
	int rc = 0;

	if (!sorted)
		return vp_err_set(err, -ENOMEM, "no memory for a batch of %zu words", n);
	if (n)
		memcpy(sorted, b->word_at, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_place);
	for (size_t i = 1; i < n && !rc; i++)
		if (sorted[i].v == sorted[i - 1].v)
			rc = vp_err_set(err, -EINVAL,
					"two words of the batch are at guest-physical 0x%llx",
					(unsigned long long)sorted[i].v);
	free(sorted);
	return rc;
}

int vp_words_plan(struct vp_space *sp, struct vp_batch *b, bool half_done,
		  struct vp_poke_result *res, struct vp_err *err)
{
	size_t changing = 0;

	for (size_t i = 0; i < b->rec.nwords; i++) {
		int rc = plan_word(sp, b, i, half_done, err);

		if (rc) {
			res->bad_word = (ptrdiff_t)i;
			return rc;
		}
		changing += !vp_word_is_condition(&b->rec.words[i]);
	}
	if (changing > 1 && sp->strategy == VP_STRATEGY_INT3)
		return vp_err_set(err, -EINVAL,
				  "%zu words change: with strategy int3 only one can be taken back "
				  "for certain; use strategy stop",
				  changing);
	return check_distinct(b, err);
}

/* --- carrying out ---------------------------------------------------------------- */

static int changed_meanwhile(const struct vp_batch *b, size_t i, struct vp_poke_result *res,
			     struct vp_err *err)
{
	const struct vp_word *w = &b->rec.words[i];

	res->bad_word = (ptrdiff_t)i;
	return vp_err_set(err, -EAGAIN,
			  "%s at 0x%llx: the guest changed it meanwhile; nothing is changed, try "
			  "again",
			  vp_word_is_condition(w) ? "condition" : "word", AT(w));
}

/* Neighbours, as both halves of a pointer are, cost one read; what was fetched costs none. */
#define RUN_MAX 16u

static int read_run(struct vp_engine *e, const struct vp_batch *b, size_t from, uint32_t *now,
		    size_t *n, struct vp_err *err)
{
	*n = 1;
	if (b->ahead.fetched)
		return vp_ahead_read(&b->ahead, e->target, b->word_at[from], now, sizeof(*now),
				     err);
	while (from + *n < b->rec.nwords && *n < RUN_MAX &&
	       b->word_at[from + *n].v == b->word_at[from].v + *n * sizeof(*now))
		++*n;
	return e->target->ops->read(e->target, b->word_at[from], now, *n * sizeof(*now), err);
}

int vp_words_check(struct vp_engine *e, const struct vp_batch *b, struct vp_poke_result *res,
		   struct vp_err *err)
{
	uint32_t now[RUN_MAX];
	size_t n;

	for (size_t i = 0; i < b->rec.nwords; i += n) {
		int rc = read_run(e, b, i, now, &n, err);

		if (rc) {
			res->bad_word = (ptrdiff_t)i;
			return rc;
		}
		for (size_t j = 0; j < n; j++)
			if (now[j] != b->rec.words[i + j].old_value)
				return changed_meanwhile(b, i + j, res, err);
	}
	return 0;
}

int vp_words_swap(struct vp_engine *e, const struct vp_batch *b, struct vp_poke_result *res,
		  struct vp_err *err)
{
	for (size_t i = 0; i < b->rec.nwords; i++) {
		const struct vp_word *w = &b->rec.words[i];
		int rc = vp_word_is_condition(w)
				 ? 0
				 : e->target->ops->swap_word(e->target, b->word_at[i], w->old_value,
							     w->new_value, err);

		if (rc == -EAGAIN)
			return changed_meanwhile(b, i, res, err);
		if (rc)
			return rc;
	}
	return 0;
}

size_t vp_words_pieces(const struct vp_batch *b, struct vp_piece *to)
{
	size_t n = 0;

	for (size_t i = 0; i < b->rec.nwords; i++)
		if (!vp_word_is_condition(&b->rec.words[i]))
			to[n++] = (struct vp_piece){ .gpa = b->word_at[i],
						     .from = &b->rec.words[i].new_value,
						     .len = sizeof(b->rec.words[i].new_value) };
	return n;
}

int vp_words_undo(struct vp_engine *e, const struct vp_batch *b, struct vp_err *err)
{
	for (size_t i = 0; i < b->rec.nwords; i++) {
		const struct vp_word *w = &b->rec.words[i];
		uint32_t now;
		int rc;

		if (vp_word_is_condition(w))
			continue;
		rc = e->target->ops->read(e->target, b->word_at[i], &now, sizeof(now), err);
		if (!rc && now == w->new_value)
			rc = e->target->ops->swap_word(e->target, b->word_at[i], w->new_value,
						       w->old_value, err);
		if (rc)
			return rc;
	}
	return 0;
}
