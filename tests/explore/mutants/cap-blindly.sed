# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/swap.c
# what: the cap does not look at what stands there
/^int vp_slot_cap(/,/^}/s/^\trc = swap_whole(.*/\tuint8_t now[VP_INSN_MAX];\n\n\trc = vp_slot_read(t, s, now, NULL);\n\trc = t->ops->swap_head(t, s->head, now[0], VP_INT3, NULL);/
