# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: vCPUs are armed after the cap
/^int vp_batch_int3(/,/^}/s/int rc = e->target->ops->arm(.*/int rc = 0;/
/^static int prepare(/,/^}/s/rc = cap_heads(.*/&\n\tif (!rc)\n\t\trc = e->target->ops->arm(e->target, opts->timeout_ms, err);/
