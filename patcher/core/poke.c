/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The int3 protocol (docs/protocol.md). For a batch that was planned:
 *
 *	arm		every vCPU turns an int3 into a #BP exit
 *	publish		the trap table, complete, before any int3 (S3)
 *	cap		0xCC over every head			sync 1
 *	re-check	no byte changed under us
 *	tail		all bytes but the first			sync 2
 *	words		conditions, and a count in the guest's data, if the batch has any
 *	head		the first byte; wake parked vCPUs	sync 3
 *	quiesce		no #BP handler is left from before (S4)
 *	retire		the trap table; disarm
 *
 * Until the first new head stands, any failure is rolled back: with the heads capped
 * nobody can run a half-written instruction in either direction. From then on the
 * way is forward only, and all that can be late is the retirement.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

static int sync_all(struct vp_engine *e, enum vp_sync what, unsigned int timeout_ms,
		    struct vp_err *err)
{
	atomic_fetch_add_explicit(&e->stats.syncs, 1, memory_order_relaxed);
	return e->target->ops->sync(e->target, what, timeout_ms, err);
}

static void phase(const struct vp_poke_opts *opts, enum vp_phase p)
{
	if (opts->phase)
		opts->phase(opts->phase_arg, p);
}

/* Release: pairs with the acquire load in vp_trap_handle(). The batch is complete (S3). */
static void table_publish(struct vp_engine *e, struct vp_batch *b)
{
	atomic_store_explicit(&e->table, b, memory_order_release);
}

/* --- the memory of tables that were published once ----------------------------- */

/*
 * The handler of a foreign int3 may still be looking through a table that was just retired, so
 * its memory lives until the next quiescence.
 */
void vp_batch_retire(struct vp_engine *e, struct vp_batch *b)
{
	b->next_retired = e->retired;
	e->retired = b;
}

/* Every handler that began before the last retirement has finished. */
void vp_retired_free(struct vp_engine *e)
{
	while (e->retired) {
		struct vp_batch *b = e->retired;

		e->retired = b->next_retired;
		vp_batch_free(b);
	}
}

/* After sync 3 and quiescence: nobody traps at our sites any more (S4). */
static void table_retire(struct vp_engine *e, struct vp_batch *b)
{
	vp_retired_free(e);
	atomic_store_explicit(&e->table, NULL, memory_order_release);
	e->target->ops->disarm(e->target);
	if (!b->recorded)
		vp_batch_retire(e, b);
}

/* --- the steps --------------------------------------------------------------- */

static int changed_meanwhile(const struct vp_slot *s, struct vp_poke_result *res,
			     struct vp_err *err)
{
	res->bad_site = (ptrdiff_t)s->index;
	return vp_err_set(err, -EAGAIN,
			  "site %zu at 0x%llx: the guest changed these bytes meanwhile; the batch "
			  "is rolled back, try again",
			  s->index, (unsigned long long)s->site.addr.v);
}

static bool tail_is(const uint8_t *now, const struct vp_slot *s, const uint8_t *bytes)
{
	return !memcmp(now + 1, bytes + 1, (size_t)(s->site.len - 1));
}

static int cap_heads(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	for (size_t i = 0; i < b->n; i++)
		if (vp_slot_cap(e->target, &b->slots[i]))
			return changed_meanwhile(&b->slots[i], res, err);
	return 0;
}

/*
 * Is what stands at a capped site still all ours: the int3, and one of the tails we know? If not it
 * is lost to us. An int3 over a tail that somebody changed is the guest's own text_poke at work,
 * whose handler knows what to do with it: from now on it is left alone.
 */
static bool still_ours(struct vp_engine *e, struct vp_slot *s, bool old_tail, bool new_tail)
{
	uint8_t now[VP_INSN_MAX];

	if (!vp_slot_read(e->target, s, now, NULL) && now[0] == VP_INT3) {
		if ((old_tail && tail_is(now, s, s->site.old_bytes)) ||
		    (new_tail && tail_is(now, s, s->site.new_bytes)))
			return true;
		now[0] = s->site.old_bytes[0];
		if (new_tail && s->torn && vp_slot_is_half_done(s, now))
			return true;
	}
	s->lost = true;
	return false;
}

