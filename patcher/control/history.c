/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of a ledger add up to. They were written by us, but are read with suspicion. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/ledger_internal.h"
#include "target/hex.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static json_int_t int_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static uint64_t hex_of(const json_t *object, const char *key)
{
	return strtoull(text_of(object, key), NULL, 16);
}

static bool is_event(const json_t *line, const char *event)
{
	return !strcmp(text_of(line, "event"), event);
}

static bool is_revert(const json_t *begin)
{
	return !strcmp(text_of(begin, "command"), "revert");
}

static int site_from(const json_t *json, struct vp_site *s, struct vp_err *err)
{
	size_t old_len = 0, new_len = 0;
	int rc =
		vp_hex_parse("old", text_of(json, "old"), s->old_bytes, VP_INSN_MAX, &old_len, err);

	if (!rc)
		rc = vp_hex_parse("new", text_of(json, "new"), s->new_bytes, VP_INSN_MAX, &new_len,
				  err);
	if (!rc && old_len != new_len)
		rc = vp_err_set(err, -EINVAL, "old and new differ in length");
	if (rc)
		return rc;
	s->addr = VP_GVA(hex_of(json, "addr"));
	s->fixup = VP_GVA(hex_of(json, "fixup"));
	s->len = (uint8_t)old_len;
	for (s->resume = VP_RESUME_PARK; s->resume < VP_RESUME_FIXUP; s->resume++)
		if (!strcmp(text_of(json, "resume"), vp_resume_name(s->resume)))
			break;
	return 0;
}

static int sites_from(const json_t *begin, struct vp_record *rec, struct vp_err *err)
{
	const json_t *sites = json_object_get(begin, "sites");
	size_t n = json_array_size(sites);
	struct vp_site *list = calloc(n + 1, sizeof(*list));
	int rc = list ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < n && !rc; i++)
		rc = site_from(json_array_get(sites, i), &list[i], err);
	rec->sites = list;
	rec->nsites = n;
	return rc;
}

static int word_from(const json_t *json, struct vp_word *w, struct vp_err *err)
{
	json_int_t old_value = int_of(json, "old"), new_value = int_of(json, "new");

	w->addr = VP_GVA(hex_of(json, "addr"));
	w->old_value = (uint32_t)old_value;
	w->new_value = (uint32_t)new_value;
	if (w->addr.v && w->old_value == old_value && w->new_value == new_value)
		return 0;
	return vp_err_set(err, -EINVAL, "a word without address, or not of 32 bits");
}

/* "words"; before version 0.2 there was one at most: "word". */
static int words_from(const json_t *begin, struct vp_record *rec, struct vp_err *err)
{
	const json_t *one = json_object_get(begin, "word"), *all = json_object_get(begin, "words");
	size_t n = one ? 1 : json_array_size(all);
	struct vp_word *list = calloc(n + 1, sizeof(*list));
	int rc = list ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < n && !rc; i++)
		rc = word_from(one ? one : json_array_get(all, i), &list[i], err);
	rec->words = list;
	rec->nwords = n;
	return rc;
}

static int batch_from(const struct vp_ledger *l, const json_t *begin, const json_t *end,
		      struct vp_ledger_batch *out, struct vp_err *err)
{
	struct vp_err why = { .text = "" };
	int rc;

	*out = (struct vp_ledger_batch){
		.record = {
			.id = (uint64_t)int_of(end, "id"),
			.strategy = strcmp(text_of(begin, "strategy"), "stop") ? VP_STRATEGY_INT3 :
										 VP_STRATEGY_STOP,
			.when = int_of(begin, "when"),
			.note = text_of(begin, "note"),
		},
		.line = begin,
	};
	rc = sites_from(begin, &out->record, &why);
	if (!rc)
		rc = words_from(begin, &out->record, &why);
	if (!rc)
		return 0;
	vp_ledger_batch_clear(out);
	return vp_err_set(err, rc, "%.140s: line %lld makes no sense: %.80s", l->path,
			  (long long)int_of(begin, "seq"), why.text);
}

/* A batch by its lines; what it was in detail is of interest only if it is still there at last. */
struct pair {
	const json_t *begin, *end;
};

