# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local.c
# what: a vCPU comes without the lock
/^int vp_local_vcpu_attach/,/^}/{
s/rc = vp_local_lock(l, err);/rc = 0;/
/pthread_mutex_unlock(&l->lock);/d
}
