# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: what KVM refused once is refused for ever
/^int vp_local_arm_all/,/^}/s/atomic_store(&l->vcpus\[i\]->arm_error, 0);/(void)0;/
