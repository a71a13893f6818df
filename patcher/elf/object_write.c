/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/object_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of bytes that grows. */
struct bytes {
	uint8_t *at;
	size_t n, room;
};

struct section {
	uint32_t name, type;
	uint64_t flags, align, size;
	struct bytes data, relocs;
};

struct symbol {
	Elf64_Sym sym;
	uint32_t number; /* in the file: local ones come first */
};

struct vp_elf_write {
	struct section *sections;
	struct symbol *symbols;
	size_t nsections, nsymbols;
	struct bytes strings;
	bool no_memory;
};

static uint64_t add(struct vp_elf_write *w, struct bytes *b, const void *data, size_t n)
{
	size_t at = b->n;

	if (b->n + n > b->room) {
		size_t room = 2 * (b->n + n) + 64;
		uint8_t *more = realloc(b->at, room);

		if (!more) {
			w->no_memory = true;
			return 0;
		}
		b->at = more;
		b->room = room;
	}
	if (data)
		memcpy(b->at + b->n, data, n);
	else
		memset(b->at + b->n, 0, n);
	b->n += n;
	return at;
}

static void align_to(struct vp_elf_write *w, struct bytes *b, size_t align)
{
	if (b->n % align)
		add(w, b, NULL, align - b->n % align);
}

static uint32_t string(struct vp_elf_write *w, const char *text)
{
	return (uint32_t)add(w, &w->strings, text, strlen(text) + 1);
}

struct vp_elf_write *vp_elf_write_new(void)
{
	struct vp_elf_write *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	add(w, &w->strings, "", 1);
	vp_elf_write_section(w, "", SHT_NULL, 0, 0, NULL, 0);
	vp_elf_write_symbol(w, "", 0, 0, SHN_ABS, 0, 0);
	return w;
}

void vp_elf_write_free(struct vp_elf_write *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->nsections; i++) {
		free(w->sections[i].data.at);
		free(w->sections[i].relocs.at);
	}
	free(w->sections);
	free(w->symbols);
	free(w->strings.at);
	free(w);
}

uint32_t vp_elf_write_section(struct vp_elf_write *w, const char *name, uint32_t type,
			      uint64_t flags, uint64_t align, const void *data, uint64_t size)
{
	struct section *more = reallocarray(w->sections, w->nsections + 1, sizeof(*more)), *s;

	if (!more) {
		w->no_memory = true;
		return 0;
	}
	w->sections = more;
	s = &more[w->nsections];
	*s = (struct section){ .name = string(w, name),
			       .type = type,
			       .flags = flags,
			       .align = align ? align : 1,
			       .size = size };
	if (type != SHT_NOBITS && size)
		add(w, &s->data, data, size);
	return (uint32_t)w->nsections++;
}

static uint32_t find_undefined(const struct vp_elf_write *w, const char *name)
{
	for (size_t i = 1; i < w->nsymbols; i++)
		if (w->symbols[i].sym.st_shndx == SHN_UNDEF &&
		    !strcmp((char *)w->strings.at + w->symbols[i].sym.st_name, name))
			return (uint32_t)i;
	return 0;
}

uint32_t vp_elf_write_symbol(struct vp_elf_write *w, const char *name, unsigned int type,
			     unsigned int bind, uint32_t section, uint64_t value, uint64_t size)
{
	uint32_t known = section == SHN_UNDEF ? find_undefined(w, name) : 0;
	struct symbol *more;

	if (known)
		return known;
	more = reallocarray(w->symbols, w->nsymbols + 1, sizeof(*more));
	if (!more) {
		w->no_memory = true;
		return 0;
	}
	w->symbols = more;
	more[w->nsymbols] = (struct symbol){
		.sym = { .st_name = string(w, name),
			 .st_info = (unsigned char)ELF64_ST_INFO(bind, type),
			 .st_shndx = (uint16_t)section,
			 .st_value = value,
			 .st_size = size },
	};
	if (!w->nsymbols)
		more->sym.st_shndx = SHN_UNDEF;
	return (uint32_t)w->nsymbols++;
}

void vp_elf_write_reloc(struct vp_elf_write *w, uint32_t section, uint64_t offset, uint32_t type,
			uint32_t symbol, int64_t addend)
{
	const Elf64_Rela r = { .r_offset = offset,
			       .r_info = ELF64_R_INFO(symbol, type),
			       .r_addend = addend };

	if (section < w->nsections)
		add(w, &w->sections[section].relocs, &r, sizeof(r));
}

uint64_t vp_elf_write_more(struct vp_elf_write *w, uint32_t section, const void *data,
			   uint64_t size)
{
	struct section *s;

	if (section >= w->nsections)
		return 0;
	s = &w->sections[section];
	s->size += size;
	return add(w, &s->data, data, size);
}

/* --- the file ----------------------------------------------------------------------------- */

/* Sections that are made for the others. */
struct made {
	Elf64_Shdr *headers;
	size_t n, symtab;
};

static void put_header(struct vp_elf_write *w, struct made *m, const char *name, Elf64_Shdr h)
{
	h.sh_name = *name ? string(w, name) : h.sh_name;
	m->headers[m->n++] = h;
}

