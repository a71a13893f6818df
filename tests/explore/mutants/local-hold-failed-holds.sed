# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: a hold that times out holds its vCPU
/^static int hold_one/,/^}/s/^\t\tvp_local_op_release(&l->target);/\t\t(void)0;/
