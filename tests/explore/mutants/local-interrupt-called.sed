# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: an interrupt trusts in a kick that is under way
/^int vp_local_vcpu_interrupt/,/^}/s/rc = vp_local_kick(v);/rc = atomic_load(\&v->called) ? 0 : vp_local_kick(v);/
