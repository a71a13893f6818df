// SPDX-License-Identifier: Apache-2.0
/* The stop strategy (S9): stop every vCPU, write everything, resume. */
#include <errno.h>
#include <string.h>

#include "core/internal.h"

static int check_all(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];
		uint8_t now[VP_INSN_MAX];
		int rc = vp_slot_read(e->target, s, now, err);

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

/*
 * A whole instruction replaces a whole instruction, so nobody stands between the two but who jumped
 * into the middle of it, or found other code in these bytes.
 */
static int check_vcpus(struct vp_engine *e, const struct vp_batch *b, struct vp_poke_result *res,
		       struct vp_err *err)
{
	for (int vcpu = 0; vcpu < VP_VCPU_MAX; vcpu++) {
		struct vp_vcpu_state state;
		const struct vp_slot *s;
		int rc = e->target->ops->hold(e->target, vcpu, &state, err);

		if (rc == -ENOENT)
			continue;
		if (rc)
			return rc;
		e->target->ops->release(e->target);
		s = vp_batch_find(b, VP_GVA(state.regs.rip));
		if (!s || s->site.addr.v == state.regs.rip)
			continue;
		res->bad_site = (ptrdiff_t)s->index;
		return vp_err_set(
			err, -EAGAIN,
			"site %zu at 0x%llx: vCPU %d stands inside it, at 0x%llx; nothing "
			"written, try again",
			s->index, (unsigned long long)s->site.addr.v, vcpu,
			(unsigned long long)state.regs.rip);
	}
	return 0;
}

/* Nobody runs: whatever stands at the first @n sites can be put back as it was. */
static void put_back(struct vp_engine *e, struct vp_batch *b, size_t n)
{
	while (n--) {
		struct vp_slot *s = &b->slots[n];

		vp_slot_write(e->target, s, s->site.old_bytes, NULL);
	}
}

static int write_all(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	int rc;

	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];

		rc = vp_slot_write(e->target, s, s->site.new_bytes, err);
		if (!rc)
			continue;
		res->bad_site = (ptrdiff_t)s->index;
		put_back(e, b, i + 1); /* some of it may stand there */
		return rc;
	}
	rc = vp_batch_swap_word(e, b, err);
	if (rc)
		put_back(e, b, b->n);
	return rc;
}

/* A vCPU that stands inside a site is let go on: how often. */
#define STOPS_MAX 16

/* Stop where everything may be written. On success the target is stopped. */
static int stop_well(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		     struct vp_poke_result *res, struct vp_err *err)
{
	int rc, standing;

	for (int i = 0; i < STOPS_MAX; i++) {
		rc = e->target->ops->stop(e->target, opts->timeout_ms, err);
		if (rc)
			return rc;
		vp_retired_free(e); /* stopped is quiescent */
		atomic_fetch_add_explicit(&e->stats.syncs, 1, memory_order_relaxed);
		rc = vp_place_recheck(e, b, res, err);
		if (!rc)
			rc = check_all(e, b, res, err);
		standing = rc ? 0 : check_vcpus(e, b, res, err);
		if (!rc && !standing)
			return 0;
		e->target->ops->resume(e->target);
		if (rc || standing != -EAGAIN)
			return rc ? rc : standing;
	}
	return standing;
}

int vp_batch_stop(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		  struct vp_poke_result *res, bool *applied, struct vp_err *err)
{
	int rc = stop_well(e, b, opts, res, err);

	if (!rc) {
		rc = write_all(e, b, res, err);
		e->target->ops->resume(e->target);
	}
	*applied = !rc;
	if (!rc && opts->phase)
		opts->phase(opts->phase_arg, VP_PHASE_APPLIED);
	if (rc || !b->recorded)
		vp_batch_free(b); /* no handler ever saw it */
	return rc;
}

static int undo_slot(struct vp_engine *e, const struct vp_slot *s, struct vp_err *err)
{
	const uint8_t *old = s->site.old_bytes;
	uint8_t now[VP_INSN_MAX];
	int rc = vp_slot_read(e->target, s, now, err);

	if (!rc && !vp_slot_is_half_done(s, now))
		rc = vp_err_set(err, -ESTALE,
				"site %zu at 0x%llx: somebody else has changed these bytes",
				s->index, (unsigned long long)s->site.addr.v);
	return rc || !memcmp(now, old, s->site.len) ? rc : vp_slot_write(e->target, s, old, err);
}

int vp_batch_undo(struct vp_engine *e, struct vp_batch *b, unsigned int timeout_ms,
		  struct vp_err *err)
{
	const struct vp_word *w = &b->rec.word;
	int rc = e->target->ops->stop(e->target, timeout_ms, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < b->n && !rc; i++)
		rc = undo_slot(e, &b->slots[i], err);
	if (!rc && w->addr.v) /* it may be the old one still */
		e->target->ops->swap_word(e->target, b->word, w->new_value, w->old_value, NULL);
	e->target->ops->resume(e->target);
	return rc;
}
