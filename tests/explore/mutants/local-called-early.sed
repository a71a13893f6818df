# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick is forgotten before its flag goes
/^void vp_local_clear_kick/,/^}/{
/^\tatomic_store(&v->called, false);/d
s/^\t__atomic_and_fetch/\tatomic_store(\&v->called, false);\n&/
}
