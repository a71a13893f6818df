# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: who was stopped does not serialize
/^void vp_local_let_go/,/^}/s/^\tatomic_fetch_add(&l->epoch, 1);$//
