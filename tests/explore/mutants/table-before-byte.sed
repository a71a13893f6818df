# SPDX-License-Identifier: Apache-2.0
# file: patcher/core/trap.c
# what: the table is loaded before the byte is read: a late trap meets the int3 of a later batch
/^enum vp_verdict vp_trap_handle(/,/^}/{
	s/struct vp_engine \*e = engine;/&\n\tconst struct vp_batch *early = atomic_load(\&e->table);/
	s/b = atomic_load_explicit(&e->table, memory_order_acquire);/b = early;/
}
