/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of a ledger add up to, for one VM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/ledger_internal.h"

const char *vp_fate_name(enum vp_fate fate)
{
	static const char *const names[] = {
		[VP_FATE_OPEN] = "unfinished",	   [VP_FATE_APPLIED] = "applied",
		[VP_FATE_ELSEWHERE] = "elsewhere", [VP_FATE_REVERTED] = "reverted",
		[VP_FATE_FAILED] = "failed",	   [VP_FATE_UNDONE] = "undone",
		[VP_FATE_ABANDONED] = "abandoned",
	};

	return names[fate];
}

/* --- whose is it -------------------------------------------------------------- */

struct vp_ledger_asker vp_ledger_asker(const char *vm)
{
	return (struct vp_ledger_asker){
		.vm = vm ? vm : "",
		.since = vp_process_since(vm ? vm : ""),
		.last = "",
	};
}

bool vp_ledger_is_ours(struct vp_ledger_asker *a, const char *p, int64_t when)
{
	if (!*p || !*a->vm || !strcmp(p, a->vm))
		return true;
	if (a->since && when > a->since + 1) /* to the second, and a second to be sure */
		return false;
	if (strcmp(p, a->last) != 0) {
		a->last = p;
		a->last_gone = vp_process_gone(p);
	}
	return a->last_gone;
}

/* --- replay ------------------------------------------------------------------- */

/* A batch by its lines; what it was in detail is of interest only if it is asked for. */
struct item {
	const struct vp_ledger_line *begin;
	enum vp_fate fate;
	int64_t id;
	bool ours, wanted;
};

struct replay {
	struct item *items;
	size_t n;
};

static struct item *find_begin(struct replay *r, long long seq)
{
	for (size_t i = r->n; i--;)
		if (r->items[i].begin->seq == seq)
			return &r->items[i];
	return NULL;
}

/* A revert was applied: the newest batch of that number in that boot is taken back. */
static void take_back(struct replay *r, const struct item *revert)
{
	for (size_t i = r->n; i--;) {
		struct item *was = &r->items[i];

		if (was->begin->revert || was->id != revert->id ||
		    was->begin->boot != revert->begin->boot ||
		    (was->fate != VP_FATE_APPLIED && was->fate != VP_FATE_ELSEWHERE))
			continue;
		was->fate = VP_FATE_REVERTED;
		return;
	}
}

/* A hotfix was applied that replaces all others: these are taken back by that. */
static void replace(struct replay *r, const struct item *by)
{
	for (struct item *was = r->items; was < by; was++)
		if (was->begin->hotfix && !was->begin->revert &&
		    was->begin->boot == by->begin->boot && was->fate == VP_FATE_APPLIED)
			was->fate = VP_FATE_REVERTED;
}

static void end(struct replay *r, const struct vp_ledger_line *line)
{
	struct item *it = find_begin(r, line->of);

	if (!it || it->fate != VP_FATE_OPEN)
		return;
	if (line->id)
		it->id = line->id;
	switch (line->event) {
	case LEDGER_APPLIED:
		it->fate = it->ours ? VP_FATE_APPLIED : VP_FATE_ELSEWHERE;
		if (it->begin->replaces && it->ours)
			replace(r, it);
		if (it->begin->revert && it->ours)
			take_back(r, it);
		return;
	case LEDGER_FAILED:
		it->fate = VP_FATE_FAILED;
		return;
	case LEDGER_UNDONE:
		it->fate = VP_FATE_UNDONE;
		return;
	case LEDGER_ABANDONED:
		it->fate = VP_FATE_ABANDONED;
		return;
	case LEDGER_BEGIN:
	case LEDGER_DONE:
	case LEDGER_OPERATION:
	case LEDGER_CALLS:
	case LEDGER_MEMORY:
	case LEDGER_FREED:
	case LEDGER_CONTINUED:
	case LEDGER_PUT_ASIDE:
		break;
	}
}

