/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning: copy a batch, then check everything that can be checked, in the order
 * shape, overlap, address, bytes, fixup. Nothing is written; the first fault refuses all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"
#include "x86/emulate.h"
#include "x86/trap.h"

#define AT(s) (s)->index, (unsigned long long)(s)->site.addr.v

void vp_batch_free(struct vp_batch *b)
{
	if (!b)
		return;
	free((void *)b->rec.sites);
	free((void *)b->rec.words);
	free(b->word_at);
	free(b->runs);
	vp_ahead_free(&b->ahead);
	free(b);
}

/* --- shape ------------------------------------------------------------------- */

/* Exactly one instruction, as long as the site. */
static int check_one_insn(const struct vp_slot *s, const char *which, const uint8_t *bytes,
			  struct vp_insn *out, struct vp_err *err)
{
	struct vp_err why = { .text = "" };
	int rc;

	rc = vp_insn_decode(bytes, s->site.len, s->site.addr, out, &why);
	if (rc)
		return vp_err_set(err, rc, "site %zu at 0x%llx: %s bytes: %s", AT(s), which,
				  why.text);
	if (out->len != s->site.len)
		return vp_err_set(err, -EINVAL,
				  "site %zu at 0x%llx: the %s bytes are more than one instruction "
				  "(the first has %u of %u bytes): a vCPU or a sleeping task may "
				  "stand between them; patch them one by one",
				  AT(s), which, out->len, s->site.len);
	if (out->kind == VP_INSN_INT3)
		return vp_err_set(err, -EINVAL,
				  "site %zu at 0x%llx: the %s bytes are an int3, which marks a "
				  "patch in flight and cannot be patched",
				  AT(s), which);
	return 0;
}

static int check_shape(struct vp_batch *b, struct vp_slot *s, struct vp_err *err)
{
	struct vp_insn old;
	int rc;

	if (s->site.len < 1 || s->site.len > VP_INSN_MAX)
		return vp_err_set(err, -EINVAL, "site %zu at 0x%llx: length %u is not 1 to %d",
				  AT(s), s->site.len, VP_INSN_MAX);
	rc = check_one_insn(s, "old", s->site.old_bytes, &old, err);
	if (!rc)
		rc = check_one_insn(s, "new", s->site.new_bytes, &s->new_insn, err);
	if (rc)
		return rc;
	if (!vp_insn_is_never_emulated(&old) || !vp_insn_is_never_emulated(&s->new_insn))
		b->sync = VP_SYNC_EXIT;
	switch (s->site.resume) {
	case VP_RESUME_PARK:
	case VP_RESUME_FIXUP:
		return 0;
	case VP_RESUME_EMULATE:
		if (vp_can_emulate(&s->new_insn))
			return 0;
		return vp_err_set(
			err, -EINVAL,
			"site %zu at 0x%llx: the new instruction cannot be emulated (nop, "
			"jmp, call, ret, jcc, mov-imm can); use resume rule park",
			AT(s));
	}
	return vp_err_set(err, -EINVAL, "site %zu at 0x%llx: unknown resume rule %d", AT(s),
			  (int)s->site.resume);
}

/* --- overlap ----------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	const struct vp_slot *x = a, *y = b;

	return (x->site.addr.v > y->site.addr.v) - (x->site.addr.v < y->site.addr.v);
}

static int overlap(const struct vp_slot *a, const struct vp_slot *b, struct vp_poke_result *res,
		   struct vp_err *err)
{
	const struct vp_slot *later = a->index > b->index ? a : b;
	const struct vp_slot *first = a->index > b->index ? b : a;

	res->bad_site = (ptrdiff_t)later->index;
	return vp_err_set(err, -EINVAL,
			  "site %zu at 0x%llx: overlaps site %zu at 0x%llx; merge them or poke "
			  "them one after the other",
			  AT(later), AT(first));
}

/* By physical address, which also catches one page mapped twice. */
static int check_overlap(struct vp_batch *b, struct vp_poke_result *res, struct vp_err *err)
{
	const struct vp_run *r;
	int rc = vp_runs_make(b, err);

	if (rc)
		return rc;
	r = vp_runs_overlap(b);
	return r ? overlap(r[0].slot, r[1].slot, res, err) : 0;
}

/* --- bytes ------------------------------------------------------------------- */

