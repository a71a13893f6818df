# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local.c
# what: a vCPU goes without the lock
/^void vp_local_vcpu_detach/,/^}/s/rc = vp_local_lock(l, NULL);/rc = 1;/
