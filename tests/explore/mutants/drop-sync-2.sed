# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: sync 2 (after the tails) is left out
/if (!rc && any_tail)/{n;s/rc = sync_all(.*/rc = 0;/}
