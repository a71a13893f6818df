# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/swap.c
# what: the cap is a store of two bytes
/^int vp_slot_cap(/,/^}/s/s->capped = !rc;/&\n\tif (!rc \&\& s->site.len > 1)\n\t\tt->ops->write(t, s->head, "\\xcc\\xcc", 2, NULL);/
