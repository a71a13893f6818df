/* SPDX-License-Identifier: Apache-2.0 */
/* ftrace: the nops that functions begin with. */
#ifndef VP_LINUX_OWNER_FTRACE_H
#define VP_LINUX_OWNER_FTRACE_H

#include "linux/owner.h"

int vp_ftrace_read(struct vp_owners *o, struct vp_err *err);

/*
 * Adds to o->words what makes ftrace leave the site alone, if it is one that may be taken from it:
 * the conditions, then for each record two words that hold its site's address, and its flags.
 */
int vp_ftrace_ask(struct vp_owners *o, const struct vp_site *s, struct vp_err *err);

#endif /* VP_LINUX_OWNER_FTRACE_H */
