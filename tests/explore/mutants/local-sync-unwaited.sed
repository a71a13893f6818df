# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: sync() does not wait
/^int vp_local_op_sync/,/^}/s/rc = vp_local_wait_all(.*$/rc = 0;/
