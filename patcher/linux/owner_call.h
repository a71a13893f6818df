/* SPDX-License-Identifier: Apache-2.0 */
/* Inline static calls, and their trampolines. */
#ifndef VP_LINUX_OWNER_CALL_H
#define VP_LINUX_OWNER_CALL_H

#include "linux/owner.h"

int vp_calls_read(struct vp_owners *o, struct vp_err *err);
int vp_calls_ask(const struct vp_owners *o, const struct vp_site *s, struct vp_err *err);

#endif /* VP_LINUX_OWNER_CALL_H */
