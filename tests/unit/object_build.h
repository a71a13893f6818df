/* SPDX-License-Identifier: Apache-2.0 */
/* A relocatable ELF64 x86-64 object, built in memory piece by piece, for tests to link and damage.
 */
#ifndef VP_UNIT_OBJECT_BUILD_H
#define VP_UNIT_OBJECT_BUILD_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define OBJECT_SECTIONS 24
#define OBJECT_SYMBOLS	32
#define OBJECT_RELOCS	96

struct object_section {
	const char *name;
	uint32_t type;
	uint64_t flags;
	const void *data; /* of the caller until object_finish() */
	size_t size;
	uint64_t align;
};

struct object_build {
	struct object_section sections[OBJECT_SECTIONS];
	unsigned int nsections; /* with number 0 */
	struct {
		const char *name;
		Elf64_Sym sym;
	} symbols[OBJECT_SYMBOLS];
	unsigned int nsymbols; /* with number 0 */
	struct {
		unsigned int section;
		Elf64_Rela rela;
	} relocs[OBJECT_RELOCS];
	size_t nrelocs;

	/* After object_finish(): the file, and where its parts are. */
	uint8_t bytes[32768];
	size_t len, shdrs, symtab, rela[OBJECT_SECTIONS];
	unsigned int shnum, symtab_index, strtab_index, shstrtab_index;
};

void object_begin(struct object_build *b);

/* Each returns its number. */
unsigned int object_section(struct object_build *b, const char *name, uint64_t flags,
			    const void *data, size_t size);
unsigned int object_symbol(struct object_build *b, const char *name, unsigned int type,
			   unsigned int section, uint64_t value, uint64_t size);

void object_reloc(struct object_build *b, unsigned int section, uint64_t offset, uint32_t type,
		  unsigned int symbol, int64_t addend);

void object_finish(struct object_build *b);

Elf64_Ehdr *object_ehdr(struct object_build *b);
Elf64_Shdr *object_shdr(struct object_build *b, unsigned int i);

#endif /* VP_UNIT_OBJECT_BUILD_H */
