/* SPDX-License-Identifier: Apache-2.0 */
#include "elf_build.h"

#include <stdlib.h>
#include <string.h>

Elf64_Ehdr *elf_ehdr(struct elf_image *img)
{
	return (void *)img->bytes;
}

Elf64_Phdr *elf_phdr(struct elf_image *img, unsigned int i)
{
	return (Elf64_Phdr *)(void *)(img->bytes + img->phdrs) + i;
}

Elf64_Shdr *elf_shdr(struct elf_image *img, unsigned int i)
{
	return (Elf64_Shdr *)(void *)(img->bytes + img->shdrs) + i;
}

/* Append @size bytes (zeroes without @data), 8-aligned; returns where. */
static size_t append(struct elf_image *img, const void *data, size_t size)
{
	size_t at = (img->len + 7) & ~(size_t)7;

	if (at + size > sizeof(img->bytes))
		abort();
	if (data)
		memcpy(img->bytes + at, data, size);
	img->len = at + size;
	return at;
}

static void append_note(struct elf_image *img, const char *name, uint32_t type, uint32_t desc)
{
	Elf64_Nhdr nh = { (Elf64_Word)strlen(name) + 1, sizeof(desc), type };
	char padded[8] = "";

	strncpy(padded, name, sizeof(padded) - 1);
	append(img, &nh, sizeof(nh));
	img->len = img->len - sizeof(nh) + 12; /* notes are 4-aligned: go on right behind */
	memcpy(img->bytes + img->len, padded, sizeof(padded));
	memcpy(img->bytes + img->len + sizeof(padded), &desc, sizeof(desc));
	img->len += sizeof(padded) + sizeof(desc);
}

static void append_symbols(struct elf_image *img, const struct elf_symbol *syms, size_t n)
{
	size_t at = 1;

	img->symtab = append(img, NULL, (n + 1) * sizeof(Elf64_Sym));
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym s = {
			.st_name = (Elf64_Word)at,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, syms[i].type),
			.st_shndx = syms[i].shndx,
			.st_value = syms[i].value,
			.st_size = syms[i].size,
		};

		memcpy(img->bytes + img->symtab + (i + 1) * sizeof(s), &s, sizeof(s));
		at += strlen(syms[i].name) + 1;
	}
	img->strtab = append(img, "", 1);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(syms[i].name) + 1;

		if (img->len + len > sizeof(img->bytes))
			abort();
		memcpy(img->bytes + img->len, syms[i].name, len);
		img->len += len;
	}
}

static void fill_headers(struct elf_image *img, size_t note_size, size_t nsyms, size_t strtab_size)
{
	*elf_ehdr(img) = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = ELF_ENTRY,
		.e_phoff = img->phdrs,
		.e_shoff = img->shdrs,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = SEG_COUNT,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SEC_COUNT,
	};
	*elf_phdr(img, SEG_TEXT) =
		(Elf64_Phdr){ PT_LOAD, PF_R | PF_X, img->text, ELF_TEXT, 0x100000, 16, 16, 4096 };
	*elf_phdr(img, SEG_DATA) =
		(Elf64_Phdr){ PT_LOAD,	PF_R | PF_W, img->data, ELF_TEXT + 0x1000,
			      0x101000, 8,	     4096,	4096 };
	*elf_phdr(img, SEG_NOTE) =
		(Elf64_Phdr){ PT_NOTE, PF_R, img->note, 0, 0, note_size, note_size, 4 };
	*elf_shdr(img, SEC_TEXT) = (Elf64_Shdr){
		.sh_type = SHT_PROGBITS, .sh_offset = img->text, .sh_size = 16, .sh_addralign = 1
	};
	*elf_shdr(img, SEC_SYMTAB) = (Elf64_Shdr){ .sh_type = SHT_SYMTAB,
						   .sh_offset = img->symtab,
						   .sh_size = (nsyms + 1) * sizeof(Elf64_Sym),
						   .sh_link = SEC_STRTAB,
						   .sh_addralign = 8,
						   .sh_entsize = sizeof(Elf64_Sym) };
	*elf_shdr(img, SEC_STRTAB) = (Elf64_Shdr){ .sh_type = SHT_STRTAB,
						   .sh_offset = img->strtab,
						   .sh_size = strtab_size,
						   .sh_addralign = 1 };
}

void elf_build(struct elf_image *img, const struct elf_symbol *syms, size_t nsyms)
{
	size_t note_size, strtab_size;

	memset(img, 0, sizeof(*img));
	append(img, NULL, sizeof(Elf64_Ehdr));
	img->phdrs = append(img, NULL, SEG_COUNT * sizeof(Elf64_Phdr));
	img->text =
		append(img, "\x90\x90\x90\x90\xeb\xfe\x90\x90\x90\x90\x90\x90\x90\x90\x90\xc3", 16);
	img->data = append(img, "datadata", 8);
	img->note = append(img, NULL, 0);
	append_note(img, "other", 7, 0x55555555);
	append_note(img, "vmpoke", 1, 1);
	note_size = img->len - img->note;
	append_symbols(img, syms, nsyms);
	strtab_size = img->len - img->strtab;
	img->shdrs = append(img, NULL, SEC_COUNT * sizeof(Elf64_Shdr));
	fill_headers(img, note_size, nsyms, strtab_size);
}
