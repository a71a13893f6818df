/* SPDX-License-Identifier: Apache-2.0 */
/* A process that goes on in the background, while whoever started it learns how it began. */
#ifndef VP_CLI_DETACH_H
#define VP_CLI_DETACH_H

#include <vmpoke/types.h>

#include <sys/types.h>

struct vp_detach {
	int fd; /* in the child: to the parent, until it is told; -1 */
	pid_t child;
};

/*
 * Fork; not with more threads than one. In the child: -1, go on; what it says goes to the caller's
 * standard error still. In the parent: the exit code, when vp_detach_tell() was called in the
 * child, or that of the child, which has ended.
 */
int vp_detach_begin(struct vp_detach *d, const char *cmd);

/* In the child: it has begun well. Its output and errors go to @output_fd from now on. */
void vp_detach_tell(struct vp_detach *d, int output_fd);

#endif /* VP_CLI_DETACH_H */
