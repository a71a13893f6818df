# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: who is about to sleep is not told
/^void vp_local_wake/,/^}/s/^\tatomic_fetch_add(&l->changes, 1);$//
