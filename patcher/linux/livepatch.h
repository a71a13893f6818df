/* SPDX-License-Identifier: Apache-2.0 */
/* Livepatch: what the kernel's types say of it, and which patches it has applied itself. */
#ifndef VP_LINUX_LIVEPATCH_H
#define VP_LINUX_LIVEPATCH_H

#include <vmpoke/linux.h>

#include "linux/module_layout.h"

/* By the kernel's type information; may be unknown. Owned by @l. */
const struct vp_klp_layout *vp_linux_klp_layout(const struct vp_linux *l);

/* A function that the guest's own livepatch has redirected, or is about to. */
struct vp_klp_function {
	char module[64]; /* that brought the patch */
	char name[512];	 /* of the old function */
	vp_gva from, to; /* from: 0 while its module is not loaded */
	bool enabled;
};

/*
 * Call @fn for each until it returns non-zero; return that. Read while the guest runs.
 *  -EOPNOTSUPP  this kernel's symbols or type information do not tell; one without livepatch has
 * none -EAGAIN      its lists make no sense, or change
 */
int vp_linux_livepatches(struct vp_linux *l,
			 int (*fn)(void *arg, const struct vp_klp_function *function), void *arg,
			 struct vp_err *err);

/* The first that has the function at @start. False: none, or that cannot be told. */
bool vp_linux_livepatch_of(struct vp_linux *l, vp_gva start, struct vp_klp_function *out);

#endif /* VP_LINUX_LIVEPATCH_H */
