# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: an interrupt does not keep the vCPU from going
/^int vp_local_vcpu_interrupt/,/^}/{
/pthread_mutex_lock(&l->table_lock);/d
/pthread_mutex_unlock(&l->table_lock);/d
}
