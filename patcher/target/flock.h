/* SPDX-License-Identifier: Apache-2.0 */
/* Lock files: flock(2) with a patience, and who has it. */
#ifndef VP_TARGET_FLOCK_H
#define VP_TARGET_FLOCK_H

#include <stddef.h>

/*
 * flock() @fd, of whatever lock file, for us alone, within @timeout_ms. -EWOULDBLOCK: somebody else
 * has it; or as flock().
 */
int vp_flock(int fd, unsigned int timeout_ms);

/* Who has it: "process 7 of root: vmpoke poke ..."; "another process" if that cannot be seen. */
void vp_flock_holder(int fd, char *text, size_t size);

#endif /* VP_TARGET_FLOCK_H */
