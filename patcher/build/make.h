/* SPDX-License-Identifier: Apache-2.0 */
/* make and the compiler, as the headers of a kernel want them. */
#ifndef VP_BUILD_MAKE_H
#define VP_BUILD_MAKE_H

#include "build/headers.h"
#include "build/scratch.h"

struct vp_make {
	const struct vp_headers *headers;
	const struct vp_scratch *scratch;
	const char *cc_wanted; /* NULL: the one that built the kernel */
	int stop_fd;
	char cc[256]; /* set by vp_make_find() */
};

/*
 * Find the programs; @compiler (@size bytes) gets what the compiler calls itself. -ENODEV: one is
 * missing; else as vp_run().
 */
int vp_make_find(struct vp_make *m, char *compiler, size_t size, struct vp_err *err);

/*
 * Make @goal of the external module in @folder; @variable ("NAME=value") may be NULL. *@said and
 * *@status as vp_run() has them.
 */
int vp_make_run(const struct vp_make *m, const char *folder, const char *goal, const char *variable,
		char **said, int *status, struct vp_err *err);

#endif /* VP_BUILD_MAKE_H */
