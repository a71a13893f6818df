# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: an interrupt kicks before it says why
/^int vp_local_vcpu_interrupt/,/^}/{
/^\t\tatomic_store(&v->interrupt, true);/d
s/^\t\trc = vp_local_kick(v);/&\n\t\tatomic_store(\&v->interrupt, true);/
}