/* Go through all lines, oldest first. */
static int replay(const struct vp_ledger *l, const char *vm, struct replay *r, struct vp_err *err)
{
	struct vp_ledger_asker a = vp_ledger_asker(vm);

	*r = (struct replay){ .items = calloc(l->n + 1, sizeof(r->items[0])) };
	if (!r->items)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < l->n; i++) {
		const struct vp_ledger_line *line = &l->lines[i];

		if (line->event == LEDGER_BEGIN)
			r->items[r->n++] = (struct item){
				.begin = line,
				.id = line->id,
				.ours = vp_ledger_is_ours(&a, line->process, line->when),
			};
		else if (line->of)
			end(r, line);
	}
	return 0;
}

static bool of_this_boot(const struct item *it, const struct vp_ledger_vm *vm)
{
	return it->begin->boot == vm->boot &&
	       (!vm->build_id || it->begin->build == vp_ledger_build(vm->build_id));
}

/* --- batches ------------------------------------------------------------------ */

static int sites_from(const json_t *begin, struct vp_record *rec, struct vp_err *err)
{
	const json_t *sites = json_object_get(begin, "sites");
	size_t n = json_array_size(sites);
	struct vp_site *list = calloc(n + 1, sizeof(*list));
	int rc = list ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < n && !rc; i++)
		rc = vp_ledger_site_from(json_array_get(sites, i), &list[i], err);
	rec->sites = list;
	rec->nsites = n;
	return rc;
}

/* "words"; before version 0.2 there was one at most: "word". */
static int words_from(const json_t *begin, struct vp_record *rec, struct vp_err *err)
{
	const json_t *one = json_object_get(begin, "word"), *all = json_object_get(begin, "words");
	size_t n = one ? 1 : json_array_size(all);
	struct vp_word *list = calloc(n + 1, sizeof(*list));
	int rc = list ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < n && !rc; i++)
		rc = vp_ledger_word_from(one ? one : json_array_get(all, i), &list[i], err);
	rec->words = list;
	rec->nwords = n;
	return rc;
}

static void batch_clear(struct vp_ledger_batch *b)
{
	free((void *)b->record.sites);
	free((void *)b->record.words);
	json_decref(b->line);
}

static int batch_from(const struct vp_ledger *l, const struct item *it, struct vp_ledger_batch *out,
		      struct vp_err *err)
{
	json_t *line = vp_ledger_read_line(l, it->begin, err);
	int rc;

	if (!line)
		return -EIO;
	*out = (struct vp_ledger_batch){
		.record = {
			.id = (uint64_t)it->id,
			.strategy = strcmp(vp_ledger_text(line, "strategy"), "stop") ?
					    VP_STRATEGY_INT3 : VP_STRATEGY_STOP,
			.when = it->begin->when,
			.note = vp_ledger_text(line, "note"),
		},
		.fate = it->fate,
		.revert = it->begin->revert,
		.seq = it->begin->seq,
		.line = line,
	};
	rc = sites_from(line, &out->record, err);
	if (!rc)
		rc = words_from(line, &out->record, err);
	if (rc)
		batch_clear(out);
	return rc;
}

/* Those that are wanted, oldest first. */
static int collect(const struct vp_ledger *l, const struct replay *r, struct vp_ledger_batch **out,
		   size_t *n, struct vp_err *err)
{
	struct vp_ledger_batch *list = calloc(r->n + 1, sizeof(*list));
	int rc = list ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	*n = 0;
	for (size_t i = 0; i < r->n && !rc; i++) {
		if (!r->items[i].wanted)
			continue;
		rc = batch_from(l, &r->items[i], &list[*n], err);
		*n += !rc;
	}
	if (rc) {
		vp_ledger_batches_free(list, *n);
		list = NULL;
		*n = 0;
	}
	*out = list;
	return rc;
}

/* By what they change, oldest first. */
static int by_digest(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;
	uint64_t dx = (*x)->begin->digest, dy = (*y)->begin->digest;

	if (dx != dy)
		return dx > dy ? 1 : -1;
	return (*x > *y) - (*x < *y);
}

