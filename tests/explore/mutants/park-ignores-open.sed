# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: a handler parks though every head is final
s/if (atomic_load_explicit(&b->open, memory_order_acquire) ||/if (/
