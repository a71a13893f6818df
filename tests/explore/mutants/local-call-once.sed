# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: sync() calls the first only
/^static int call_all/,/^}/s/rc = vp_local_call(l->vcpus\[i\]);/rc = n < 2 ? vp_local_call(l->vcpus[i]) : 0;/
