# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: a handler parks while the guest is given time to go on
s/atomic_load_explicit(&b->awake, memory_order_acquire))/0)/
