# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: the barrier comes before the signals
/^static int kick(/,/^}/{
s/^\tint called = call_all/\tint called = (in_place \&\& barrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0) + call_all/
s/ && in_place && barrier(l, MEMBARRIER_CMD_PRIVATE_EXPEDITED)))/ \&\& in_place))/
}
