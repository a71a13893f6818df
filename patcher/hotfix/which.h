/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a kernel's symbols a hotfix means. */
#ifndef VP_HOTFIX_WHICH_H
#define VP_HOTFIX_WHICH_H

#include <vmpoke/linux.h>

#include "hotfix/object.h"

struct vp_hotfix_which {
	char name[VMPOKE_SYMBOL_MAX + VMPOKE_WHERE_MAX + 2]; /* "module:symbol", or the symbol */
	unsigned int nth; /* among all of that name, by address, from 1; 0: it is the only one */
	vp_gva at;
};

/*
 * -ENOENT: there is none. -EEXIST: several, and @name does not tell which. -ESTALE: none of several
 * is as the hotfix was made for. -EOPNOTSUPP: what it says cannot be told of a running kernel. For
 * CODE and USED code is read: others as the target's operations.
 */
int vp_hotfix_which(struct vp_linux *l, const struct vp_hotfix_name *name,
		    struct vp_hotfix_which *out, struct vp_err *err);

#endif /* VP_HOTFIX_WHICH_H */
