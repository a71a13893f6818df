/* SPDX-License-Identifier: Apache-2.0 */
/* A static key, looked at with all its sites. */
#ifndef VP_LINUX_KEYS_H
#define VP_LINUX_KEYS_H

#include "linux/jump_table.h"

struct vp_key_look {
	struct vp_key_struct key;
	struct vp_jump_list list;
	struct vp_jump_site *sites; /* what stands at each entry of the list */
	size_t live, init;
	const char *broken; /* the caller's buffer, or NULL */
};

/*
 * Look at the key at @addr; @why is where look->broken will point. To be freed whatever the result.
 * -ENOENT: no key is there.
 */
int vp_key_look_at(struct vp_linux *l, uint64_t addr, struct vp_key_look *look, struct vp_err *why,
		   struct vp_err *err);
void vp_key_look_free(struct vp_key_look *look);

/* Is this site in code that was freed after boot? */
bool vp_key_site_is_init(const struct vp_linux *l, const struct vp_jump_entry *e,
			 const struct vp_jump_site *s);

/* What callers get; its texts are in @l. */
void vp_key_fill(struct vp_linux *l, uint64_t addr, const struct vp_key_look *look,
		 struct vp_linux_key *out);

#endif /* VP_LINUX_KEYS_H */
