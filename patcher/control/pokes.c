/* SPDX-License-Identifier: Apache-2.0 */
/* What is applied, and what the ledger says, as JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "target/qmp_wire.h"

#define SITES_LISTED_MAX 4096 /* in one answer of query-pokes that names no batch */
#define RANGE_MAX	 (1u << 20)

/* What a client asks for. */
struct wanted {
	uint64_t id; /* 0: all */
	vp_gva addr; /* only what shows in these bytes; len 0: all there is */
	uint64_t len;
	bool *hidden; /* [len]: under a batch that was seen; they are taken newest first */
};

/* The newest batch of list[0..n) that lies over a site, or NULL. */
static const struct vp_applied *cover_of(const struct vp_applied *list, size_t n,
					 const struct vp_site *s)
{
	while (n--)
		if (vp_applied_over(&list[n], s))
			return &list[n];
	return NULL;
}

/* What stands there now. */
static const char *site_state(struct vp_control *c, const struct vp_site *s,
			      const struct vp_module_was *was)
{
	enum vp_standing standing = VP_STANDS_UNMAPPED;

	vp_control_standing(c, NULL, s, was, &standing, NULL);
	return vp_standing_name(standing);
}

static json_t *site_json(struct vp_control *c, const struct vp_site *s,
			 const struct vp_module_was *was, const struct vp_applied *cover)
{
	json_t *json = json_object();

	vp_json_set_where(c, json, s->addr);
	vp_json_set_change(json, s);
	json_object_set_new(json, "now", json_string(cover ? "covered" : site_state(c, s, was)));
	if (*was->name)
		json_object_set_new(json, "module", vp_qmp_text(was->name));
	if (cover)
		json_object_set_new(json, "by", json_integer((json_int_t)cover->id));
	return json;
}

/* Who did it: what the ledger says beside the batch itself. */
static void add_who(json_t *json, const json_t *line)
{
	static const char *const keys[] = { "command", "user",	   "uid",   "pid",
					    "kernel",  "build-id", "force", "forced" };

	for (size_t i = 0; line && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(line, keys[i]))
			json_object_set(json, keys[i], json_object_get(line, keys[i]));
}

/* Is there a byte that was asked for, and lies under no batch seen so far? */
static bool shows(struct wanted *w, const struct vp_site *s)
{
	bool shown = !w->len;

	for (size_t i = 0; w->len && i < s->len; i++) {
		uint64_t at = s->addr.v + i - w->addr.v;

		if (at < w->len && !w->hidden[at])
			shown = w->hidden[at] = true;
	}
	return shown;
}

/* The sites of @a that show; @newer: how many of the list come after it. */
static json_t *sites_json(struct vp_control *c, const struct vp_applied *a, size_t newer,
			  struct wanted *w)
{
	json_t *sites = json_array();

	for (size_t i = 0; i < a->nsites; i++)
		if (shows(w, &a->sites[i]))
			json_array_append_new(sites,
					      site_json(c, &a->sites[i], &a->was[i],
							cover_of(a + 1, newer, &a->sites[i])));
	return sites;
}

static json_t *batch_json(const struct vp_applied *a, json_t *sites)
{
	json_t *json = json_pack("{s:I, s:s, s:I, s:I}", "id", (json_int_t)a->id, "strategy",
				 vp_strategy_name(a->strategy), "when", (json_int_t)a->when,
				 "nsites", (json_int_t)a->nsites);

	vp_json_set_time(json, "time", a->when);
	add_who(json, a->line);
	json_object_set_new(json, "recorded", json_boolean(a->fate == VP_FATE_APPLIED));
	if (a->fate != VP_FATE_APPLIED)
		json_object_set_new(json, "fate", json_string(vp_fate_name(a->fate)));
	if (a->note && *a->note)
		json_object_set_new(json, "note", vp_qmp_text(a->note));
	if (a->nwords)
		json_object_set_new(json, "words", vp_ledger_words(a->words, a->nwords));
	if (sites)
		json_object_set_new(json, "sites", sites);
	return json;
}

static int parse_wanted(struct vp_control *c, const json_t *args, struct wanted *w,
			struct vp_err *err)
{
	json_t *id = NULL, *addr = NULL, *len = NULL;
	int rc =
		vp_args_unpack(args, err, "{s?o, s?o, s?o}", "id", &id, "addr", &addr, "len", &len);

	if (!rc)
		rc = vp_args_number(id, "id", 1, INT64_MAX, &w->id, err);
	if (!rc && (!addr != !len || (id && addr)))
		rc = vp_err_set(err, -EINVAL, "it is either id, or addr and len");
	if (!rc && addr)
		rc = vp_args_addr(c, addr, &w->addr, err);
	if (!rc)
		rc = vp_args_number(len, "len", 1, RANGE_MAX, &w->len, err);
	if (!rc && w->len) {
		w->hidden = calloc(w->len, sizeof(*w->hidden));
		if (!w->hidden)
			rc = vp_err_set(err, -ENOMEM, "out of memory");
	}
	return rc;
}

static json_t *pokes_json(struct vp_control *c, const struct vp_applied *list, size_t n,
			  struct wanted *w)
{
	json_t *ret = json_array(), *sites;
	size_t listed = 0;

	for (size_t i = n; i--;) {
		if (w->id && list[i].id != w->id)
			continue;
		listed += list[i].nsites;
		sites = NULL;
		if (w->id || w->len || listed <= SITES_LISTED_MAX)
			sites = sites_json(c, &list[i], n - i - 1, w);
		if (w->len && !json_array_size(sites))
			json_decref(sites);
		else
			json_array_insert_new(ret, 0, batch_json(&list[i], sites));
	}
	return ret;
}

json_t *vp_control_query_pokes(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_applied *list = NULL;
	struct wanted w = { 0 };
	json_t *ret = NULL;
	size_t n = 0;

	(void)fd;
	vp_control_refresh(c);
	*code = parse_wanted(c, args, &w, err);
	if (!*code)
		*code = vp_control_applied(c, true, &list, &n, err);
	if (!*code)
		ret = pokes_json(c, list, n, &w);
	if (!*code && w.id && !json_array_size(ret)) {
		json_decref(ret);
		ret = NULL;
		*code = vp_err_set(err, -ENOENT, "no batch %llu is applied",
				   (unsigned long long)w.id);
	}
	vp_control_applied_free(list, n);
	free(w.hidden);
	return ret;
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
	if (!c->ledger) /* one that cannot be written is shown all the same */
		return *code ? NULL : json_array();
	lines = vp_ledger_history(c->ledger, err);
	*code = lines ? 0 : -EIO;
	return lines;
}
