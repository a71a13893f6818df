# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: the epoch is read after want_armed only
/^static bool enter/,/^}/{
/^\t\tepoch = atomic_load(&v->l->epoch);/d
s/if (atomic_load(&v->l->epoch) != epoch)/epoch = atomic_load(\&v->l->epoch);\n\t\tif (0)/
}
