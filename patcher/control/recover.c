/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier process left behind that died between the two lines of a batch. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"

/* How much of a batch is there. */
struct look {
	size_t count[VP_STANDS_UNMAPPED + 1];
	vp_gva odd; /* the first site where neither of the two stands */
};

static void count(struct look *k, enum vp_standing s, vp_gva addr)
{
	if ((s == VP_STANDS_OTHER || s == VP_STANDS_UNMAPPED) && !k->count[VP_STANDS_OTHER] &&
	    !k->count[VP_STANDS_UNMAPPED])
		k->odd = addr;
	k->count[s]++;
}

static int look(struct vp_control *c, const struct vp_ledger_batch *b, struct look *k,
		struct vp_err *err)
{
	const json_t *sites = json_object_get(b->line, "sites");
	const struct vp_record *rec = &b->record;
	struct vp_view view = { .ahead = VP_STANDING_AHEAD };
	enum vp_standing s;
	int rc = 0;

	*k = (struct look){ 0 };
	for (size_t i = 0; i < rec->nsites && !rc; i++) {
		struct vp_module_was was = vp_module_was_of(json_array_get(sites, i));

		rc = vp_control_standing(c, &view, &rec->sites[i], &was, &s, err);
		if (!rc)
			count(k, s, rec->sites[i].addr);
	}
	vp_view_free(&view);
	for (size_t i = 0; i < rec->nwords && !rc; i++) {
		if (vp_word_is_condition(&rec->words[i]))
			continue;
		rc = vp_control_word_standing(c, &rec->words[i], &s, err);
		if (!rc)
			count(k, s, rec->words[i].addr);
	}
	return rc;
}

static bool is_odd(const struct look *k)
{
	return k->count[VP_STANDS_OTHER] || k->count[VP_STANDS_UNMAPPED];
}

static bool is_half(const struct look *k)
{
	return k->count[VP_STANDS_HALF] || (k->count[VP_STANDS_OLD] && k->count[VP_STANDS_NEW]);
}

/* --- telling ------------------------------------------------------------------- */

static int say_half(const struct vp_ledger_batch *b, struct vp_err *err)
{
	return vp_err_set(err, -EUCLEAN,
			  "batch %llu (%zu sites) was begun by a vmpoke that was killed in its "
			  "middle, and stands half written: run `vmpoke recover TARGET`",
			  (unsigned long long)b->record.id, b->record.nsites);
}

static int say_odd(const struct vp_ledger_batch *b, const struct look *k, int code,
		   struct vp_err *err)
{
	return vp_err_set(
		err, code,
		"batch %llu was begun by a vmpoke that was killed, and at 0x%llx %s: look, "
		"and end it by `vmpoke recover TARGET --abandon %llu`",
		(unsigned long long)b->record.id, (unsigned long long)k->odd.v,
		k->count[VP_STANDS_OTHER] ? "other bytes stand than its old or new ones"
					  : "nothing is mapped",
		(unsigned long long)b->record.id);
}

/* --- ending -------------------------------------------------------------------- */

/* The bytes are right; a line that cannot be written does not change that. */
static int end(struct vp_control *c, const struct vp_ledger_batch *b, const char *event,
	       const char *text, struct vp_recovered *out, struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = vp_ledger_end_of(c->ledger, b, event, text, &why);

	if (!rc)
		return 0;
	if (!out)
		return vp_err_set(err, rc, "%s", why.text);
	if (!out->unwritten) {
		out->unwritten = rc;
		out->why = why;
	}
	return 0;
}

/* It died before the first write, or after the last: only the ledger is behind. */
static int settle(struct vp_control *c, const struct vp_ledger_batch *b, const struct look *k,
		  struct vp_recovered *out, struct vp_err *err)
{
	if (k->count[VP_STANDS_NEW])
		return end(c, b, "applied", "its process was killed after the last write", out,
			   err);
	if (k->count[VP_STANDS_OLD])
		return end(c, b, "failed", "its process was killed before the first write", out,
			   err);
	return end(c, b, "failed", "its process was killed; its modules are unloaded", out, err);
}

/* The sites of @b that are not gone; to be freed. */
static int still_there(struct vp_control *c, const struct vp_ledger_batch *b, struct vp_site **out,
		       size_t *n, struct vp_err *err)
{
	const json_t *lines = json_object_get(b->line, "sites");
	int rc = 0;

	*n = 0;
	*out = calloc(b->record.nsites + 1, sizeof(**out));
	if (!*out)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < b->record.nsites && !rc; i++) {
		struct vp_module_was was = vp_module_was_of(json_array_get(lines, i));
		enum vp_standing s;

		rc = vp_control_standing(c, NULL, &b->record.sites[i], &was, &s, err);
		if (!rc && s != VP_STANDS_GONE)
			(*out)[(*n)++] = b->record.sites[i];
	}
	return rc;
}

static int undo(struct vp_control *c, const struct vp_ledger_batch *b, struct vp_recovered *out,
		struct vp_err *err)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	struct vp_site *sites = NULL;
	size_t n = 0;
	int rc = still_there(c, b, &sites, &n, err);

	opts.words = b->record.words;
	opts.nwords = b->record.nwords;
	if (!rc && (n || opts.nwords)) /* words alone: all the sites are gone */
		rc = vp_control_space(c, n ? sites[0].addr : opts.words[0].addr, &opts.space, err);
	if (!rc)
		rc = vp_poke_undo(c->cfg.engine, sites, n, &opts, err);
	free(sites);
	if (rc)
		return rc;
	out->sites += n;
	return end(c, b, "undone", "its process was killed in the middle; the old bytes stand", out,
		   err);
}

/* --abandon: only what cannot be put right. */
static int abandon(struct vp_control *c, const struct vp_ledger_batch *b, const struct look *k,
		   struct vp_recovered *out, struct vp_err *err)
{
	char text[200];

