/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a hotfix cannot be used: all reasons, not the first one only. Each is one printable line.
 * Owned by the caller, who begins with zeroes; not for two threads at once.
 */
#ifndef VP_HOTFIX_BLOCKERS_H
#define VP_HOTFIX_BLOCKERS_H

#include <vmpoke/types.h>

/* More are counted, but not kept: nobody reads on. */
#define VP_BLOCKERS_KEPT 100

struct vp_blockers {
	struct vp_err *list; /* as many as min(n, VP_BLOCKERS_KEPT) */
	size_t n;	     /* different ones */
	size_t added;	     /* and the same ones again: grows with every call */
	bool lost;	     /* one could not be kept for want of memory: n is right all the same */
};

/* One more. The same text a second time is not added. */
void vp_blockers_add(struct vp_blockers *blockers, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* What is in list. */
size_t vp_blockers_kept(const struct vp_blockers *blockers);

void vp_blockers_free(struct vp_blockers *blockers);

#endif /* VP_HOTFIX_BLOCKERS_H */
