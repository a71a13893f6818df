# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the table is retired before sync 3 (S4)
/^static int finish(/,/^}/s/^\tint rc;/&\n\n\tatomic_store(\&e->table, NULL);\n\te->target->ops->disarm(e->target);/
