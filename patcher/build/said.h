/* SPDX-License-Identifier: Apache-2.0 */
/* What make and the compiler said, as the user should read it. */
#ifndef VP_BUILD_SAID_H
#define VP_BUILD_SAID_H

#include <stddef.h>

/* A path of ours, and what the user calls it. */
struct vp_said_name {
	const char *ours, *theirs;
};

/*
 * Rewrite @said (as vp_run() gave it) into new text: make's own lines about folders, and kbuild's
 * "CC fix.o", are left out; paths are called as the user calls them, the first of @names that
 * fits; and each line is printable. malloc()ed; NULL: no memory.
 */
char *vp_said_for_user(const char *said, const struct vp_said_name *names, size_t n);

#endif /* VP_BUILD_SAID_H */