	if (!is_odd(k) && (!is_half(k) || !undo(c, b, out, NULL)))
		return vp_err_set(err, -EINVAL, "batch %llu %s: nothing was to be abandoned",
				  (unsigned long long)b->record.id,
				  is_half(k) ? "could be put right, and is"
					     : "is as a whole there, or not at all");
	snprintf(text, sizeof(text),
		 "abandoned by its operator: of its places %zu are old, %zu new, %zu neither, %zu "
		 "unmapped, %zu in modules that are gone",
		 k->count[VP_STANDS_OLD], k->count[VP_STANDS_NEW], k->count[VP_STANDS_OTHER],
		 k->count[VP_STANDS_UNMAPPED], k->count[VP_STANDS_GONE]);
	out->abandoned = b->record.id;
	return end(c, b, "abandoned", text, out, err);
}

/* --- finding ------------------------------------------------------------------- */

/*
 * What was begun and not ended. Of which boot it is must be certain: a guest whose kernel cannot be
 * looked at just now may be full of half-written code.
 */
static int find(struct vp_control *c, struct vp_ledger_batch **list, size_t *n, struct vp_err *err)
{
	struct vp_err why = { "" };
	struct vp_ledger_vm vm = { 0 };
	int rc;

	*n = 0;
	*list = NULL;
	if (!c->ledger || !vp_ledger_is_open(c->ledger, c->cfg.process))
		return 0;
	rc = vp_control_vm(c, &vm, &why);
	if (rc || !vm.boot)
		return vp_err_set(
			err, -EUCLEAN,
			"an earlier vmpoke was killed in the middle of a batch, and which "
			"kernel runs now cannot be told (%.100s): run `vmpoke recover` when "
			"it can",
			rc ? why.text : "no Linux is there");
	return vp_ledger_unfinished(c->ledger, &vm, list, n, err);
}

static int check_one(struct vp_control *c, const struct vp_ledger_batch *b, struct vp_err *err)
{
	struct look k;
	int rc = look(c, b, &k, err);

	if (rc)
		return rc;
	if (is_odd(&k))
		return say_odd(b, &k, -EUCLEAN, err);
	return is_half(&k) ? say_half(b, err) : settle(c, b, &k, NULL, err);
}

static int recover_one(struct vp_control *c, const struct vp_ledger_batch *b,
		       const struct vp_recover *what, struct vp_recovered *out, struct vp_err *err)
{
	struct look k;
	int rc = look(c, b, &k, err);

	if (rc)
		return rc;
	if (what->abandon == b->record.id)
		return abandon(c, b, &k, out, err);
	if (is_odd(&k))
		return say_odd(b, &k, -ESTALE, err);
	return is_half(&k) ? undo(c, b, out, err) : settle(c, b, &k, out, err);
}

/* --- the calls ----------------------------------------------------------------- */

int vp_control_check(struct vp_control *c, struct vp_err *err)
{
	struct vp_ledger_batch *list = NULL;
	size_t n = 0;

	c->half = 0;
	if (vp_control_ledger(c, NULL)) /* nothing will be written, and that is said */
		return 0;
	if (c->ledger)
		vp_ledger_rotate(c->ledger, c->cfg.boot, NULL);
	c->half = find(c, &list, &n, &c->why_half);
	for (size_t i = n; i-- && !c->half;)
		c->half = check_one(c, &list[i], &c->why_half);
	vp_ledger_batches_free(list, n);
	if (!c->half)
		c->half = vp_control_check_hotfixes(c, &c->why_half);
	return c->half ? vp_err_set(err, c->half, "%s", c->why_half.text) : 0;
}

/* A ledger that cannot be written still tells what is to be put right; one that is not there: that
 * nothing is. */
static int ledger_to_recover(struct vp_control *c, const struct vp_recover *what,
			     struct vp_recovered *out, struct vp_err *err)
{
	struct vp_err why = { "" };
	char *aside = NULL;
	int rc = vp_control_ledger(c, &why);

	if (rc == -EBUSY || (rc && c->no_look))
		return vp_err_set(err, rc, "%s", why.text);
	if (rc) {
		out->unwritten = rc;
		out->why = why;
	}
	if (rc || !c->ledger)
		return 0;
	if (what->put_aside && (!*out->aside || vp_ledger_is_damaged(c->ledger))) {
		rc = vp_ledger_put_aside(c->ledger, &aside, err);
		if (!rc)
			snprintf(out->aside, sizeof(out->aside), "%s", aside);
		free(aside);
		return rc;
	}
	return vp_ledger_is_damaged(c->ledger)
		       ? vp_err_set(err, -EBADMSG, "%s", vp_ledger_trouble(c->ledger))
		       : 0;
}

int vp_control_recover(struct vp_control *c, const struct vp_recover *what,
		       struct vp_recovered *out, struct vp_err *err)
{
	struct vp_ledger_batch *list = NULL;
	bool found = !what->abandon || out->abandoned == what->abandon;
	struct vp_err *why = &c->why_half;
	size_t n = 0;
	int rc;

	out->unwritten = 0;
	rc = ledger_to_recover(c, what, out, why);
	if (!rc)
		rc = find(c, &list, &n, why);
	for (size_t i = n; i-- && !rc;) {
		found |= list[i].record.id == what->abandon;
		rc = recover_one(c, &list[i], what, out, why);
	}
	vp_ledger_batches_free(list, n);
	c->half = rc;
	if (!rc && !found)
		rc = vp_err_set(why, -ENOENT, "no batch %llu of this VM is unfinished",
				(unsigned long long)what->abandon);
	return rc ? vp_err_set(err, rc, "%s", why->text) : 0;
}
