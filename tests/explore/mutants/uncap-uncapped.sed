# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: heads are taken off that were never capped
/^static int uncap_heads(/,/^}/s/if (!s->capped || s->lost)/if (s->lost)/
