# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick is never forgotten
/^void vp_local_clear_kick/,/^}/s/^\tatomic_store(&v->called, false);//
