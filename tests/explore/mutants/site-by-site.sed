# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the last site is capped after sync 1: a batch is not atomic
/^static int cap_heads(/,/^}/s/int rc = 0;/int rc = 0;\n\tsize_t n = b->n - (b->n > 1 \&\& !b->slots[0].capped);/
/^static int cap_heads(/,/^}/s/i < b->n \&\& !rc;/i < n \&\& !rc;/
/^static int cap_heads(/,/^}/s/rc = cap_head(/if (!b->slots[i].capped)\n\t\t\trc = cap_head(/
/rc = cap_heads(/,/return rc;/s/rc = sync_all(.*/rc = sync_all(e, opts->timeout_ms, err);\n\tif (!rc)\n\t\trc = cap_heads(e, b, res, err);/
