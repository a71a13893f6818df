# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: an interrupt does not wake
/^int vp_local_vcpu_interrupt/,/^}/s/^\t\tvp_local_wake(l);$/\t\t(void)0;/
