/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is applied, and taking it back. Where the engine lives as long as the guest, it knows; where
 * it lives for one command, the ledger does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

#define SITES_LISTED_MAX 4096 /* in one answer of query-pokes that names no batch */

/* --- the list ---------------------------------------------------------------- */

struct list {
	struct vp_applied *items;
	size_t n;
};

static int by_address(const void *a, const void *b)
{
	const struct vp_site *x = a, *y = b;

	return (x->addr.v > y->addr.v) - (x->addr.v < y->addr.v);
}

static int add_record(void *arg, const struct vp_record *rec)
{
	struct list *l = arg;
	struct vp_applied *more = reallocarray(l->items, l->n + 1, sizeof(*more));
	struct vp_site *sites = calloc(rec->nsites + 1, sizeof(*sites));
	struct vp_word *words = calloc(rec->nwords + 1, sizeof(*words));

	if (more)
		l->items = more;
	if (!more || !sites || !words) {
		free(sites);
		free(words);
		return -ENOMEM;
	}
	memcpy(sites, rec->sites, rec->nsites * sizeof(*sites));
	if (rec->nwords)
		memcpy(words, rec->words, rec->nwords * sizeof(*words));
	qsort(sites, rec->nsites, sizeof(*sites), by_address);
	more[l->n++] = (struct vp_applied){
		.note = rec->note ? strdup(rec->note) : NULL,
		.id = rec->id,
		.strategy = rec->strategy,
		.when = rec->when,
		.sites = sites,
		.nsites = rec->nsites,
		.words = words,
		.nwords = rec->nwords,
	};
	return 0;
}

static int from_ledger(struct vp_control *c, struct list *l, struct vp_err *err)
{
	struct vp_ledger_batch *batches = NULL;
	uint64_t boot;
	size_t n = 0;
	int rc = vp_control_boot(c, &boot, err);

	if (!rc)
		rc = vp_ledger_applied(c->ledger, boot, &batches, &n, err);

	for (size_t i = 0; i < n && !rc; i++)
		rc = add_record(l, &batches[i].record);
	vp_ledger_batches_free(batches, n);
	return rc;
}

int vp_control_applied(struct vp_control *c, struct vp_applied **out, size_t *n, struct vp_err *err)
{
	struct list l = { 0 };
	int rc;

	if (!c->cfg.short_lived)
		rc = vp_engine_records(c->cfg.engine, add_record, &l);
	else
		rc = c->ledger ? from_ledger(c, &l, err) : 0;
	if (rc) {
		vp_control_applied_free(l.items, l.n);
		return rc == -ENOMEM ? vp_err_set(err, rc, "out of memory") : rc;
	}
	*out = l.items;
	*n = l.n;
	return 0;
}

void vp_control_applied_free(struct vp_applied *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].sites);
		free(list[i].words);
		free(list[i].note);
	}
	free(list);
}

/* Sites of a batch never overlap, so only the last one that begins below the end of @s can. */
static bool covers(const struct vp_applied *a, const struct vp_site *s)
{
	size_t lo = 0, hi = a->nsites;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->sites[mid].addr.v < s->addr.v + s->len)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && s->addr.v < a->sites[lo - 1].addr.v + a->sites[lo - 1].len;
}

static bool sites_meet(const struct vp_applied *a, const struct vp_applied *b)
{
	for (size_t i = 0; i < a->nsites; i++)
		if (covers(b, &a->sites[i]))
			return true;
	return false;
}

/* The batch with this number, 0: the newest; and nothing newer may cover it. */
static int find(const struct vp_applied *list, size_t n, uint64_t id, const struct vp_applied **out,
		struct vp_err *err)
{
	size_t i = n;

	if (!n)
		return vp_err_set(err, -ENOENT, "nothing is applied: there is nothing to revert");
	if (!id)
		id = list[n - 1].id;
	while (i && list[i - 1].id != id)
		i--;
	if (!i)
		return vp_err_set(err, -ENOENT, "no batch %llu is applied; see `status`",
				  (unsigned long long)id);
	*out = &list[i - 1];
	for (size_t j = n; j > i; j--)
		if (sites_meet(*out, &list[j - 1]))
			return vp_err_set(err, -EBUSY,
					  "batch %llu touches the same bytes and is newer: revert "
					  "that one first",
					  (unsigned long long)list[j - 1].id);
	return 0;
}

json_t *vp_control_revert(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	const struct vp_applied *which = NULL;
	struct vp_applied *list = NULL;
	struct vp_write_args w = { 0 };
	struct vp_patience patience = { 0 };
	json_t *number = NULL, *ret = NULL;
	uint64_t id = 0;
	size_t n = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s?o, " VP_WRITE_ARGS_FMT "}", "id", &number,
			       VP_WRITE_ARGS(&w));
	if (!*code)
		*code = vp_args_number(number, "id", 1, INT64_MAX, &id, err);
	if (!*code)
		*code = vp_control_applied(c, &list, &n, err);
	if (!*code)
		*code = find(list, n, id, &which, err);
	do {
		if (!*code || *code == -EAGAIN)
			ret = vp_control_take_back(c, &w, which, code, err);
	} while (vp_control_again(&patience, &w, *code));
	vp_control_applied_free(list, n);
	return ret;
}

