# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: resume() does not wake
/^void vp_local_let_go/,/^}/s/^\tvp_local_wake(l);$//
