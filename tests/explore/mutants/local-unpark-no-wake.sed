# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: unpark() does not wake
/^void vp_local_op_unpark/,/^}/s/^\tvp_local_wake(l);$//
