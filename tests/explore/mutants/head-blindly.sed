# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the new head is written over whatever stands there
s/if (!e->target->ops->swap_head(e->target, s->head, VP_INT3, head, NULL))/if (!e->target->ops->write(e->target, s->head, \&head, 1, NULL))/
