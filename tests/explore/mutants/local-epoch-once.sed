# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: the epoch is not read again behind holds
/if (atomic_load(&v->l->epoch) != epoch)/s/atomic_load(&v->l->epoch) != epoch/0/
