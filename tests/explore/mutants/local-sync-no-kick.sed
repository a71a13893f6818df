# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: sync() calls nobody out
/^int vp_local_op_sync/,/^}/s/vp_local_kick(l->vcpus\[i\]);/(void)0;/
