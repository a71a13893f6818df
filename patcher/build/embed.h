/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers that a hotfix is compiled with, in the program itself: they are always those of this
 * version, and no folder has to be found. embed.S holds them.
 */
#ifndef VP_BUILD_EMBED_H
#define VP_BUILD_EMBED_H

#include <stddef.h>

struct vp_embedded {
	const char *name; /* where it goes: "kernel/asm/bug.h" */
	const char *start, *end;
};

extern const struct vp_embedded vp_embedded_headers[]; /* ends with a name of NULL */

#endif /* VP_BUILD_EMBED_H */
