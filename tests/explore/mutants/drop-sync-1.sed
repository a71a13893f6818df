# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: sync 1 (after the cap) is left out
/rc = cap_heads(/,/return rc;/s/rc = sync_all(.*/rc = 0;/
