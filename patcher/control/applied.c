/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is applied. Where the engine lives as long as the guest, it knows; where it lives for one
 * command, the ledger does, and the memory has the last word.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"

/* --- the list ---------------------------------------------------------------- */

struct list {
	struct vp_control *control;
	struct vp_applied *items;
	size_t n;
	uint64_t boot; /* of the engine's records in the ledger */
};

/* A site, and what the ledger says beside it. */
struct site_line {
	struct vp_site site;
	const json_t *json;
};

static int by_address(const void *a, const void *b)
{
	const struct site_line *x = a, *y = b;

	return (x->site.addr.v > y->site.addr.v) - (x->site.addr.v < y->site.addr.v);
}

static bool same_site(const struct vp_site *s, const json_t *json)
{
	const char *addr = json_string_value(json_object_get(json, "addr"));

	return addr && strtoull(addr, NULL, 16) == s->addr.v;
}

/* By address, each with its module. @a->line may list them in another order, or not at all. */
static int take_sites(struct vp_applied *a, const struct vp_site *sites)
{
	const json_t *lines = json_object_get(a->line, "sites");
	struct site_line *both = calloc(a->nsites + 1, sizeof(*both));

	a->sites = calloc(a->nsites + 1, sizeof(*a->sites));
	a->was = calloc(a->nsites + 1, sizeof(*a->was));
	if (!both || !a->sites || !a->was) {
		free(both);
		return -ENOMEM;
	}
	for (size_t i = 0; i < a->nsites; i++)
		both[i] = (struct site_line){ sites[i], json_array_get(lines, i) };
	qsort(both, a->nsites, sizeof(*both), by_address);
	for (size_t i = 0; i < a->nsites; i++) {
		a->sites[i] = both[i].site;
		a->was[i] = vp_module_was_of(same_site(&both[i].site, both[i].json) ? both[i].json
										    : NULL);
	}
	free(both);
	return 0;
}

static void applied_clear(struct vp_applied *a)
{
	free(a->sites);
	free(a->was);
	free(a->words);
	free(a->note);
	json_decref(a->line);
}

/* @line is stolen. */
static int add(struct list *l, const struct vp_record *rec, enum vp_fate fate, json_t *line)
{
	struct vp_applied *more = reallocarray(l->items, l->n + 1, sizeof(*more));
	struct vp_applied a = {
		.id = rec->id,
		.fate = fate,
		.strategy = rec->strategy,
		.when = rec->when,
		.nsites = rec->nsites,
		.nwords = rec->nwords,
		.line = line,
	};

	if (more)
		l->items = more;
	a.note = rec->note ? strdup(rec->note) : NULL;
	a.words = calloc(rec->nwords + 1, sizeof(*a.words));
	if (a.words && rec->nwords)
		memcpy(a.words, rec->words, rec->nwords * sizeof(*a.words));
	if (!more || !a.words || (rec->note && !a.note) || take_sites(&a, rec->sites)) {
		applied_clear(&a);
		return -ENOMEM;
	}
	more[l->n++] = a;
	return 0;
}

static int add_record(void *arg, const struct vp_record *rec)
{
	struct list *l = arg;
	const struct vp_ledger *ledger = l->control->ledger;

	return add(l, rec, VP_FATE_APPLIED,
		   ledger ? vp_ledger_line_of(ledger, l->boot, rec->id) : NULL);
}

/* --- what stands without a record -------------------------------------------- */

const struct vp_site *vp_applied_over(const struct vp_applied *a, const struct vp_site *s)
{
	size_t lo = 0, hi = a->nsites;

	/* Sites of a batch never overlap, so only the last one that begins below the end of @s can.
	 */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->sites[mid].addr.v < s->addr.v + s->len)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && s->addr.v < a->sites[lo - 1].addr.v + a->sites[lo - 1].len ? &a->sites[lo - 1]
										: NULL;
}

/* Is it known anyhow that something stands there? Not by a batch that does not stand itself. */
static bool is_explained(const struct list *l, size_t self, const bool *kept,
			 const struct vp_site *s)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct vp_applied *a = &l->items[i];
		const struct vp_site *over = i != self && kept[i] ? vp_applied_over(a, s) : NULL;
		enum vp_standing standing;

		if (over &&
		    !vp_control_standing(l->control, NULL, over, &a->was[over - a->sites],
					 &standing, NULL) &&
		    standing == VP_STANDS_NEW)
			return true;
	}
	return false;
}

