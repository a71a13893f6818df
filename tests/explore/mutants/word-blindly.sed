# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the word is stored whatever stands there now
s/!e->target->ops->swap_word(e->target, b->word, w->old_value, w->new_value, NULL))/(e->target->ops->swap_word(e->target, b->word, w->old_value, w->new_value, NULL), true))/
