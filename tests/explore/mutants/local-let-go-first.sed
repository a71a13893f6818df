# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_sync.c
# what: the epoch is counted after all were let go
/^void vp_local_let_go/,/^}/{
s/^\tatomic_fetch_add(&l->epoch, 1);$//
s/^\tatomic_fetch_sub(&l->holds, 1);/&\n\tatomic_fetch_add(\&l->epoch, 1);/
}
