/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounds-checked view of an ELF64 x86-64 image in memory. Whoever gets the file
 * may be hostile or damaged: what this view gives out lies inside the image.
 *
 * Threads: an open view belongs to one thread at a time.
 */
#ifndef VP_ELF_IMAGE_H
#define VP_ELF_IMAGE_H

#include <vmpoke/types.h>
#include <elf.h>

struct vp_elf;

/* One PT_LOAD. Neither vaddr + memsz nor paddr + memsz wraps; filesz <= memsz; memsz > 0. */
struct vp_elf_segment {
	uint64_t vaddr, paddr;
	uint64_t filesz, memsz;
	uint32_t flags;	  /* PF_R, PF_W, PF_X */
	const void *data; /* filesz bytes; valid until vp_elf_close() */
};

/* One symbol of a symbol table; the name is valid during the callback only. */
struct vp_elf_symbol {
	const char *name; /* never empty */
	uint64_t value, size;
	unsigned int type;    /* STT_* */
	unsigned int section; /* st_shndx: SHN_UNDEF, SHN_ABS, a number ... */
};

/*
 * Open an image of type ET_EXEC or ET_DYN (see vp_elf_type()). @image is copied; the view owns
 * all it gives out. @what names the image in error texts. -ENOEXEC: not such an image, or damaged.
 * -ENOMEM.
 */
int vp_elf_open(const void *image, size_t len, const char *what, struct vp_elf **out,
		struct vp_err *err);

/* NULL is fine. */
void vp_elf_close(struct vp_elf *elf);

/* ET_EXEC or ET_DYN. */
unsigned int vp_elf_type(const struct vp_elf *elf);

/* e_entry, as the file says: it may lie outside every segment. */
vp_gva vp_elf_entry(const struct vp_elf *elf);

/* The PT_LOADs in file order; @n gets their number (may be 0). Owned by the view. */
const struct vp_elf_segment *vp_elf_segments(const struct vp_elf *elf, size_t *n);

/*
 * Find the first note @name, @type in a PT_NOTE. @desc (@len bytes, not aligned) is valid until
 * vp_elf_close(). -ENOENT: there is none.
 */
int vp_elf_note(struct vp_elf *elf, const char *name, uint32_t type, const void **desc,
		size_t *len);

/*
 * Call @fn for each named entry of the symbol table (the dynamic one if there is no other)
 * until it returns non-zero; return that, or 0, or -ENOEXEC with @err: the table is damaged.
 */
int vp_elf_each_symbol(struct vp_elf *elf, int (*fn)(void *arg, const struct vp_elf_symbol *sym),
		       void *arg, struct vp_err *err);

#endif /* VP_ELF_IMAGE_H */
