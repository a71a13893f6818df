# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: a barrier alone, which only who was called leaves the guest by
/^int vp_local_op_sync/,/^}/s/^\tcalled = call_all(.*$/\tcalled = by == VP_SERIALIZER_KICK_MEMBARRIER ? 1 : call_all(l, epoch, true);/
