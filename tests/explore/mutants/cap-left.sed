# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/swap.c
# what: a cap that is in doubt is forgotten, and its int3 left
/^int vp_slot_cap(/,/^}/s/s->capped = !rc;/s->capped = !rc \&\& !s->doubt;\n\ts->doubt = false;\n\trc = s->capped ? 0 : -EAGAIN;/
