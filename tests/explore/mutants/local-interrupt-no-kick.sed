# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: an interrupt calls nobody out
/^int vp_local_vcpu_interrupt/,/^}/s/rc = vp_local_kick(v);/rc = 0;/
