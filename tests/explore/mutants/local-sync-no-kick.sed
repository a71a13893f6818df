# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: sync() calls nobody out
/^static int call_all/,/^}/s/rc = vp_local_call(l->vcpus\[i\]);/rc = 0;/