static void hex(char *text, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

/* What a check needs to know of the guest. */
struct plan {
	struct vp_space space;
	bool half_done; /* each byte may be the old or the new one */
};

static int check_bytes(const struct plan *p, const struct vp_slot *s, struct vp_err *err)
{
	char found[2 * VP_INSN_MAX + 1], want[2 * VP_INSN_MAX + 1];
	uint8_t now[VP_INSN_MAX];
	struct vp_err why = { .text = "" };
	int rc = vp_slot_look(p->space.ahead, p->space.target, s, now, &why);

	if (rc)
		return vp_err_set(err, rc, "site %zu at 0x%llx: %s", AT(s), why.text);
	if (!memcmp(now, s->site.old_bytes, s->site.len) ||
	    (p->half_done && vp_slot_is_half_done(s, now)))
		return 0;
	if (vp_int3_length(now, s->site.len))
		return vp_err_set(err, -EBUSY,
				  "site %zu at 0x%llx: a foreign int3 stands there (a probe or "
				  "debugger of the guest?); have it removed first",
				  AT(s));
	hex(found, now, s->site.len);
	hex(want, s->site.old_bytes, s->site.len);
	return vp_err_set(err, -ESTALE,
			  "site %zu at 0x%llx: 0x%s stands there, not the old bytes 0x%s", AT(s),
			  found, want);
}

static int check_site(struct plan *p, struct vp_slot *s, struct vp_err *err)
{
	int rc = vp_place_slot(&p->space, s, err);

	if (!rc)
		rc = check_bytes(p, s, err);
	return rc ? rc : vp_slot_check_write(p->space.target, s, err);
}

/* --- fixup ------------------------------------------------------------------- */

/* A whole instruction of guest text, outside every site of the batch, not itself an int3. */
static int check_fixup(struct vp_space *sp, const struct vp_batch *b, const struct vp_slot *s,
		       struct vp_err *err)
{
	unsigned long long at = (unsigned long long)s->site.fixup.v;
	const struct vp_slot *inside;
	uint8_t bytes[VP_INSN_MAX];
	vp_gpa gpa;
	int rc;

	if (s->site.resume != VP_RESUME_FIXUP)
		return 0;
	rc = vp_place_text(sp, s, "fixup of site", s->site.fixup, &gpa, err);
	if (rc)
		return rc;
	inside = vp_batch_find(b, s->site.fixup);
	if (inside)
		return vp_err_set(err, -EINVAL,
				  "fixup of site %zu at 0x%llx: lies inside site %zu of the batch",
				  s->index, at, inside->index);
	rc = vp_space_read(sp, gpa, bytes, vp_insn_room(gpa), err);
	if (!rc && vp_int3_length(bytes, vp_insn_room(gpa)))
		rc = vp_err_set(err, -EINVAL, "fixup of site %zu at 0x%llx: an int3 stands there",
				s->index, at);
	return rc;
}

/* --- in few reads ------------------------------------------------------------ */

/* What does not translate is left to the check that will say so. */
static void want(struct vp_space *sp, vp_gva addr, size_t len, enum vp_when when)
{
	struct vp_map map;

	if (!vp_space_walk(sp, addr, &map, NULL))
		vp_ahead_want(sp->ahead, map.gpa, len, when);
}

/* Fetch all that the checks below look at, where the target can hand over many pieces at once. */
static void fetch(struct vp_space *sp, struct vp_batch *b)
{
	sp->again = true; /* where the sites are is asked in the stop, too */
	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot s = b->slots[i];

		if (!vp_place_slot(sp, &s, NULL))
			vp_slot_want(sp->ahead, &s);
	}
	sp->again = false;
	for (size_t i = 0; i < b->n; i++) {
		vp_gva fixup = b->slots[i].site.fixup;

		if (b->slots[i].site.resume == VP_RESUME_FIXUP)
			want(sp, fixup, vp_insn_room(VP_GPA(fixup.v)), VP_IN_PLAN);
	}
	for (size_t i = 0; i < b->rec.nwords; i++)
		want(sp, b->rec.words[i].addr, sizeof(b->rec.words[i].old_value), VP_IN_BOTH);
	vp_ahead_fetch(sp->ahead, sp->target, VP_IN_PLAN);
}

/* --- all of it --------------------------------------------------------------- */

