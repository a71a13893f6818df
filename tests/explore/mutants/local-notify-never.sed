# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: answers wake nobody
/^void vp_local_notify/,/^}/s/^\tpthread_cond_broadcast.*$//
