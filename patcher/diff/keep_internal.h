/* SPDX-License-Identifier: Apache-2.0 */
/* What deciding and writing share: the references of what is kept. */
#ifndef VP_DIFF_KEEP_INTERNAL_H
#define VP_DIFF_KEEP_INTERNAL_H

#include "diff/keep.h"

/* Called for each relocation of a range of code's bytes, which belongs to @item. */
typedef void (*vp_keep_see)(void *arg, struct vp_keep *k, size_t item, const struct vp_elf_reloc *r,
			    const struct vp_ref *ref);
void vp_keep_each_ref(struct vp_keep *k, size_t item, size_t section, uint64_t offset,
		      uint64_t size, vp_keep_see see, void *arg);

/* Called for each entry of the table @name (vp_tables_of_code) that speaks of @item. */
typedef void (*vp_keep_see_entry)(void *arg, size_t item, const uint8_t *entry, uint64_t size,
				  const struct vp_elf_reloc *relocs);
void vp_keep_each_entry(struct vp_keep *k, const char *name, size_t item, vp_keep_see_entry see,
			void *arg);

/*
 * What an entry of .altinstructions puts in the place: as many bytes as its last one says. False:
 * none, or the entry makes no sense.
 */
bool vp_keep_replacement(struct vp_unit *u, const uint8_t *entry, uint64_t size,
			 const struct vp_elf_reloc *relocs, size_t *section, uint64_t *at);

/*
 * The item of the third compilation that replaces the function @after; VP_NO_ITEM: nothing can, its
 * users are replaced.
 */
size_t vp_keep_replacing(const struct vp_keep *k, size_t after);

/* Has the kernel no entry of ftrace's in the function @after? */
bool vp_keep_lacks_entry(const struct vp_keep *k, size_t after);

/* A static function of a header: each source has its own, all of one name. */
bool vp_keep_is_of_header(const struct vp_keep *k, const struct vp_item *f);

#endif /* VP_DIFF_KEEP_INTERNAL_H */
