# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: what KVM may emulate is left to a barrier, too
/^int vp_local_op_sync/,/^}/s/what == VP_SYNC_CORE ? l->serializer : VP_SERIALIZER_KICK/l->serializer/