static struct vp_batch *copy_batch(const struct vp_site *sites, size_t n,
				   const struct vp_poke_opts *opts)
{
	struct vp_batch *b;

	if (n > (SIZE_MAX - sizeof(*b)) / sizeof(b->slots[0]))
		return NULL;
	b = calloc(1, sizeof(*b) + n * sizeof(b->slots[0]));
	if (!b)
		return NULL;
	b->n = n;
	for (size_t i = 0; i < n; i++) {
		b->slots[i].site = sites[i];
		b->slots[i].index = i;
	}
	qsort(b->slots, n, sizeof(b->slots[0]), by_address);
	b->rec.strategy = opts->strategy;
	b->rec.when = opts->when;
	b->rec.note = b->note;
	if (opts->note)
		strncpy(b->note, opts->note, sizeof(b->note) - 1);
	return b;
}

/* What the record shows, apart from the slots: plain sites in address order. */
static int copy_record(struct vp_batch *b, struct vp_err *err)
{
	struct vp_site *sites = calloc(b->n + 1, sizeof(*sites));

	if (!sites)
		return vp_err_set(err, -ENOMEM, "no memory for a batch of %zu sites", b->n);
	for (size_t i = 0; i < b->n; i++)
		sites[i] = b->slots[i].site;
	b->rec.sites = sites;
	b->rec.nsites = b->n;
	return 0;
}

static int check_sites(struct plan *p, struct vp_batch *b, struct vp_poke_result *res,
		       struct vp_err *err)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < b->n && !rc; i++)
		rc = check_site(p, &b->slots[i], err);
	for (size_t j = 0; j < b->n && !rc; j++) {
		i = j + 1;
		rc = check_fixup(&p->space, b, &b->slots[j], err);
	}
	if (rc)
		res->bad_site = (ptrdiff_t)b->slots[i - 1].index;
	else
		rc = check_overlap(b, res, err);
	return rc ? rc : vp_words_plan(&p->space, b, p->half_done, res, err);
}

/* By b->paging. */
static int check_all(struct vp_engine *e, struct vp_batch *b, bool half_done,
		     struct vp_poke_result *res, struct vp_err *err)
{
	struct plan p = { .space = vp_space_of(e->target, b), .half_done = half_done };
	struct vp_tables *tables = e->target->ops->read_pieces ? calloc(1, sizeof(*tables)) : NULL;
	int rc;

	if (tables) {
		vp_tables_init(tables, vp_target_reader(e->target));
		p.space.tables = tables;
		fetch(&p.space, b);
	}
	rc = check_sites(&p, b, res, err);
	vp_ahead_forget(&b->ahead);
	free(tables);
	return rc;
}

/* The page tables that the caller gave are the kernel's own; a vCPU's are held while in use. */
static int check_in_guest(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
			  bool half_done, struct vp_poke_result *res, struct vp_err *err)
{
	struct vp_vcpu_state state;
	int rc;

	if (opts->space) {
		b->paging = *opts->space;
		return check_all(e, b, half_done, res, err);
	}
	rc = e->target->ops->hold(e->target, opts->vcpu, &state, err);
	if (rc)
		return rc;
	b->paging = state.paging;
	rc = vp_space_check(&state, err);
	if (!rc)
		rc = check_all(e, b, half_done, res, err);
	e->target->ops->release(e->target);
	return rc;
}

int vp_plan_make(struct vp_engine *e, const struct vp_site *sites, size_t n,
		 const struct vp_poke_opts *opts, bool half_done, struct vp_poke_result *res,
		 struct vp_batch **out, struct vp_err *err)
{
	struct vp_batch *b;
	int rc = 0;

	if (opts->strategy == VP_STRATEGY_INT3 && e->target->no_int3)
		return vp_err_set(err, -EOPNOTSUPP, "%s: use --strategy stop", e->target->no_int3);
	/* Words alone: of a batch that is taken back, whose sites are gone. */
	if (!n &&
	    (opts->strategy != VP_STRATEGY_STOP || !vp_words_change(opts->words, opts->nwords)))
		return vp_err_set(err, -EINVAL, "the batch has no sites");
	b = copy_batch(sites, n, opts);
	if (!b)
		return vp_err_set(err, -ENOMEM, "no memory for a batch of %zu sites", n);
	rc = vp_words_copy(b, opts->words, opts->nwords, err);
	for (size_t i = 0; i < n && !rc; i++) {
		rc = check_shape(b, &b->slots[i], err);
		if (rc)
			res->bad_site = (ptrdiff_t)b->slots[i].index;
	}
	if (!rc)
		rc = check_in_guest(e, b, opts, half_done, res, err);
	if (!rc)
		rc = copy_record(b, err);
	if (rc) {
		vp_batch_free(b);
		return rc;
	}
	*out = b;
	return 0;
}
