# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: a batch that a vCPU did not answer is retired all the same
s/atomic_store(&e->unfinished, b);/table_retire(e, b);/
