/* SPDX-License-Identifier: Apache-2.0 */
/* The code of a kernel's function, as it stands in memory, and where it leads. */
#ifndef VP_HOTFIX_CODE_H
#define VP_HOTFIX_CODE_H

#include <vmpoke/linux.h>

#include "base/sha256.h"
#include "hotfix/object.h"

/*
 * The digest of the code that @function, one of @l, has now: see digest.h. -EINVAL: it is no row of
 * whole instructions, or too long; -ENOMEM; else as the target's operations.
 */
int vp_hotfix_code_digest(struct vp_linux *l, const struct vp_linux_function *function,
			  uint8_t out[VP_SHA256_SIZE], struct vp_err *err);

/*
 * Where @use leads to, whose function begins at @function; its code is compared first. -ESTALE: it
 * is other code; others as above.
 */
int vp_hotfix_code_leads(struct vp_linux *l, const struct vp_hotfix_use *use, vp_gva function,
			 vp_gva *out, struct vp_err *err);

/* Has the function at @start the code @expected? As far as it can be read. */
bool vp_hotfix_code_is(struct vp_linux *l, vp_gva start, const uint8_t expected[VP_SHA256_SIZE]);

#endif /* VP_HOTFIX_CODE_H */
