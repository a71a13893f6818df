# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: sync() does not wait
/^int vp_local_op_sync/,/^}/s/return wait_all(.*$/return 0;/
