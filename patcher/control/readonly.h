/* SPDX-License-Identifier: Apache-2.0 */
/* The read-only memory of a guest's kernel and of its modules, read whole while the guest runs. */
#ifndef VP_CONTROL_READONLY_H
#define VP_CONTROL_READONLY_H

#include <jansson.h>
#include <vmpoke/linux.h>

#include "control/baseline.h"

/*
 * Into out->regions. What there is and cannot be told to be read-only, or not be read, goes into
 * @unseen: an array of {"what", "why"}. -ENOMEM, or as the target's operations.
 */
int vp_control_readonly(struct vp_linux *l, struct vp_baseline *out, json_t *unseen,
			struct vp_err *err);

#endif /* VP_CONTROL_READONLY_H */
