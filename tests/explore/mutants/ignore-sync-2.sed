# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: sync 2 timed out, and the batch goes on
/if (!rc && any_tail)/{n;s/rc = sync_all(\(.*\));/sync_all(\1);/}
