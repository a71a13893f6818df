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

static int write_whole(struct vp_engine *e, struct vp_slot *s, const uint8_t *from,
		       const uint8_t *to, struct vp_err *err)
{
	int rc = vp_slot_write_tail(e->target, s, to, err);

	return rc ? rc : e->target->ops->swap_head(e->target, s->head, from[0], to[0], err);
}

static int write_all(struct vp_engine *e, struct vp_batch *b, struct vp_poke_result *res,
		     struct vp_err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		struct vp_slot *s = &b->slots[i];
		int rc = write_whole(e, s, s->site.old_bytes, s->site.new_bytes, err);

		if (!rc)
			continue;
		/* Nobody runs: whatever stands there can be put back as it was. */
		res->bad_site = (ptrdiff_t)s->index;
		vp_slot_write_tail(e->target, s, s->site.old_bytes, NULL);
		while (i--) {
			s = &b->slots[i];
			write_whole(e, s, s->site.new_bytes, s->site.old_bytes, NULL);
		}
		return rc;
	}
	return 0;
}

int vp_batch_stop(struct vp_engine *e, struct vp_batch *b, const struct vp_poke_opts *opts,
		  struct vp_poke_result *res, bool *applied, struct vp_err *err)
{
	const struct vp_target_ops *ops = e->target->ops;
	int rc = ops->stop(e->target, opts->timeout_ms, err);

	if (!rc) {
		vp_retired_free(e); /* stopped is quiescent */
		res->syncs++;
		atomic_fetch_add_explicit(&e->stats.syncs, 1, memory_order_relaxed);
		rc = check_all(e, b, res, err);
		if (!rc)
			rc = write_all(e, b, res, err);
		ops->resume(e->target);
	}
	*applied = !rc;
	if (!rc && opts->phase)
		opts->phase(opts->phase_arg, VP_PHASE_APPLIED);
	if (rc || !b->recorded)
		vp_batch_free(b); /* no handler ever saw it */
	return rc;
}
