# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/swap.c
# what: the new head is written over whatever stands there
/^int vp_slot_uncap(/,/^}/s/int rc = swap_whole(.*/int rc = t->ops->write(t, s->head, bytes, 1, NULL);/