/*
 * What @s writes is what stood there before anybody came, as the first batch found it: the guest's
 * own bytes prove nothing.
 */
static bool is_as_at_first(const struct list *l, size_t self, const struct vp_site *s)
{
	for (size_t i = 0; i < self; i++) {
		const struct vp_site *first = vp_applied_over(&l->items[i], s);

		if (first)
			return first->addr.v == s->addr.v && first->len == s->len &&
			       !memcmp(first->old_bytes, s->new_bytes, s->len);
	}
	return false;
}

/* Does a site of a batch that is not recorded as applied stand in the memory all the same? */
static int stands(struct list *l, size_t at, const bool *kept, bool *out, struct vp_err *err)
{
	const struct vp_applied *a = &l->items[at];
	struct vp_view view = { .ahead = VP_STANDING_AHEAD };
	enum vp_standing s;
	int rc = 0;

	*out = false;
	for (size_t i = 0; i < a->nsites && !rc && !*out; i++) {
		if (is_as_at_first(l, at, &a->sites[i]) || is_explained(l, at, kept, &a->sites[i]))
			continue;
		rc = vp_control_standing(l->control, &view, &a->sites[i], &a->was[i], &s, err);
		*out = !rc && s == VP_STANDS_NEW;
	}
	vp_view_free(&view);
	return rc;
}

/* The newest first: an older one of the same bytes is explained by it. */
static int drop_what_does_not_stand(struct list *l, struct vp_err *err)
{
	bool *kept = calloc(l->n + 1, sizeof(*kept));
	size_t n = 0;
	int rc = kept ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < l->n && !rc; i++)
		kept[i] = l->items[i].fate == VP_FATE_APPLIED;
	for (size_t i = l->n; i-- && !rc;)
		if (!kept[i])
			rc = stands(l, i, kept, &kept[i], err);
	for (size_t i = 0; i < l->n && !rc; i++) {
		if (kept[i])
			l->items[n++] = l->items[i];
		else
			applied_clear(&l->items[i]);
	}
	if (!rc)
		l->n = n;
	free(kept);
	return rc;
}

/* --- the call ----------------------------------------------------------------- */

static int from_ledger(struct list *l, bool all, struct vp_err *err)
{
	struct vp_control *c = l->control;
	struct vp_ledger_batch *batches = NULL;
	struct vp_ledger_vm vm = { 0 };
	size_t n = 0;
	int rc = 0;

	if (vp_ledger_is_empty(c->ledger)) /* so the guest need not be looked at */
		return 0;
	rc = vp_control_vm(c, &vm, err);
	if (!rc)
		rc = vp_ledger_batches(c->ledger, &vm, &batches, &n, err);
	for (size_t i = 0; i < n && !rc; i++) {
		if (!all && batches[i].fate != VP_FATE_APPLIED)
			continue;
		rc = add(l, &batches[i].record, batches[i].fate, json_incref(batches[i].line));
		if (rc)
			vp_err_set(err, rc, "out of memory");
	}
	vp_ledger_batches_free(batches, n);
	return rc ? rc : drop_what_does_not_stand(l, err);
}

static int from_engine(struct list *l, struct vp_err *err)
{
	int rc = vp_control_boot(l->control, &l->boot, err);

	if (!rc && vp_engine_records(l->control->cfg.engine, add_record, l))
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	return rc;
}

int vp_control_applied(struct vp_control *c, bool all, struct vp_applied **out, size_t *n,
		       struct vp_err *err)
{
	struct list l = { .control = c };
	int rc = 0;

	if (!c->cfg.short_lived)
		rc = from_engine(&l, err);
	else if (c->ledger)
		rc = from_ledger(&l, all, err);
	else if (c->no_look)
		rc = vp_err_set(err, c->no_ledger, "what is applied cannot be told: %.200s",
				c->why_no_ledger.text);
	if (rc) {
		vp_control_applied_free(l.items, l.n);
		l = (struct list){ 0 };
	}
	*out = l.items;
	*n = l.n;
	return rc;
}

void vp_control_applied_free(struct vp_applied *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		applied_clear(&list[i]);
	free(list);
}