struct replay {
	const json_t *begun; /* and not ended */
	struct pair *applied;
	size_t n;
};

static void forget(struct replay *r, json_int_t id)
{
	for (size_t i = r->n; i--;) {
		if (int_of(r->applied[i].end, "id") != id)
			continue;
		r->n--;
		memmove(&r->applied[i], &r->applied[i + 1], (r->n - i) * sizeof(r->applied[0]));
		return;
	}
}

/* Go through the lines of @boot, oldest first. */
static int replay(const struct vp_ledger *l, uint64_t boot, struct replay *r, struct vp_err *err)
{
	const json_t *line;
	size_t i;

	*r = (struct replay){ 0 };
	r->applied = calloc(json_array_size(l->lines) + 1, sizeof(r->applied[0]));
	if (!r->applied)
		return vp_err_set(err, -ENOMEM, "out of memory");
	json_array_foreach(l->lines, i, line)
	{
		if (is_event(line, "begin")) {
			r->begun = line;
			continue;
		}
		if (!r->begun || int_of(line, "of") != int_of(r->begun, "seq"))
			continue;
		if (is_event(line, "applied") && hex_of(r->begun, "boot") == boot) {
			if (is_revert(r->begun))
				forget(r, int_of(r->begun, "id"));
			else
				r->applied[r->n++] = (struct pair){ r->begun, line };
		}
		r->begun = NULL;
	}
	if (r->begun && hex_of(r->begun, "boot") != boot)
		r->begun = NULL; /* the memory that it was about is gone */
	return 0;
}

int vp_ledger_applied(struct vp_ledger *l, uint64_t boot, struct vp_ledger_batch **out, size_t *n,
		      struct vp_err *err)
{
	struct replay r;
	int rc = replay(l, boot, &r, err);

	*n = 0;
	*out = rc ? NULL : calloc(r.n + 1, sizeof(**out));
	if (!rc && !*out)
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < r.n && !rc; i++) {
		rc = batch_from(l, r.applied[i].begin, r.applied[i].end, &(*out)[i], err);
		*n += !rc;
	}
	free(r.applied);
	if (rc) {
		vp_ledger_batches_free(*out, *n);
		*out = NULL;
		*n = 0;
	}
	return rc;
}

int vp_ledger_unfinished(struct vp_ledger *l, uint64_t boot, struct vp_ledger_batch *out,
			 struct vp_err *err)
{
	struct replay r;
	int rc = replay(l, boot, &r, err);

	free(r.applied);
	if (rc || !r.begun)
		return rc;
	l->begun = int_of(r.begun, "seq");
	rc = batch_from(l, r.begun, NULL, out, err);
	return rc ? rc : 1;
}

bool vp_ledger_is_open(const struct vp_ledger *l)
{
	const json_t *line, *begun = NULL;
	size_t i;

	json_array_foreach(l->lines, i, line)
	{
		if (is_event(line, "begin"))
			begun = line;
		else if (begun && int_of(line, "of") == int_of(begun, "seq"))
			begun = NULL;
	}
	return begun && hex_of(begun, "boot");
}

const json_t *vp_ledger_line_of(const struct vp_ledger *l, uint64_t id)
{
	const json_t *line, *begun = NULL, *found = NULL;
	size_t i;

	json_array_foreach(l->lines, i, line)
	{
		if (is_event(line, "begin"))
			begun = line;
		else if (begun && !is_revert(begun) && is_event(line, "applied") &&
			 int_of(line, "of") == int_of(begun, "seq") &&
			 (uint64_t)int_of(line, "id") == id)
			found = begun;
	}
	return found;
}

uint64_t vp_ledger_next_id(const struct vp_ledger *l)
{
	const json_t *line;
	json_int_t max = 0;
	size_t i;

	json_array_foreach(l->lines, i, line) if (int_of(line, "id") > max) max =
		int_of(line, "id");
	return (uint64_t)max + 1;
}

void vp_ledger_batches_free(struct vp_ledger_batch *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vp_ledger_batch_clear(&list[i]);
	free(list);
}

void vp_ledger_batch_clear(struct vp_ledger_batch *b)
{
	free((void *)b->record.sites);
	free((void *)b->record.words);
	b->record.sites = NULL;
	b->record.words = NULL;
}
