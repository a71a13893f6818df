# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the last site is capped after sync 1: a batch is not atomic
/^static int cap_heads(/,/^}/s/for (size_t i = 0; i < b->n; i++)/size_t n = b->n - (b->n > 1 \&\& !b->slots[0].capped);\n\n\tfor (size_t i = 0; i < n; i++)/
/^static int cap_heads(/,/^}/s/if (vp_slot_cap(/if (!b->slots[i].capped \&\& vp_slot_cap(/
/rc = cap_heads(/,/return rc;/s/rc = sync_all(.*/rc = sync_all(e, b->sync, opts->timeout_ms, err);\n\tif (!rc)\n\t\trc = cap_heads(e, b, res, err);/
