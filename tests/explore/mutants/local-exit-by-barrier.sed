# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: what KVM may emulate is left to a barrier, too
/^int vp_local_op_sync/,/^}/s/core = what == VP_SYNC_CORE \&\& !atomic_load(&l->emulates)/core = true/
