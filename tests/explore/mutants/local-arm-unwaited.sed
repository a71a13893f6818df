# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: arm() does not wait
/^int vp_local_arm_all/,/^}/s/rc = vp_local_op_sync(.*$/rc = 0;/
