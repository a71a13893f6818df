# SPDX-License-Identifier: Apache-2.0
# file: patcher/target/local_run.c
# what: a vCPU that is held enters
/^static bool must_wait/,/^}/s/atomic_load(&v->l->holds) || atomic_load(&v->hold) ||/atomic_load(\&v->l->holds) ||/
