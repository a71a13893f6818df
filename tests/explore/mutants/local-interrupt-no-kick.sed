# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: an interrupt calls nobody out
/^int vp_local_vcpu_interrupt/,/^}/s/vp_local_kick(v);/(void)0;/
