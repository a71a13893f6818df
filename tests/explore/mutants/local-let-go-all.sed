# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: a resume ends a pause, too
/^void vp_local_let_go/,/^}/s/atomic_fetch_sub(&l->holds, 1);/atomic_store(\&l->holds, 0);/
