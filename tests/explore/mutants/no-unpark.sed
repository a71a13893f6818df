# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: parked vCPUs are not woken
/^static int finish(/,/^}/s/e->target->ops->unpark(e->target);/;/