/* Does every site still hold int3 and the old (or the new) tail? Finds all that do not. */
static int recheck(struct vp_engine *e, struct vp_batch *b, bool now_new,
		   struct vp_poke_result *res, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < b->n; i++)
		if (!still_ours(e, &b->slots[i], !now_new, now_new))
			rc = changed_meanwhile(&b->slots[i], res, err);
	return rc;
}

static int write_tails(struct vp_engine *e, struct vp_batch *b, bool *any,
		       struct vp_poke_result *res, struct vp_err *err)
{
	*any = false;
	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];
		int rc;

		if (!vp_slot_has_tail(s))
			continue;
		*any = true;
		rc = vp_slot_swap_tail(e->target, s, s->site.old_bytes, s->site.new_bytes, err);
		s->lost = rc == -EAGAIN;
		if (s->lost)
			return changed_meanwhile(s, res, err);
		s->tailed = true;
		s->torn = rc; /* some of it may stand there */
		if (rc)
			return rc;
	}
	return 0;
}

/*
 * Put the final head on every site that is still ours. One that cannot be written now, though it
 * is, stays capped: that is for the next try to take it back.
 */
static int uncap_heads(struct vp_engine *e, struct vp_batch *b, bool to_new,
		       struct vp_poke_result *res, struct vp_err *err)
{
	int ret = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];
		int rc;

		if (!s->capped || s->lost)
			continue;
		rc = vp_slot_uncap(e->target, s, to_new ? s->site.new_bytes : s->site.old_bytes);
		if (rc && rc != -EAGAIN && !to_new)
			return rc;
		s->capped = false;
		if (!rc)
			continue;
		s->lost = true;
		res->bad_site = (ptrdiff_t)s->index;
		ret = vp_err_set(err, -EIO,
				 "site %zu at 0x%llx: the guest overwrote it in the last step; the "
				 "other sites are applied: look at it with `read`, then revert",
				 s->index, (unsigned long long)s->site.addr.v);
	}
	return ret;
}

/*
 * The end of both ways, after the last write of a head. `open` first: see park() in trap.c.
 */
static int finish(struct vp_engine *e, struct vp_batch *b, unsigned int timeout_ms)
{
	int rc;

	atomic_store_explicit(&b->open, true, memory_order_release);
	e->target->ops->unpark(e->target);
	rc = sync_all(e, b->sync, timeout_ms, NULL);
	if (!rc)
		rc = e->target->ops->quiesce(e->target, timeout_ms, NULL);
	return rc;
}

/* --- undoing ----------------------------------------------------------------- */

/* Look at every capped site just before it is written; @tails: ours may still stand there. */
static void find_lost(struct vp_engine *e, struct vp_batch *b, bool tails)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->slots[i].capped && !b->slots[i].lost && !b->slots[i].doubt)
			still_ours(e, &b->slots[i], true, tails && b->slots[i].tailed);
}

static int restore_tails(struct vp_engine *e, struct vp_batch *b, bool *any)
{
	*any = false;
	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];
		int rc;

		if (!s->tailed || s->lost)
			continue;
		*any = true;
		rc = vp_slot_swap_tail(e->target, s, s->site.new_bytes, s->site.old_bytes, NULL);
		if (rc == -EAGAIN) /* done in an earlier try, or lost */
			still_ours(e, s, true, false);
		else if (rc)
			return rc;
	}
	return 0;
}

/*
 * How often the guest gets the time to go on with its own text_poke. In each round every vCPU
 * enters the guest, where it answers the interrupt that text_poke waits for, and is called out of
 * it again. One that runs into an int3 meanwhile does so again and again: parked, it would not
 * answer.
 */
#define DOUBT_ROUNDS 3

static int settle_doubts(struct vp_engine *e, struct vp_batch *b, unsigned int timeout_ms)
{
	bool any = false;
	int rc = 0;

	for (size_t i = 0; i < b->n; i++)
		any = any || b->slots[i].doubt;
	/* Release: pairs with the acquire load in park() (trap.c). */
	atomic_store_explicit(&b->awake, any, memory_order_release);
	for (int round = 0; round < DOUBT_ROUNDS && any && !rc; round++) {
		e->target->ops->unpark(e->target);
		rc = e->target->ops->quiesce(e->target, timeout_ms, NULL);
		if (!rc)
			rc = sync_all(e, VP_SYNC_EXIT, timeout_ms, NULL);
	}
	atomic_store_explicit(&b->awake, false, memory_order_release);
	for (size_t i = 0; i < b->n && !rc; i++)
		if (b->slots[i].doubt)
			rc = vp_slot_decide(e->target, &b->slots[i]);
	return rc;
}

