# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the rollback does not put the old tails back
/^static int restore_tails(/,/^}/s/rc = vp_slot_swap_tail(.*/rc = 0;/
