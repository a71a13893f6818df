# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: hold() does not call the vCPU out
/^static int hold_one/,/^}/s/vp_local_kick(v);/(void)0;/