/* What is applied or unfinished, and of what else changes the same bytes the newest. */
static int choose(struct replay *r, const struct vp_ledger_vm *vm, struct vp_err *err)
{
	struct item **sorted = calloc(r->n + 1, sizeof(struct item *));
	size_t n = 0;

	if (!sorted)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < r->n; i++)
		if (!r->items[i].begin->revert && of_this_boot(&r->items[i], vm))
			sorted[n++] = &r->items[i];
	qsort(sorted, n, sizeof(struct item *), by_digest);
	for (size_t i = 0, first = 0; i < n; i++) {
		bool last = i + 1 == n || sorted[i + 1]->begin->digest != sorted[i]->begin->digest;
		bool applied = false;

		sorted[i]->wanted =
			sorted[i]->fate == VP_FATE_OPEN || sorted[i]->fate == VP_FATE_APPLIED;
		if (!last)
			continue;
		for (size_t j = first; j <= i; j++)
			applied |= sorted[j]->wanted;
		sorted[i]->wanted |= !applied;
		first = i + 1;
	}
	free(sorted);
	return 0;
}

int vp_ledger_batches(struct vp_ledger *l, const struct vp_ledger_vm *vm,
		      struct vp_ledger_batch **out, size_t *n, struct vp_err *err)
{
	struct replay r;
	int rc = replay(l, vm->process, &r, err);

	*out = NULL;
	*n = 0;
	if (!rc)
		rc = choose(&r, vm, err);
	if (!rc)
		rc = collect(l, &r, out, n, err);
	free(r.items);
	return rc;
}

int vp_ledger_unfinished(struct vp_ledger *l, const struct vp_ledger_vm *vm,
			 struct vp_ledger_batch **out, size_t *n, struct vp_err *err)
{
	struct replay r;
	int rc = replay(l, vm->process, &r, err);

	*out = NULL;
	*n = 0;
	for (size_t i = 0; i < r.n && !rc; i++) {
		struct item *it = &r.items[i];

		it->wanted = it->fate == VP_FATE_OPEN && it->ours && of_this_boot(it, vm);
		if (it->wanted &&
		    !it->id) /* begun by an earlier version: the number that it would have got */
			it->id = (int64_t)vp_ledger_next_id(l);
	}
	if (!rc)
		rc = collect(l, &r, out, n, err);
	free(r.items);
	return rc;
}

bool vp_ledger_is_empty(const struct vp_ledger *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->lines[i].event == LEDGER_BEGIN)
			return false;
	return true;
}

bool vp_ledger_is_open(const struct vp_ledger *l, const char *process)
{
	struct vp_ledger_asker a = vp_ledger_asker(process);

	for (size_t i = 0; i < l->n; i++) {
		const struct vp_ledger_line *line = &l->lines[i];

		if ((line->event == LEDGER_BEGIN || line->event == LEDGER_OPERATION) &&
		    line->end == LEDGER_BEGIN && line->boot &&
		    vp_ledger_is_ours(&a, line->process, line->when))
			return true;
	}
	return false;
}

json_t *vp_ledger_line_of(const struct vp_ledger *l, uint64_t boot, uint64_t id)
{
	for (size_t i = l->n; i--;) {
		const struct vp_ledger_line *end_of = &l->lines[i];

		if (end_of->event != LEDGER_APPLIED || (uint64_t)end_of->id != id)
			continue;
		for (size_t j = i; j--;) {
			const struct vp_ledger_line *begin = &l->lines[j];

			if (begin->event != LEDGER_BEGIN || begin->seq != end_of->of)
				continue;
			if (!begin->revert && begin->boot == boot)
				return vp_ledger_read_line(l, begin, NULL);
			break;
		}
	}
	return NULL;
}

uint64_t vp_ledger_next_id(const struct vp_ledger *l)
{
	int64_t max = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->lines[i].id > max)
			max = l->lines[i].id;
	return (uint64_t)max + 1;
}

void vp_ledger_batches_free(struct vp_ledger_batch *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		batch_clear(&list[i]);
	free(list);
}
