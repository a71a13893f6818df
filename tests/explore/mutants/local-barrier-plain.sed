# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: a plain barrier in the place of one that serializes
/^int vp_local_op_sync/,/^}/s/MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE/MEMBARRIER_CMD_PRIVATE_EXPEDITED/
