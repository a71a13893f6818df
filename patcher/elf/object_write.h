/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relocatable ELF64 x86-64 object, written piece by piece: what elf/object.h reads. The same
 * pieces in the same order give the same bytes.
 *
 * A piece that finds no memory makes the whole fail: vp_elf_write_finish() says so.
 */
#ifndef VP_ELF_OBJECT_WRITE_H
#define VP_ELF_OBJECT_WRITE_H

#include <vmpoke/types.h>
#include <elf.h>

struct vp_elf_write;

/* NULL: no memory. */
struct vp_elf_write *vp_elf_write_new(void);
void vp_elf_write_free(struct vp_elf_write *w);

/*
 * Each returns a number, which is 0 if there is no memory. @data (copied) is NULL for SHT_NOBITS.
 * A symbol without a section (SHN_UNDEF) is made once for each name, whatever else is asked for.
 */
uint32_t vp_elf_write_section(struct vp_elf_write *w, const char *name, uint32_t type,
			      uint64_t flags, uint64_t align, const void *data, uint64_t size);
uint32_t vp_elf_write_symbol(struct vp_elf_write *w, const char *name, unsigned int type,
			     unsigned int bind, uint32_t section, uint64_t value, uint64_t size);
void vp_elf_write_reloc(struct vp_elf_write *w, uint32_t section, uint64_t offset, uint32_t type,
			uint32_t symbol, int64_t addend);

/* Add @size bytes to a section that is not SHT_NOBITS; where they are. */
uint64_t vp_elf_write_more(struct vp_elf_write *w, uint32_t section, const void *data,
			   uint64_t size);

/* The file: malloc()ed. -ENOMEM. */
int vp_elf_write_finish(struct vp_elf_write *w, void **image, size_t *len, struct vp_err *err);

#endif /* VP_ELF_OBJECT_WRITE_H */
