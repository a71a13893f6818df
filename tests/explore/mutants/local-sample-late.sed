# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_trap.c
# what: unparks are sampled after the sink has decided
/^static int carry_out/,/^}/{
s/uint64_t unparks = atomic_load(&v->l->unparks);/uint64_t unparks;/
s/^\tif (verdict == VP_VERDICT_FOREIGN)/\tunparks = atomic_load(\&v->l->unparks);\n&/
}
