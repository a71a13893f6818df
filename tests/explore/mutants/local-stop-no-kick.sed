# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: stop() calls nobody out
/^int vp_local_hold_all/,/^}/s/vp_local_call(l->vcpus\[i\]);/(void)0;/
