/* SPDX-License-Identifier: Apache-2.0 */
/* Can what was compiled be a hotfix, as far as that can be told without a guest? */
#ifndef VP_BUILD_CHECK_H
#define VP_BUILD_CHECK_H

#include <vmpoke/types.h>

#include "hotfix/blockers.h"

/*
 * Read the object @image, called @what, and link it for a guest that has every symbol: what is in
 * the way of that goes into @blockers, all of it. @functions gets how many it replaces.
 * -EOPNOTSUPP with the first blocker; -ENOMEM.
 */
int vp_check(const void *image, size_t len, const char *what, size_t *functions,
	     struct vp_blockers *blockers, struct vp_err *err);

#endif /* VP_BUILD_CHECK_H */
