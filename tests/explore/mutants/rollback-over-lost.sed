# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the rollback writes old tails over what the guest wrote
/^static int restore_tails(/,/^}/s/if (!s->tailed || s->lost)/if (!s->tailed)/