/* Local symbols first, as ELF wants it; how many they are. */
static uint32_t number_symbols(struct vp_elf_write *w)
{
	uint32_t n = 0, locals = 0;

	for (int global = 0; global < 2; global++) {
		for (size_t i = 0; i < w->nsymbols; i++)
			if ((ELF64_ST_BIND(w->symbols[i].sym.st_info) != STB_LOCAL) == global)
				w->symbols[i].number = n++;
		if (!global)
			locals = n;
	}
	return locals;
}

static void put_sections(struct vp_elf_write *w, struct made *m, struct bytes *file)
{
	for (size_t i = 0; i < w->nsections; i++) {
		struct section *s = &w->sections[i];

		align_to(w, file, s->align);
		put_header(w, m, "",
			   (Elf64_Shdr){ .sh_name = s->name,
					 .sh_type = s->type,
					 .sh_flags = s->flags,
					 .sh_addralign = i ? s->align : 0,
					 .sh_size = s->size,
					 .sh_offset = i ? file->n : 0 });
		if (s->data.n)
			add(w, file, s->data.at, s->data.n);
	}
}

static void put_symbols(struct vp_elf_write *w, struct made *m, struct bytes *file)
{
	uint32_t locals = number_symbols(w);
	uint64_t at;

	align_to(w, file, 8);
	at = add(w, file, NULL, w->nsymbols * sizeof(Elf64_Sym));
	m->symtab = m->n;
	put_header(w, m, ".symtab",
		   (Elf64_Shdr){ .sh_type = SHT_SYMTAB,
				 .sh_offset = at,
				 .sh_size = w->nsymbols * sizeof(Elf64_Sym),
				 .sh_info = locals,
				 .sh_link = (uint32_t)m->n + 1, /* .strtab is next */
				 .sh_addralign = 8,
				 .sh_entsize = sizeof(Elf64_Sym) });
	for (size_t i = 0; !w->no_memory && i < w->nsymbols; i++)
		memcpy(file->at + at + w->symbols[i].number * sizeof(Elf64_Sym), &w->symbols[i].sym,
		       sizeof(Elf64_Sym));
}

static void put_relocs(struct vp_elf_write *w, struct made *m, struct bytes *file)
{
	for (size_t i = 1; i < w->nsections && !w->no_memory; i++) {
		struct section *s = &w->sections[i];
		char name[256];

		if (!s->relocs.n)
			continue;
		for (size_t j = 0; j < s->relocs.n; j += sizeof(Elf64_Rela)) {
			Elf64_Rela *r = (Elf64_Rela *)(void *)(s->relocs.at + j);
			uint32_t to = (uint32_t)ELF64_R_SYM(r->r_info);

			to = to < w->nsymbols ? w->symbols[to].number : 0;
			r->r_info = ELF64_R_INFO(to, ELF64_R_TYPE(r->r_info));
		}
		align_to(w, file, 8);
		snprintf(name, sizeof(name), ".rela%s", (char *)w->strings.at + s->name);
		put_header(w, m, name,
			   (Elf64_Shdr){ .sh_type = SHT_RELA,
					 .sh_flags = SHF_INFO_LINK,
					 .sh_offset = file->n,
					 .sh_size = s->relocs.n,
					 .sh_link = (uint32_t)m->symtab,
					 .sh_info = (uint32_t)i,
					 .sh_addralign = 8,
					 .sh_entsize = sizeof(Elf64_Rela) });
		add(w, file, s->relocs.at, s->relocs.n);
	}
}

/* The texts are the last: the other headers' names are in them. */
static void put_strings(struct vp_elf_write *w, struct made *m, struct bytes *file, size_t at)
{
	m->headers[at].sh_name = string(w, ".strtab");
	m->headers[at].sh_type = SHT_STRTAB;
	m->headers[at].sh_addralign = 1;
	m->headers[at].sh_offset = file->n;
	m->headers[at].sh_size = w->strings.n;
	add(w, file, w->strings.at, w->strings.n);
}

int vp_elf_write_finish(struct vp_elf_write *w, void **image, size_t *len, struct vp_err *err)
{
	struct made m = { .headers = calloc(2 * w->nsections + 4, sizeof(Elf64_Shdr)) };
	struct bytes file = { 0 };
	Elf64_Ehdr h = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				      EV_CURRENT },
			 .e_type = ET_REL,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_ehsize = sizeof(Elf64_Ehdr),
			 .e_shentsize = sizeof(Elf64_Shdr) };
	size_t strings;

	w->no_memory |= !m.headers;
	add(w, &file, &h, sizeof(h));
	if (!w->no_memory) {
		put_sections(w, &m, &file);
		put_symbols(w, &m, &file);
		strings = m.n++;
		put_relocs(w, &m, &file);
		put_strings(w, &m, &file, strings);
		align_to(w, &file, 8);
		h.e_shoff = add(w, &file, m.headers, m.n * sizeof(Elf64_Shdr));
		h.e_shnum = (uint16_t)m.n;
		h.e_shstrndx = (uint16_t)strings;
	}
	free(m.headers);
	if (w->no_memory || w->nsections > 0x7000) {
		free(file.at);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	memcpy(file.at, &h, sizeof(h));
	*image = file.at;
	*len = file.n;
	return 0;
}
