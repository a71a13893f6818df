/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounds-checked view of a relocatable ELF64 x86-64 object in memory: sections, symbols,
 * relocations. Whoever made the file may be hostile: what this view gives out lies inside the file,
 * no two sections share bytes, every name is one printable line, every number of a section or a
 * symbol is one that exists.
 *
 * Threads: an open view is only read, so any number may use it.
 */
#ifndef VP_ELF_OBJECT_H
#define VP_ELF_OBJECT_H

#include <vmpoke/types.h>
#include <elf.h>

/* Of the file, and of all that it wants to have in memory. */
#define VP_ELF_OBJECT_MAX (16u << 20)

struct vp_elf_object;

struct vp_elf_section {
	const char *name; /* "" for number 0 */
	uint32_t type;	  /* SHT_* */
	uint64_t flags;	  /* SHF_* */
	uint64_t size;
	uint64_t align;	     /* a power of two, at most a page for what is allocated */
	uint64_t offset;     /* of data, in the file */
	const uint8_t *data; /* size bytes; NULL if the file has none (SHT_NOBITS, number 0) */
};

struct vp_elf_object_symbol {
	const char *name;	 /* may be "" */
	uint64_t value;		 /* at most the size of its section */
	uint64_t size;		 /* value + size ends inside its section, too */
	unsigned int type, bind; /* STT_*, STB_* */
	unsigned int section;	 /* SHN_UNDEF, SHN_ABS, SHN_COMMON, or a section that exists */
};

struct vp_elf_reloc {
	uint64_t offset; /* inside the section; the field may be cut off at its end */
	int64_t addend;
	uint32_t type;	 /* R_X86_64_* or anything else */
	uint32_t symbol; /* exists */
};

/*
 * Open an object of type ET_REL. @image is copied; the view owns all that it gives out. @what names
 * it in error texts. -ENOEXEC: not such an object, or damaged, or more than we take; -ENOMEM.
 */
int vp_elf_object_open(const void *image, size_t len, const char *what, struct vp_elf_object **out,
		       struct vp_err *err);

/* NULL is fine. */
void vp_elf_object_close(struct vp_elf_object *object);

/* What it was opened as. */
const char *vp_elf_object_what(const struct vp_elf_object *object);

/* By their numbers; number 0 is none. */
const struct vp_elf_section *vp_elf_object_sections(const struct vp_elf_object *object, size_t *n);
const struct vp_elf_object_symbol *vp_elf_object_symbols(const struct vp_elf_object *object,
							 size_t *n);

/*
 * Those of section @section, in the order of the file; @n gets 0 if it has none. What a livepatch
 * module has for it in .klp.rela.OBJ.SECTION is among them; the symbols that only livepatch
 * resolves (SHN_LIVEPATCH) are undefined ones with names of theirs (.klp.sym.OBJ.NAME,SYMPOS).
 */
const struct vp_elf_reloc *vp_elf_object_relocs(const struct vp_elf_object *object, size_t section,
						size_t *n);

#endif /* VP_ELF_OBJECT_H */
