# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: hold() does not call the vCPU out
/^static void ask_to_stay/,/^}/s/vp_local_call(v);/(void)0;/
