/* SPDX-License-Identifier: Apache-2.0 */
/* Kprobes, optimised or not. */
#ifndef VP_LINUX_OWNER_PROBE_H
#define VP_LINUX_OWNER_PROBE_H

#include "linux/owner.h"

int vp_probes_read(struct vp_owners *o, struct vp_err *err);
int vp_probes_ask(const struct vp_owners *o, const struct vp_site *s, struct vp_err *err);

#endif /* VP_LINUX_OWNER_PROBE_H */
