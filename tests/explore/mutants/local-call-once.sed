# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: sync() calls the first only
/^static int call_all/,/^}/s/failed = vp_local_call(l->vcpus\[i\]) || failed;/failed = n < 2 \&\& vp_local_call(l->vcpus[i]);/
