/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a kernel in a file is as it was built. Which places of it boot rewrites, the kernel
 * has in tables for its own start-up, which a guest frees after boot, and a file still has.
 */
#ifndef VP_LINUX_AS_BUILT_H
#define VP_LINUX_AS_BUILT_H

#include "linux/internal.h"

/*
 * Do the five bytes @bytes at @site become ftrace's nop, and does ftrace get a record of them?
 * *@yes only if it is the tracer's call, or the nop that was built in its place, and in the list
 * that the records are made of. -EOPNOTSUPP: the kernel does not tell. Not in a guest.
 */
int vp_as_built_entry(struct vp_linux *l, vp_gva site, const uint8_t bytes[5], bool *yes,
		      struct vp_err *err);

/*
 * How many places of these @len bytes of text boot rewrites as the CPU and the host demand
 * (alternatives, calls through pv_ops, constants that are known at boot). Not counted is what the
 * digest of code passes over in any case: entries, static keys and calls, thunks. -EOPNOTSUPP: the
 * kernel does not tell. -EBADMSG.
 */
int vp_as_built_rewritten(struct vp_linux *l, vp_gva start, uint64_t len, size_t *n,
			  struct vp_err *err);

#endif /* VP_LINUX_AS_BUILT_H */
