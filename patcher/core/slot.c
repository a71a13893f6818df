/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of one slot in guest-physical memory, and the slot of an address. */
#include <string.h>

#include "core/internal.h"

void vp_slot_want(struct vp_ahead *a, const struct vp_slot *s)
{
	vp_ahead_want(a, s->head, s->split, VP_IN_BOTH);
	if (s->split < s->site.len)
		vp_ahead_want(a, s->next, (size_t)(s->site.len - s->split), VP_IN_BOTH);
}

int vp_slot_look(const struct vp_ahead *a, struct vp_target *t, const struct vp_slot *s,
		 uint8_t *buf, struct vp_err *err)
{
	int rc = vp_ahead_read(a, t, s->head, buf, s->split, err);

	if (!rc && s->split < s->site.len)
		rc = vp_ahead_read(a, t, s->next, buf + s->split, (size_t)(s->site.len - s->split),
				   err);
	return rc;
}

int vp_slot_read(struct vp_target *t, const struct vp_slot *s, uint8_t *buf, struct vp_err *err)
{
	return vp_slot_look(NULL, t, s, buf, err);
}

/* Read-only memory, say, is found before anything is written. */
int vp_slot_check_write(struct vp_target *t, const struct vp_slot *s, struct vp_err *err)
{
	struct vp_err why = { "" };
	int rc = 0;

	if (t->ops->check_write)
		rc = t->ops->check_write(t, s->head, s->split, &why);
	if (t->ops->check_write && !rc && s->split < s->site.len)
		rc = t->ops->check_write(t, s->next, (size_t)(s->site.len - s->split), &why);
	return rc ? vp_err_set(err, rc, "site %zu at 0x%llx: %s", s->index,
			       (unsigned long long)s->site.addr.v, why.text)
		  : 0;
}

/* All of it, for when nobody runs. */
int vp_slot_write(struct vp_target *t, const struct vp_slot *s, const uint8_t *bytes,
		  struct vp_err *err)
{
	int rc = t->ops->write(t, s->head, bytes, s->split, err);

	if (!rc && s->split < s->site.len)
		rc = t->ops->write(t, s->next, bytes + s->split, (size_t)(s->site.len - s->split),
				   err);
	return rc;
}

size_t vp_slot_pieces(const struct vp_slot *s, const uint8_t *bytes, struct vp_piece *to)
{
	size_t rest = (size_t)(s->site.len - s->split);

	to[0] = (struct vp_piece){ .gpa = s->head, .from = bytes, .len = s->split };
	if (rest)
		to[1] = (struct vp_piece){ .gpa = s->next, .from = bytes + s->split, .len = rest };
	return rest ? 2 : 1;
}

int vp_slot_write_tail(struct vp_target *t, const struct vp_slot *s, const uint8_t *bytes,
		       struct vp_err *err)
{
	int rc = 0;

	if (s->split > 1)
		rc = t->ops->write(t, VP_GPA(s->head.v + 1), bytes + 1, (size_t)(s->split - 1),
				   err);
	if (!rc && s->split < s->site.len)
		rc = t->ops->write(t, s->next, bytes + s->split, (size_t)(s->site.len - s->split),
				   err);
	return rc;
}

/* Is each byte of @now one of the old or of the new instruction? */
bool vp_slot_is_half_done(const struct vp_slot *s, const uint8_t *now)
{
	for (unsigned int i = 0; i < s->site.len; i++)
		if (now[i] != s->site.old_bytes[i] && now[i] != s->site.new_bytes[i])
			return false;
	return true;
}

bool vp_slot_has_tail(const struct vp_slot *s)
{
	return memcmp(s->site.old_bytes + 1, s->site.new_bytes + 1, (size_t)(s->site.len - 1)) != 0;
}

const struct vp_slot *vp_batch_find(const struct vp_batch *b, vp_gva addr)
{
	const struct vp_slot *s;
	size_t lo = 0, hi = b->n;

	/* The last slot at or below the address: only that one can hold it. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->slots[mid].site.addr.v <= addr.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	s = lo ? &b->slots[lo - 1] : NULL;
	return s && addr.v - s->site.addr.v < s->site.len ? s : NULL;
}