/* --- query-pokes ------------------------------------------------------------- */

/* What stands there now: "new", as it should; "old", somebody took it back; "other", "unmapped". */
static const char *site_state(struct vp_control *c, const struct vp_site *s)
{
	uint8_t now[VP_INSN_MAX];

	if (vp_control_read(c, s->addr, now, s->len, NULL))
		return "unmapped";
	if (!memcmp(now, s->new_bytes, s->len))
		return "new";
	return memcmp(now, s->old_bytes, s->len) ? "other" : "old";
}

/* The newest batch of list[0..n) that lies over a site, or NULL. */
static const struct vp_applied *cover_of(const struct vp_applied *list, size_t n,
					 const struct vp_site *s)
{
	while (n--)
		if (covers(&list[n], s))
			return &list[n];
	return NULL;
}

static json_t *site_json(struct vp_control *c, const struct vp_site *s,
			 const struct vp_applied *cover)
{
	char old_text[2 * VP_INSN_MAX + 1], new_text[2 * VP_INSN_MAX + 1];
	json_t *json = json_object();

	vp_hex_format(s->old_bytes, s->len, old_text);
	vp_hex_format(s->new_bytes, s->len, new_text);
	vp_json_set_where(c, json, s->addr);
	json_object_set_new(json, "old", json_string(old_text));
	json_object_set_new(json, "new", json_string(new_text));
	json_object_set_new(json, "resume", json_string(vp_resume_name(s->resume)));
	if (s->resume == VP_RESUME_FIXUP)
		json_object_set_new(json, "fixup", vp_json_addr(s->fixup.v));
	json_object_set_new(json, "now", json_string(cover ? "covered" : site_state(c, s)));
	if (cover)
		json_object_set_new(json, "by", json_integer((json_int_t)cover->id));
	return json;
}

/* Who did it: what the ledger says beside the batch itself. */
static void add_who(struct vp_control *c, json_t *json, uint64_t id)
{
	static const char *const keys[] = { "command", "user", "uid", "pid", "kernel", "build-id" };
	const json_t *line = c->ledger ? vp_ledger_line_of(c->ledger, id) : NULL;

	for (size_t i = 0; line && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(line, keys[i]))
			json_object_set(json, keys[i], json_object_get(line, keys[i]));
}

/* @newer: how many of the list come after it. */
static json_t *batch_json(struct vp_control *c, const struct vp_applied *a, size_t newer,
			  bool with_sites)
{
	json_t *json = json_pack("{s:I, s:s, s:I, s:I}", "id", (json_int_t)a->id, "strategy",
				 vp_strategy_name(a->strategy), "when", (json_int_t)a->when,
				 "nsites", (json_int_t)a->nsites);
	json_t *sites;

	add_who(c, json, a->id);
	if (a->note && *a->note)
		json_object_set_new(json, "note", vp_qmp_text(a->note));
	if (a->nwords)
		json_object_set_new(json, "words", vp_ledger_words(a->words, a->nwords));
	if (!with_sites)
		return json;
	sites = json_array();
	for (size_t i = 0; i < a->nsites; i++)
		json_array_append_new(sites, site_json(c, &a->sites[i],
						       cover_of(a + 1, newer, &a->sites[i])));
	json_object_set_new(json, "sites", sites);
	return json;
}

json_t *vp_control_query_pokes(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_applied *list = NULL;
	json_t *number = NULL, *ret;
	size_t n = 0, listed = 0;
	uint64_t id = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s?o}", "id", &number);
	if (!*code)
		*code = vp_args_number(number, "id", 1, INT64_MAX, &id, err);
	if (!*code)
		*code = vp_control_applied(c, &list, &n, err);
	if (*code)
		return NULL;
	ret = json_array();
	for (size_t i = 0; i < n; i++) {
		if (id && list[i].id != id)
			continue;
		listed += list[i].nsites;
		json_array_append_new(ret, batch_json(c, &list[i], n - i - 1,
						      id || listed <= SITES_LISTED_MAX));
	}
	vp_control_applied_free(list, n);
	if (!id || json_array_size(ret))
		return ret;
	json_decref(ret);
	*code = vp_err_set(err, -ENOENT, "no batch %llu is applied", (unsigned long long)id);
	return NULL;
}

json_t *vp_control_query_ledger(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err)
{
	struct vp_control *c = arg;
	json_t *lines;

	(void)fd;
	if (!vp_args_none(args, code, err))
		return NULL;
	*code = vp_control_ledger(c, err);
	if (*code || !c->ledger)
		return *code ? NULL : json_array();
	lines = vp_ledger_history(c->ledger, err);
	*code = lines ? 0 : -EINVAL;
	return lines;
}
