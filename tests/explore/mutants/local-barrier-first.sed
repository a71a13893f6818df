# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: the barrier comes before the signals
/^int vp_local_op_sync/,/^}/{
s/^\tcalled = call_all/\tif (by == VP_SERIALIZER_KICK_MEMBARRIER)\n\t\tbarrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED);\n&/
s/^\t\t\tbarrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED)))/\t\t\ttrue))/
}
