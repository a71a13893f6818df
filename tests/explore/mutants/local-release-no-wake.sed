# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: release() does not wake
/^void vp_local_op_release/,/^}/s/^\tvp_local_wake(l);$//
