# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the cap is a store of two bytes
/^static int cap_head(/,/^}/s/s->capped = true;/&\n\tif (s->site.len > 1)\n\t\te->target->ops->write(e->target, s->head, "\\xcc\\xcc", 2, NULL);/
