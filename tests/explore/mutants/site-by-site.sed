# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the last site is capped after sync 1: a batch is not atomic
/^static int cap_heads(/,/^}/s/for (size_t i = 0; i < b->n; i++)/for (size_t i = 0; i < b->n - (b->n > 1 \&\& !res->syncs); i++)/
/^static int cap_heads(/,/^}/s/struct vp_slot \*s = &b->slots\[i\];/&\n\n\t\tif (s->capped)\n\t\t\tcontinue;/
/rc = cap_heads(/,/return rc;/s/rc = sync_all(.*/rc = sync_all(e, opts->timeout_ms, res, err);\n\tif (!rc)\n\t\trc = cap_heads(e, b, res, err);/
