/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two compilations of a source, for people. */
#ifndef VP_DIFF_SHOW_H
#define VP_DIFF_SHOW_H

#include "diff/compare.h"

struct vp_shown {
	const char *name;
	bool code;
	enum vp_shown_how { VP_SHOWN_CHANGED, VP_SHOWN_NEW, VP_SHOWN_GONE } how;
	/* CHANGED: */
	struct vp_difference difference;
	char old[192], new[192]; /* what stands there: instructions, with what they refer to */
};

/* Called for each item that differs; what macros number for themselves is left out. */
typedef void (*vp_show)(void *arg, const struct vp_shown *shown);

/* How many differ. */
size_t vp_diff_show(const struct vp_compare *c, vp_show show, void *arg);

#endif /* VP_DIFF_SHOW_H */
