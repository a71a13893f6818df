/* SPDX-License-Identifier: Apache-2.0 */
/* What code a kernel has where a function was compiled exactly as its own build does. */
#ifndef VP_DIFF_EXPECTED_H
#define VP_DIFF_EXPECTED_H

#include <vmpoke/hotfix.h>

#include "base/sha256.h"
#include "diff/unit.h"

/*
 * The digest (hotfix/digest.h) that a guest's @function has, if its kernel was built of this
 * source, by this compiler. False: it cannot be told without the guest: the last function of a
 * section, since what stands behind it is not known; one that uses per-CPU variables, whose
 * places are numbers in the code; one that has alternatives.
 */
bool vp_diff_expected(struct vp_unit *whole, const char *function, uint8_t out[VP_SHA256_SIZE]);

/*
 * A place in the code of another function that leads to @symbol, a function or variable of the
 * source: @out->offset, type, addend, expected; @user: whose code it is. False: there is none in
 * code of which vp_diff_expected() can tell.
 */
bool vp_diff_use(struct vp_unit *whole, const char *symbol, const struct vp_item **user,
		 struct vmpoke_use *out);

#endif /* VP_DIFF_EXPECTED_H */
