# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/poke.c
# what: the table is not marked open: a wakeup is lost
/atomic_store_explicit(&b->open, true/d
