# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: sync 1 timed out, and the batch goes on
/rc = cap_heads(/,/return rc;/s/rc = sync_all(\(.*\));/sync_all(\1);/
