# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the cap does not look at what stands there
/^static int cap_head(/,/^}/s/s->head, head, VP_INT3, NULL/s->head, (ops->read(e->target, s->head, now, 1, NULL), now[0]), VP_INT3, NULL/
