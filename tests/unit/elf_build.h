/* SPDX-License-Identifier: Apache-2.0 */
/* A small good ELF64 x86-64 executable, built in memory, for tests to read and to damage. */
#ifndef VP_UNIT_ELF_BUILD_H
#define VP_UNIT_ELF_BUILD_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_TEXT  0xffffffff81000000ull
#define ELF_ENTRY (ELF_TEXT + 4)

/* Sections and segments by number. */
enum { SEC_NULL, SEC_TEXT, SEC_SYMTAB, SEC_STRTAB, SEC_COUNT };
enum { SEG_TEXT, SEG_DATA, SEG_NOTE, SEG_COUNT };

struct elf_symbol {
	const char *name;
	uint64_t value, size;
	uint8_t type; /* STT_* */
	uint16_t shndx;
};

/* The file, and where its parts are. */
struct elf_image {
	uint8_t bytes[16384];
	size_t len;
	size_t phdrs, text, data, note, symtab, strtab, shdrs;
};

/* Parts of the file, to be changed in place. */
Elf64_Ehdr *elf_ehdr(struct elf_image *img);
Elf64_Phdr *elf_phdr(struct elf_image *img, unsigned int i);
Elf64_Shdr *elf_shdr(struct elf_image *img, unsigned int i);

/*
 * Text (16 bytes, R+X) and data (8 of 4096 bytes, R+W) as PT_LOADs, two notes ("other" 7, then
 * "vmpoke" 1 with the four bytes 1 0 0 0), the symbols, and the section headers at the very end.
 */
void elf_build(struct elf_image *img, const struct elf_symbol *syms, size_t nsyms);

#endif /* VP_UNIT_ELF_BUILD_H */
