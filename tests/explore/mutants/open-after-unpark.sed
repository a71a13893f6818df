# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the table is marked open after the unpark
/atomic_store_explicit(&b->open, true/d
s/e->target->ops->unpark(e->target);/&\n\tatomic_store(\&b->open, true);/
