# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_serializer.c
# what: sync() takes an older answer
/^int vp_local_op_sync/,/^}/s/atomic_fetch_add(&l->epoch, 1) + 1/atomic_fetch_add(\&l->epoch, 1)/
