# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/swap.c
# what: the tail is not looked at when only the head could be swapped
s/s->doubt = !rc && .*/s->doubt = 0 \&\& (vp_slot_read(t, s, s->seen, NULL) ||/
