# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: parked vCPUs are woken before the heads are written
/^static int finish(/,/^}/s/e->target->ops->unpark(e->target);/;/
/^static int uncap_heads(/,/^}/s/int ret = 0;/&\n\n\te->target->ops->unpark(e->target);/
