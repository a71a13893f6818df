/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier process left behind that died between the two lines of a batch. */
#include <errno.h>
#include <string.h>

#include "control/internal.h"

enum standing { STANDS_OLD, STANDS_NEW, STANDS_MIXED };

static enum standing stands(const void *now, const void *old, const void *fresh, size_t len)
{
	return !memcmp(now, old, len)	 ? STANDS_OLD
	       : memcmp(now, fresh, len) ? STANDS_MIXED
					 : STANDS_NEW;
}

/* How much of the batch is there. */
static int look(struct vp_control *c, const struct vp_record *rec, enum standing *out,
		struct vp_err *err)
{
	size_t count[3] = { 0 };
	int rc = 0;

	for (size_t i = 0; i < rec->nsites && !rc; i++) {
		const struct vp_site *s = &rec->sites[i];
		uint8_t now[VP_INSN_MAX] = { 0 };

		rc = vp_control_read(c, s->addr, now, s->len, err);
		if (!rc)
			count[stands(now, s->old_bytes, s->new_bytes, s->len)]++;
	}
	for (size_t i = 0; i < rec->nwords && !rc; i++) {
		const struct vp_word *w = &rec->words[i];
		uint32_t now = 0;

		if (vp_word_is_condition(w))
			continue;
		rc = vp_control_read(c, w->addr, &now, sizeof(now), err);
		if (!rc)
			count[stands(&now, &w->old_value, &w->new_value, sizeof(now))]++;
	}
	*out = count[STANDS_MIXED] || (count[STANDS_OLD] && count[STANDS_NEW]) ? STANDS_MIXED
	       : count[STANDS_NEW]					       ? STANDS_NEW
									       : STANDS_OLD;
	return rc;
}

/* The number that the batch would have got. */
static uint64_t number_of(struct vp_control *c, const struct vp_ledger_batch *b)
{
	const json_t *id = json_object_get(b->line, "id");

	return id ? (uint64_t)json_integer_value(id) : vp_ledger_next_id(c->ledger);
}

/* It died before the first write, or after the last: only the ledger is behind. */
static int settle(struct vp_control *c, const struct vp_ledger_batch *b, enum standing standing,
		  struct vp_err *err)
{
	if (standing == STANDS_NEW)
		return vp_ledger_end(c->ledger, "applied", number_of(c, b),
				     "its process was killed after the last write", err);
	return vp_ledger_end(c->ledger, "failed", 0,
			     "its process was killed before the first write", err);
}

static int undo(struct vp_control *c, const struct vp_record *rec, struct vp_err *err)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	int rc;

	opts.words = rec->words;
	opts.nwords = rec->nwords;
	rc = rec->nsites ? vp_control_space(c, rec->sites[0].addr, &opts.space, err) : 0;
	if (!rc)
		rc = vp_poke_undo(c->cfg.engine, rec->sites, rec->nsites, &opts, err);
	return rc ? rc
		  : vp_ledger_end(c->ledger, "undone", 0,
				  "its process was killed in the middle; the old bytes stand", err);
}

/*
 * What was begun and not ended. Of which boot it is must be certain: a guest whose kernel cannot be
 * looked at just now may be full of half-written code.
 */
static int find(struct vp_control *c, struct vp_ledger_batch *b, struct vp_err *err)
{
	struct vp_err why = { "" };
	uint64_t boot = 0;
	int rc = vp_control_ledger(c, err);

	if (rc || !c->ledger)
		return rc;
	rc = vp_control_boot(c, &boot, &why);
	if (vp_ledger_is_open(c->ledger) && (rc || !boot))
		return vp_err_set(
			err, -EUCLEAN,
			"an earlier vmpoke was killed in the middle of a batch, and which "
			"kernel runs now cannot be told (%.100s): run `vmpoke recover` when "
			"it can",
			rc ? why.text : "no Linux is there");
	if (rc)
		return 0; /* nothing is open: whoever needs the kernel will say what is wrong */
	rc = vp_ledger_rotate(c->ledger, boot, err);
	return rc ? rc : vp_ledger_unfinished(c->ledger, boot, b, err);
}

/* @sites: NULL to change nothing of the guest. */
static int resolve(struct vp_control *c, size_t *sites, struct vp_err *err)
{
	enum standing standing = STANDS_OLD;
	struct vp_ledger_batch b = { 0 };
	int rc = find(c, &b, err);

	if (rc <= 0)
		return rc;
	rc = look(c, &b.record, &standing, err);
	if (!rc && standing != STANDS_MIXED) {
		rc = settle(c, &b, standing, err);
	} else if (!rc && !sites) {
		rc = vp_err_set(err, -EUCLEAN,
				"an earlier vmpoke was killed in the middle of a batch of %zu "
				"sites: run `vmpoke recover`",
				b.record.nsites);
	} else if (!rc) {
		*sites = b.record.nsites;
		rc = undo(c, &b.record, err);
	}
	vp_ledger_batch_clear(&b);
	return rc;
}

int vp_control_recover(struct vp_control *c, size_t *sites, struct vp_err *err)
{
	*sites = 0;
	return resolve(c, sites, err);
}

int vp_control_check(struct vp_control *c, struct vp_err *err)
{
	return resolve(c, NULL, err);
}
