/* SPDX-License-Identifier: Apache-2.0 */
/* The stop strategy (S9): stop every vCPU, write everything, resume. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vcpus.h"
#include "core/internal.h"

static int check_all(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];
		uint8_t now[VP_INSN_MAX];
		int rc = vp_slot_look(&b->ahead, e->target, s, now, err);

		if (!rc && memcmp(now, s->site.old_bytes, s->site.len))
			rc = vp_err_set(err, -EAGAIN,
					"site %zu at 0x%llx: the guest changed these bytes "
					"meanwhile; nothing written, try again",
					s->index, (unsigned long long)s->site.addr.v);
		if (rc) {
			res->bad_site = (ptrdiff_t)s->index;
			return rc;
		}
	}
	return 0;
}

/* Where the vCPU's next instruction is: outside 64-bit code CS has a base, and 32 bits count. */
static vp_gva where_it_stands(const struct vp_vcpu_state *s)
{
	return VP_GVA(s->code64 ? s->regs.rip : (uint32_t)(s->cs_base + s->regs.rip));
}

/* Who asks where the vCPUs stand, and what he is told. */
struct standing {
	const struct vp_batch *batch;
	struct vp_poke_result *res;
	struct vp_err *err;
};

/*
 * A whole instruction replaces a whole instruction, so nobody stands between the two but who jumped
 * into the middle of it, or found other code in these bytes.
 */
static int check_vcpu(void *arg, int vcpu, const struct vp_vcpu_state *state)
{
	const struct standing *where = arg;
	vp_gva at = where_it_stands(state);
	const struct vp_slot *s = vp_batch_find(where->batch, at);

	/* One that runs a guest of its own enters this one where that exits to. */
	if (state->nested || !s || s->site.addr.v == at.v)
		return 0;
	where->res->bad_site = (ptrdiff_t)s->index;
	return vp_err_set(where->err, -EAGAIN,
			  "site %zu at 0x%llx: vCPU %d stands inside it, at 0x%llx; nothing "
			  "written, try again",
			  s->index, (unsigned long long)s->site.addr.v, vcpu,
			  (unsigned long long)at.v);
}

/*
 * By the RIPs alone, where those come sooner: of code above 4 GB it does not matter what mode a
 * vCPU is in, or whose guest it runs. What is not clear by that is looked at in full.
 */
#define LOW_CODE ((uint64_t)1 << 32)
#define RIPS_MAX 256u

static bool all_stand_clear(struct vp_engine *e, const struct vp_batch *b)
{
	uint64_t rips[RIPS_MAX];
	size_t n = RIPS_MAX;

	if (!e->target->ops->rips || !b->n || b->slots[0].site.addr.v < LOW_CODE ||
	    e->target->ops->rips(e->target, rips, &n) || !n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct vp_slot *s = vp_batch_find(b, VP_GVA(rips[i]));

		if (s && s->site.addr.v != rips[i])
			return false;
	}
	return true;
}

/* @now gets what stands there, or stood there when @a was fetched (NULL: now). */
static int check_slot(struct vp_engine *e, const struct vp_ahead *a, const struct vp_slot *s,
		      uint8_t *now, struct vp_err *err)
{
	int rc = vp_slot_look(a, e->target, s, now, err);

	if (rc || vp_slot_is_half_done(s, now))
		return rc;
	return vp_err_set(err, -ESTALE, "site %zu at 0x%llx: somebody else has changed these bytes",
			  s->index, (unsigned long long)s->site.addr.v);
}

/* Put the old bytes back over whatever of the two stands there, and see that they do. */
static int undo_slot(struct vp_engine *e, const struct vp_slot *s, struct vp_err *err)
{
	const uint8_t *old = s->site.old_bytes;
	uint8_t now[VP_INSN_MAX] = { 0 };
	int rc = check_slot(e, NULL, s, now, err);

	if (rc || !memcmp(now, old, s->site.len))
		return rc;
	rc = vp_slot_write(e->target, s, old, err);
	if (!rc)
		rc = vp_slot_read(e->target, s, now, err);
	if (!rc && memcmp(now, old, s->site.len))
		rc = vp_err_set(err, -EIO, "site %zu at 0x%llx: the old bytes did not arrive",
				s->index, (unsigned long long)s->site.addr.v);
	return rc;
}

/* Every vCPU is stopped. */
static int undo_all(struct vp_engine *e, struct vp_batch *b, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < b->n && !rc; i++)
		rc = undo_slot(e, &b->slots[i], err);
	return rc ? rc : vp_words_undo(e, b, err);
}

/* Whoever lets the guest go on in between, it stands again after each try. */
#define UNDO_MAX 16

static int undo_held(struct vp_engine *e, struct vp_batch *b, struct vp_err *err)
{
	int rc = -EAGAIN;

	for (int i = 0; i < UNDO_MAX && rc == -EAGAIN; i++)
		rc = undo_all(e, b, err);
	return rc;
}

/*
 * Sites and words in one go, where the target can do that. What stands there was compared since the
 * stop; if it changed after all the guest ran, which held() tells.
 */
