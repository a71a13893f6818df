// SPDX-License-Identifier: Apache-2.0
/* The bytes of one slot in guest-physical memory. */
#include <string.h>

#include "core/internal.h"

int vp_slot_read(struct vp_target *t, const struct vp_slot *s, uint8_t *buf, struct vp_err *err)
{
	int rc = t->ops->read(t, s->head, buf, s->split, err);

	if (!rc && s->split < s->site.len)
		rc = t->ops->read(t, s->next, buf + s->split, (size_t)(s->site.len - s->split),
				  err);
	return rc;
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

bool vp_slot_has_tail(const struct vp_slot *s)
{
	return memcmp(s->site.old_bytes + 1, s->site.new_bytes + 1, (size_t)(s->site.len - 1)) != 0;
}
