/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's page tables, walked from outside (SDM vol. 3, section 4.5). Pure. */
#ifndef VP_X86_WALK_H
#define VP_X86_WALK_H

#include <vmpoke/types.h>

/*
 * Read guest-physical memory; 0 or -errno. A cause that is worth telling is in @err, which may be
 * NULL; the walk says what it was reading there.
 */
struct vp_phys_reader {
	int (*read)(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);
	void *arg;
};

/* One translated address, and the rights that all levels together grant. */
struct vp_map {
	vp_gpa gpa;	     /* of the address asked for */
	uint64_t page_size;  /* 4 KiB, 2 MiB or 1 GiB */
	unsigned int levels; /* 4 or 5 */
	bool writable;
	bool user;
	bool nx;
	bool dirty; /* the CPU need not set the D bit to write here */
};

#define VP_EFER_LMA (1ull << 10) /* long mode is active (SDM vol. 3, section 2.2.1) */

/* Is this 64-bit mode with paging (CR0.PG, CR4.PAE, EFER.LMA)? */
bool vp_paging_is_long(const struct vp_paging *p);

/*
 * Translate @addr. 4- and 5-level (CR4.LA57).
 *  -EFAULT      not mapped, not canonical, a reserved bit is set, or a table lies outside RAM
 *  -EOPNOTSUPP  not 64-bit mode with paging
 */
int vp_walk(const struct vp_paging *p, const struct vp_phys_reader *mem, vp_gva addr,
	    struct vp_map *out, struct vp_err *err);

#endif /* VP_X86_WALK_H */
