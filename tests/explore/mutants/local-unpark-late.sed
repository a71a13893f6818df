# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: unpark() wakes before it counts
/^void vp_local_op_unpark/,/^}/{
/^\tatomic_fetch_add(&l->unparks, 1);/d
s/^\tvp_local_wake(l);/&\n\tatomic_fetch_add(\&l->unparks, 1);/
}
