/* SPDX-License-Identifier: Apache-2.0 */
/* Static keys of a Linux guest (S7): query-keys, key-set. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "target/qmp_wire.h"

static json_t *key_json(const struct vp_linux_key *k)
{
	json_t *json = json_pack("{s:o, s:o, s:i, s:I, s:I, s:b}", "name", vp_qmp_text(k->name),
				 "addr", vp_json_addr(k->addr.v), "enabled", (int)k->enabled,
				 "sites", (json_int_t)k->sites, "init-sites",
				 (json_int_t)k->init_sites, "consistent", k->broken == NULL);

	if (k->broken)
		json_object_set_new(json, "broken", vp_qmp_text(k->broken));
	return json;
}

static int list_key(void *arg, const struct vp_linux_key *k)
{
	json_array_append_new(arg, key_json(k));
	return 0;
}

json_t *vp_control_query_keys(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	json_t *where = NULL, *list;
	struct vp_linux_key key;
	struct vp_linux *l;
	vp_gva addr = { 0 };

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s?o}", "key", &where);
	if (!*code)
		*code = vp_control_linux(c, &l, err);
	if (!*code && where)
		*code = vp_args_addr(c, where, &addr, err);
	if (*code)
		return NULL;
	list = json_array();
	if (!where)
		*code = vp_linux_keys(l, list_key, list, err);
	else if (!(*code = vp_linux_key_at(l, addr, &key, err)))
		list_key(list, &key);
	if (!*code)
		return list;
	json_decref(list);
	return NULL;
}

/* The next word that changes, from words[*at] on; NULL: none is left. */
static const struct vp_word *next_change(const struct vp_word *words, size_t n, size_t *at)
{
	while (*at < n && vp_word_is_condition(&words[*at]))
		++*at;
	return *at < n ? &words[(*at)++] : NULL;
}

/* Conditions are asked each time, whatever they were the last time. */
static bool words_take_back(const struct vp_linux_flip *flip, const struct vp_left *a)
{
	const struct vp_word *x, *y;
	size_t i = 0, j = 0;

	do {
		x = next_change(flip->words, flip->nwords, &i);
		y = next_change(a->words, a->nwords, &j);
		if (!x != !y || (x && (x->addr.v != y->addr.v || x->old_value != y->new_value ||
				       x->new_value != y->old_value)))
			return false;
	} while (x);
	return true;
}

static bool sites_take_back(const struct vp_linux_flip *flip, const struct vp_left *a)
{
	if (flip->nsites != a->nsites)
		return false;
	for (size_t i = 0; i < a->nsites; i++) {
		const struct vp_site *x = &flip->sites[i], *y = &a->sites[i];

		if (x->addr.v != y->addr.v || x->len != y->len ||
		    memcmp(x->old_bytes, y->new_bytes, x->len) ||
		    memcmp(x->new_bytes, y->old_bytes, x->len))
			return false;
	}
	return true;
}

/* Is @flip exactly what takes @a back, but for modules that are gone? Both are by address. */
static bool takes_back(struct vp_control *c, const struct vp_linux_flip *flip,
		       const struct vp_applied *a)
{
	struct vp_left left = { 0 };
	bool does;

	if (flip->nsites > a->nsites || vp_control_left(c, a, &left, NULL))
		return false;
	does = sites_take_back(flip, &left) && words_take_back(flip, &left);
	vp_left_clear(&left);
	return does;
}

/*
 * Switching a key back is taking back the batch that switched it, if that is the newest: the list
 * of what is applied then says what differs, not how often it went to and fro.
 */
static json_t *flip_key(struct vp_control *c, const struct vp_write_args *w,
			struct vp_linux_flip *flip, int *code, struct vp_err *err)
{
	const struct vp_control_batch batch = {
		.sites = flip->sites,
		.nsites = flip->nsites,
		.words = flip->words,
		.nwords = flip->nwords,
	};
	struct vp_applied *list = NULL;
	json_t *ret;
	size_t n = 0;

	*code = vp_control_applied(c, false, &list, &n, err);
	if (*code)
		return NULL;
	if (n && takes_back(c, flip, &list[n - 1]))
		ret = vp_control_take_back(c, w, &list[n - 1], code, err);
	else
		ret = vp_control_apply(c, "key-set", w, &batch, code, err);
	vp_control_applied_free(list, n);
	return ret;
}

/* Look at the key, and switch it if it is not as wanted. */
static json_t *set_key(struct vp_control *c, struct vp_linux *l, const struct vp_write_args *w,
		       vp_gva addr, bool on, int *code, struct vp_err *err)
{
	struct vp_linux_flip flip = { 0 };
	json_t *ret = NULL;

	*code = vp_linux_key_plan(l, addr, on, &flip, err);
	if (!*code && flip.nsites)
		ret = flip_key(c, w, &flip, code, err);
	else if (!*code)
		ret = json_pack("{s:i, s:i, s:b}", "id", 0, "sites", 0, "already", true);
	vp_linux_flip_free(&flip);
	return ret;
}

json_t *vp_control_key_set(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct vp_control *c = arg;
	struct vp_patience patience = { 0 };
	struct vp_write_args w = { 0 };
	json_t *where, *ret = NULL;
	char note[64] = "";
	struct vp_linux *l;
	vp_gva addr = { 0 };
	int on;

	(void)fd;
	vp_control_refresh(c);
	*code = vp_args_unpack(args, err, "{s:o, s:b, " VP_WRITE_ARGS_FMT "}", "key", &where, "on",
			       &on, VP_WRITE_ARGS(&w));
	if (!*code)
		*code = vp_control_may_write(c, err);
	if (!*code)
		*code = vp_control_linux(c, &l, err);
	if (!*code)
		*code = vp_args_addr(c, where, &addr, err);
	if (*code)
		return NULL;
	if (json_is_string(where))
		snprintf(note, sizeof(note), "%s %s", json_string_value(where), on ? "on" : "off");
	w.note = note;
	do
		ret = set_key(c, l, &w, addr, on, code, err);
	while (vp_control_again(&patience, &w, *code));
	return ret;
}