/*
 * Take back whatever was written; each step may be repeated. Non-zero: a vCPU did not answer, or
 * something cannot be written now; the sites are still guarded by the table, and vp_batch_settle()
 * must come here again.
 */
static int roll_back(struct vp_engine *e, struct vp_batch *b, unsigned int timeout_ms,
		     struct vp_poke_result *res)
{
	bool any;
	int rc;

	/* Release: pairs with the acquire load in vp_trap_handle(). Nobody does the new code now.
	 */
	atomic_store_explicit(&b->undoing, true, memory_order_release);
	rc = settle_doubts(e, b, timeout_ms);
	if (rc)
		return rc;
	find_lost(e, b, true);
	rc = restore_tails(e, b, &any);
	if (!rc && any)
		rc = sync_all(e, b->sync, timeout_ms, NULL);
	if (rc)
		return rc;
	find_lost(e, b, false);
	for (size_t i = 0; i < b->n; i++)
		b->slots[i].tailed = false;
	rc = uncap_heads(e, b, false, res, NULL);
	return rc && rc != -EIO ? rc : finish(e, b, timeout_ms);
}

int vp_batch_settle(struct vp_engine *e, unsigned int timeout_ms, struct vp_poke_result *res,
		    struct vp_err *err)
{
	struct vp_batch *b = atomic_load(&e->unfinished);
	int rc;

	if (!b)
		return 0;
	/* What is taken back is written. */
	rc = b->reached_heads ? 0 : e->target->ops->writable(e->target, err);
	if (rc)
		return rc;
	rc = b->reached_heads ? finish(e, b, timeout_ms) : roll_back(e, b, timeout_ms, res);
	if (rc)
		return vp_err_set(err, -EBUSY,
				  "an earlier batch still waits for a vCPU that does not answer; "
				  "its sites are guarded; try again later");
	table_retire(e, b);
	atomic_store(&e->unfinished, NULL);
	return 0;
}

static int fail(struct vp_engine *e, struct vp_batch *b, int rc, const struct vp_poke_opts *opts,
		struct vp_poke_result *res)
{
	atomic_fetch_add_explicit(&e->stats.rollbacks, 1, memory_order_relaxed);
	b->recorded = false;
	if (roll_back(e, b, opts->timeout_ms, res))
		atomic_store(&e->unfinished, b);
	else
		table_retire(e, b);
	phase(opts, VP_PHASE_ROLLED_BACK);
	return rc;
}

/* --- all of it --------------------------------------------------------------- */

/* Everything up to the point of no return. */
static int prepare(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		   struct vp_poke_result *res, struct vp_err *err)
{
	bool any_tail;
	int rc;

	table_publish(e, b);
	rc = cap_heads(e, b, res, err);
	if (!rc)
		rc = sync_all(e, b->sync, opts->timeout_ms, err);
	if (rc)
		return rc;
	phase(opts, VP_PHASE_CAPPED);

	rc = recheck(e, b, false, res, err);
	if (!rc)
		rc = write_tails(e, b, &any_tail, res, err);
	if (!rc && any_tail)
		rc = sync_all(e, b->sync, opts->timeout_ms, err);
	if (!rc)
		rc = recheck(e, b, true, res, err);
	if (!rc)
		phase(opts, VP_PHASE_TAILED);
	/* The last that may fail, so what it stores is never rolled back. */
	if (!rc)
		rc = vp_words_check(e, b, res, err);
	return rc ? rc : vp_words_swap(e, b, res, err);
}

int vp_batch_int3(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		  struct vp_poke_result *res, bool *applied, struct vp_err *err)
{
	int rc = e->target->ops->arm(e->target, opts->timeout_ms, err);

	if (rc) {
		e->target->ops->disarm(e->target);
		vp_batch_free(b);
		return rc;
	}
	rc = prepare(e, b, opts, res, err);
	if (rc)
		return fail(e, b, rc, opts, res);

	*applied = true;
	b->reached_heads = true;
	rc = uncap_heads(e, b, true, res, err);
	if (finish(e, b, opts->timeout_ms))
		atomic_store(&e->unfinished, b);
	else
		table_retire(e, b);
	phase(opts, VP_PHASE_APPLIED);
	return rc;
}
