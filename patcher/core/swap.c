/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes that the int3 protocol makes at a site: cap, tail, head. Each is one compare-and-swap
 * over the whole instruction where the target can do that: then nothing that the guest does to
 * these bytes falls between a look at them and our write. All return 0, -EAGAIN (other bytes stand
 * there), or an error of the target.
 */
#include <errno.h>
#include <string.h>

#include "core/internal.h"

/* -EOPNOTSUPP: not in one go. */
static int swap_whole(struct vp_target *t, const struct vp_slot *s, uint8_t from_head,
		      const uint8_t *from_tail, uint8_t to_head, const uint8_t *to_tail)
{
	uint8_t expect[VP_INSN_MAX], value[VP_INSN_MAX];

	if (!t->ops->swap_bytes || s->split < s->site.len)
		return -EOPNOTSUPP;
	memcpy(expect, from_tail, s->site.len);
	memcpy(value, to_tail, s->site.len);
	expect[0] = from_head;
	value[0] = to_head;
	return t->ops->swap_bytes(t, s->head, expect, value, s->site.len, NULL);
}

/*
 * Where only the head can be swapped, a tail that differs right after it has two causes. The guest
 * had put another instruction with the same first byte there before: then the cap must go again. Or
 * it has begun its own text_poke since, laid its int3 over ours, which cannot be seen, and written
 * its tail: then the old head must not come back. So the site stays capped, in doubt.
 */
int vp_slot_cap(struct vp_target *t, struct vp_slot *s)
{
	const uint8_t *old = s->site.old_bytes;
	int rc;

	/* Release, as below: pairs with the acquire load in look_up() (trap.c). */
	atomic_store_explicit(&s->claim, VP_CLAIM_TRYING, memory_order_release);
	rc = swap_whole(t, s, old[0], old, VP_INT3, old);

	if (rc == -EOPNOTSUPP) {
		rc = t->ops->swap_head(t, s->head, old[0], VP_INT3, NULL);
		s->doubt = !rc && (vp_slot_read(t, s, s->seen, NULL) ||
				   memcmp(s->seen + 1, old + 1, (size_t)(s->site.len - 1)));
	}
	s->capped = !rc;
	atomic_store_explicit(&s->claim, rc ? VP_CLAIM_NONE : VP_CLAIM_OURS, memory_order_release);
	return s->doubt ? -EAGAIN : rc;
}

/*
 * The second look, after the guest had time to go on with what it was at. Has it, then the site is
 * its own. If not, it had been done before our cap.
 */
int vp_slot_decide(struct vp_target *t, struct vp_slot *s)
{
	uint8_t now[VP_INSN_MAX];
	int rc = 0;

	if (vp_slot_read(t, s, now, NULL) || memcmp(now, s->seen, s->site.len))
		rc = -EAGAIN;
	if (!rc)
		rc = t->ops->swap_head(t, s->head, VP_INT3, s->site.old_bytes[0], NULL);
	if (rc && rc != -EAGAIN)
		return rc;
	s->lost = rc;
	s->doubt = s->capped = false;
	return 0;
}

int vp_slot_swap_tail(struct vp_target *t, const struct vp_slot *s, const uint8_t *from,
		      const uint8_t *to, struct vp_err *err)
{
	int rc = swap_whole(t, s, VP_INT3, from, VP_INT3, to);

	return rc == -EOPNOTSUPP ? vp_slot_write_tail(t, s, to, err) : rc;
}

int vp_slot_uncap(struct vp_target *t, const struct vp_slot *s, const uint8_t *bytes)
{
	int rc = swap_whole(t, s, VP_INT3, bytes, bytes[0], bytes);

	return rc == -EOPNOTSUPP ? t->ops->swap_head(t, s->head, VP_INT3, bytes[0], NULL) : rc;
}
