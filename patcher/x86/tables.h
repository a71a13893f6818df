/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables kept, for walks of many addresses: a read of some targets is dear however short it
 * is, so a table is read as a whole, once. The guest may change it meanwhile, so for a moment only.
 */
#ifndef VP_X86_TABLES_H
#define VP_X86_TABLES_H

#include "x86/walk.h"

#define VP_TABLES_MAX 16u
#define VP_TABLE_SIZE 0x1000u

struct vp_tables {
	struct vp_phys_reader mem;
	unsigned int reads; /* entries that the walk in hand has wanted: how deep it got */
	bool lost;	    /* ... the last of which is in no memory */
	unsigned int next;
	uint64_t gpa[VP_TABLES_MAX]; /* ~0: free */
	uint8_t page[VP_TABLES_MAX][VP_TABLE_SIZE];
};

void vp_tables_init(struct vp_tables *tab, struct vp_phys_reader mem);

/* An entry of a table, for vp_walk(): the argument is a struct vp_tables. */
int vp_tables_read(void *tab, vp_gpa gpa, void *buf, size_t len, struct vp_err *err);

/* vp_walk() over them. */
int vp_tables_walk(struct vp_tables *tab, const struct vp_paging *p, vp_gva addr,
		   struct vp_map *map, struct vp_err *err);

#endif /* VP_X86_TABLES_H */
