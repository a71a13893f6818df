/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of each function of a changed source, in words. */
#ifndef VP_DIFF_WHY_H
#define VP_DIFF_WHY_H

#include "diff/keep.h"

struct vp_why {
	const char *function;
	const char
		*how; /* "replaced", "goes along", "compiled into others", "left out", "refused" */
	char why[256];
	bool changed; /* its own code changes, and it is not left out */
};

/* Each function that is not simply the kernel's own, in the order of the compilation. */
void vp_why_each(const struct vp_keep *k, void (*see)(void *arg, const struct vp_why *w),
		 void *arg);

#endif /* VP_DIFF_WHY_H */
