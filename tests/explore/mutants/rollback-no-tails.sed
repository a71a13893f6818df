# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the rollback does not put the old tails back
/^static void restore_tails(/,/^}/s/vp_slot_write_tail(.*/;/
