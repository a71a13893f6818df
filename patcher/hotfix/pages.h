/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of the guest's kernel, one after the other: the tables on the way are read once. */
#ifndef VP_HOTFIX_PAGES_H
#define VP_HOTFIX_PAGES_H

#include <vmpoke/target.h>

#include "x86/walk.h"

#define VP_PAGES_TABLES 6u

/* Begin with zeroes but for @t. For the moment: what it has read is not read again. */
struct vp_pages {
	struct vp_target *t;
	struct {
		uint64_t gpa;
		uint64_t entry[512];
	} table[VP_PAGES_TABLES];
	size_t n, next;
};

/* As vp_walk(). */
int vp_pages_walk(struct vp_pages *p, const struct vp_paging *space, vp_gva at, struct vp_map *out,
		  struct vp_err *err);

#endif /* VP_HOTFIX_PAGES_H */