static int write_in_one(struct vp_engine *e, const struct vp_batch *b, struct vp_err *err)
{
	size_t room = 2 * b->n + b->rec.nwords + 1, n = 0;
	struct vp_piece *pieces = calloc(room, sizeof(*pieces));
	int rc;

	if (!pieces)
		return vp_err_set(err, -ENOMEM, "no memory for a batch of %zu sites", b->n);
	for (size_t i = 0; i < b->n; i++)
		n += vp_slot_pieces(&b->slots[i], b->slots[i].site.new_bytes, pieces + n);
	n += vp_words_pieces(b, pieces + n);
	rc = n ? e->target->ops->write_pieces(e->target, pieces, n, err) : 0;
	free(pieces);
	return rc;
}

static int write_one_by_one(struct vp_engine *e, const struct vp_batch *b,
			    struct vp_poke_result *res, struct vp_err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct vp_slot *s = &b->slots[i];
		int rc = vp_slot_write(e->target, s, s->site.new_bytes, err);

		if (rc) {
			res->bad_site = (ptrdiff_t)s->index;
			return rc;
		}
	}
	return vp_words_swap(e, b, res, err);
}

/* All of it, or none, and that is certain; or -EUCLEAN. */
static int write_all(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = 0;

	rc = e->target->ops->write_pieces ? write_in_one(e, b, err)
					  : write_one_by_one(e, b, res, err);
	if (!rc && e->target->ops->held) /* what ran amid a batch ran half of it */
		rc = e->target->ops->held(e->target, err);
	if (!rc || !undo_held(e, b, &why))
		return rc;
	return vp_err_set(err, -EUCLEAN,
			  "a write failed, and taking it back did, too (%.120s): half a batch may "
			  "stand there; the guest is left stopped",
			  why.text);
}

/* Is all still as it was planned? Every vCPU is stopped, and what is looked at was read since. */
static int look_again(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		      struct vp_err *err)
{
	int rc;

	rc = vp_place_recheck(e, b, res, err);
	if (!rc)
		rc = check_all(e, b, res, err);
	if (!rc)
		rc = vp_words_check(e, b, res, err);
	vp_ahead_forget(&b->ahead);
	return rc;
}

/* A vCPU that stands inside a site is let go on: how often. */
#define STOPS_MAX 16

/* Stop where everything may be written. On success the target is stopped. */
static int stop_well(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		     struct vp_poke_result *res, struct vp_err *err)
{
	struct vp_poke_result inside = { .bad_site = -1 };
	struct vp_err why = { "" };
	struct standing where = { b, &inside, &why };
	int rc, standing = 0;

	for (int i = 0; i < STOPS_MAX; i++) {
		rc = vp_ahead_stop(&b->ahead, e->target, opts->timeout_ms, err);
		if (rc)
			return rc;
		vp_retired_free(e); /* stopped is quiescent */
		atomic_fetch_add_explicit(&e->stats.syncs, 1, memory_order_relaxed);
		rc = look_again(e, b, res, err);
		standing = rc || all_stand_clear(e, b)
				   ? 0
				   : vp_each_vcpu(e->target, check_vcpu, &where, &why);
		if (!rc && !standing)
			return 0;
		e->target->ops->resume(e->target);
		if (rc)
			return rc;
		if (standing != -EAGAIN)
			break;
	}
	res->bad_site = inside.bad_site;
	return vp_err_set(err, standing, "%s", why.text);
}

/* Nobody may run what is half written. */
static void go_on(struct vp_engine *e, int rc)
{
	if (rc == -EUCLEAN)
		e->target->ops->abandon(e->target);
	else
		e->target->ops->resume(e->target);
}

int vp_batch_stop(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		  struct vp_poke_result *res, bool *applied, struct vp_err *err)
{
	int rc = stop_well(e, b, opts, res, err);

	if (!rc) {
		rc = opts->inspect ? opts->inspect(opts->phase_arg, err) : 0;
		if (!rc)
			rc = write_all(e, b, res, err);
		go_on(e, rc);
	}
	*applied = !rc;
	if (!rc && opts->phase)
		opts->phase(opts->phase_arg, VP_PHASE_APPLIED);
	if (rc || !b->recorded)
		vp_batch_free(b); /* no handler ever saw it */
	return rc;
}

int vp_batch_undo(struct vp_engine *e, struct vp_batch *b, unsigned int timeout_ms,
		  struct vp_err *err)
{
	struct vp_poke_result res = { .bad_site = -1, .bad_word = -1 };
	struct vp_err why = { "" };
	uint8_t now[VP_INSN_MAX];
	int rc = vp_ahead_stop(&b->ahead, e->target, timeout_ms, err);

	if (rc)
		return rc;
	rc = vp_place_recheck(e, b, &res, err);
	for (size_t i = 0; i < b->n && !rc; i++) /* before anything is written */
		rc = check_slot(e, &b->ahead, &b->slots[i], now, err);
	vp_ahead_forget(&b->ahead);
	if (!rc && undo_all(e, b, &why))
		rc = vp_err_set(err, -EUCLEAN, "the old bytes cannot be put back: %.180s",
				why.text);
	go_on(e, rc);
	return rc;
}
