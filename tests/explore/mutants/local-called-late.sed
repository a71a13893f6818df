# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_kick.c
# what: a kick is noted after it was sent
/^int vp_local_call/,/^}/{
/^\tatomic_store(&v->called, true);/d
s/^\trc = vp_local_kick(v);/&\n\tatomic_store(\&v->called, true);/
}
