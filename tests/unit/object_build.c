/* SPDX-License-Identifier: Apache-2.0 */
#include "object_build.h"

#include <stdlib.h>
#include <string.h>

void object_begin(struct object_build *b)
{
	memset(b, 0, sizeof(*b));
	b->nsections = 1;
	b->nsymbols = 1;
	b->sections[0].name = b->symbols[0].name = "";
}

unsigned int object_section(struct object_build *b, const char *name, uint64_t flags,
			    const void *data, size_t size)
{
	if (b->nsections == OBJECT_SECTIONS)
		abort();
	b->sections[b->nsections] = (struct object_section){
		.name = name,
		.type = data ? SHT_PROGBITS : SHT_NOBITS,
		.flags = flags,
		.data = data,
		.size = size,
		.align = 8,
	};
	return b->nsections++;
}

unsigned int object_symbol(struct object_build *b, const char *name, unsigned int type,
			   unsigned int section, uint64_t value, uint64_t size)
{
	if (b->nsymbols == OBJECT_SYMBOLS)
		abort();
	b->symbols[b->nsymbols].name = name;
	b->symbols[b->nsymbols].sym = (Elf64_Sym){
		.st_info = (unsigned char)ELF64_ST_INFO(STB_GLOBAL, type),
		.st_shndx = (Elf64_Section)section,
		.st_value = value,
		.st_size = size,
	};
	return b->nsymbols++;
}

void object_reloc(struct object_build *b, unsigned int section, uint64_t offset, uint32_t type,
		  unsigned int symbol, int64_t addend)
{
	if (b->nrelocs == OBJECT_RELOCS)
		abort();
	b->relocs[b->nrelocs].section = section;
	b->relocs[b->nrelocs++].rela = (Elf64_Rela){ offset, ELF64_R_INFO(symbol, type), addend };
}

/* Append @size bytes (zeroes without @data), 8-aligned; returns where. */
static size_t append(struct object_build *b, const void *data, size_t size)
{
	size_t at = (b->len + 7) & ~(size_t)7;

	if (at + size > sizeof(b->bytes))
		abort();
	if (data && size)
		memcpy(b->bytes + at, data, size);
	b->len = at + size;
	return at;
}

Elf64_Ehdr *object_ehdr(struct object_build *b)
{
	return (void *)b->bytes;
}

Elf64_Shdr *object_shdr(struct object_build *b, unsigned int i)
{
	return (Elf64_Shdr *)(void *)(b->bytes + b->shdrs) + i;
}

struct strings {
	char text[4096];
	size_t len;
};

static Elf64_Word intern(struct strings *s, const char *name)
{
	size_t at = s->len, n = strlen(name) + 1;

	if (!*name && s->len)
		return 0;
	if (at + n > sizeof(s->text))
		abort();
	memcpy(s->text + at, name, n);
	s->len += n;
	return (Elf64_Word)at;
}

static size_t relocs_of(const struct object_build *b, unsigned int section, Elf64_Rela *out)
{
	size_t n = 0;

	for (size_t i = 0; i < b->nrelocs; i++)
		if (b->relocs[i].section == section)
			out[n++] = b->relocs[i].rela;
	return n;
}

static void add_relocs(struct object_build *b, Elf64_Shdr *sh, struct strings *names)
{
	Elf64_Rela list[OBJECT_RELOCS];

	for (unsigned int i = 1; i < b->nsections; i++) {
		size_t n = relocs_of(b, i, list);
		char name[64] = ".rela";

		if (!n)
			continue;
		strncat(name, b->sections[i].name, sizeof(name) - 6);
		b->rela[i] = append(b, list, n * sizeof(*list));
		sh[b->shnum++] = (Elf64_Shdr){ .sh_name = intern(names, name),
					       .sh_type = SHT_RELA,
					       .sh_offset = b->rela[i],
					       .sh_size = n * sizeof(*list),
					       .sh_link = b->symtab_index,
					       .sh_info = i,
					       .sh_entsize = sizeof(*list),
					       .sh_addralign = 8 };
	}
}

static void add_symbols(struct object_build *b, Elf64_Shdr *sh, struct strings *names)
{
	Elf64_Sym list[OBJECT_SYMBOLS] = { 0 };
	struct strings own = { .len = 0 };

	intern(&own, "");
	for (unsigned int i = 1; i < b->nsymbols; i++) {
		list[i] = b->symbols[i].sym;
		list[i].st_name = intern(&own, b->symbols[i].name);
	}
	b->symtab = append(b, list, b->nsymbols * sizeof(*list));
	b->symtab_index = b->shnum++;
	b->strtab_index = b->shnum++;
	sh[b->symtab_index] = (Elf64_Shdr){ .sh_name = intern(names, ".symtab"),
					    .sh_type = SHT_SYMTAB,
					    .sh_offset = b->symtab,
					    .sh_size = b->nsymbols * sizeof(*list),
					    .sh_link = b->strtab_index,
					    .sh_info = 1,
					    .sh_entsize = sizeof(*list),
					    .sh_addralign = 8 };
	sh[b->strtab_index] = (Elf64_Shdr){ .sh_name = intern(names, ".strtab"),
					    .sh_type = SHT_STRTAB,
					    .sh_offset = append(b, own.text, own.len),
					    .sh_size = own.len,
					    .sh_addralign = 1 };
}

void object_finish(struct object_build *b)
{
	Elf64_Shdr sh[2 * OBJECT_SECTIONS + 4] = { 0 };
	struct strings names = { .len = 0 };

	append(b, NULL, sizeof(Elf64_Ehdr));
	intern(&names, "");
	b->shnum = b->nsections;
	for (unsigned int i = 1; i < b->nsections; i++) {
		const struct object_section *s = &b->sections[i];

		sh[i] = (Elf64_Shdr){ .sh_name = intern(&names, s->name),
				      .sh_type = s->type,
				      .sh_flags = s->flags,
				      .sh_offset = append(b, s->data, s->data ? s->size : 0),
				      .sh_size = s->size,
				      .sh_addralign = s->align };
	}
	add_symbols(b, sh, &names);
	add_relocs(b, sh, &names);
	b->shstrtab_index = b->shnum++;
	sh[b->shstrtab_index].sh_name = intern(&names, ".shstrtab");
	sh[b->shstrtab_index].sh_type = SHT_STRTAB;
	sh[b->shstrtab_index].sh_offset = append(b, names.text, names.len);
	sh[b->shstrtab_index].sh_size = names.len;
	b->shdrs = append(b, sh, b->shnum * sizeof(*sh));
	*object_ehdr(b) = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_shoff = b->shdrs,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = (Elf64_Half)b->shnum,
		.e_shstrndx = (Elf64_Half)b->shstrtab_index,
	};
}
