/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define PAGE 4096u

/*
 * Of livepatch modules (include/uapi/linux/elf.h): symbols that only livepatch resolves, and
 * relocations that only it applies, beside the others of that section.
 */
#define SHN_LIVEPATCH	   0xff20u
#define SHF_RELA_LIVEPATCH 0x00100000u

/* Or many symbols that share one endless name would take for ever to look at. */
#define NAME_MAX_BYTES 1024u

struct relocs {
	struct vp_elf_reloc *list;
	size_t n;
	unsigned int tables; /* bit 0: of the usual kind; bit 1: of a livepatch module's */
};

struct vp_elf_object {
	uint8_t *copy;
	size_t len;
	char what[96]; /* leaves room for the reason in a struct vp_err */
	Elf64_Ehdr eh;
	Elf64_Shdr *headers;
	struct vp_elf_section *sections;
	size_t nsections;
	struct vp_elf_object_symbol *symbols;
	size_t nsymbols;
	struct relocs *relocs; /* by the section that they change */
};

static int damaged(const struct vp_elf_object *o, struct vp_err *err, const char *why, size_t i)
{
	return vp_err_set(err, -ENOEXEC, "%s: damaged ELF object: %s (%zu)", o->what, why, i);
}

/* The checked accessor: NULL with a text unless the file holds @size bytes at @off. */
static const void *at(const struct vp_elf_object *o, const char *part, size_t i, uint64_t off,
		      uint64_t size, struct vp_err *err)
{
	if (off <= o->len && size <= o->len - off)
		return o->copy + off;
	vp_err_set(err, -ENOEXEC,
		   "%s: truncated ELF object: %s %zu wants %" PRIu64 " bytes at %" PRIu64
		   " but the file has %zu",
		   o->what, part, i, size, off, o->len);
	return NULL;
}

/* --- the header ------------------------------------------------------------------- */

static int check_header(struct vp_elf_object *o, struct vp_err *err)
{
	const Elf64_Ehdr *eh = &o->eh;
	const unsigned char *id = eh->e_ident;

	if (o->len < SELFMAG || memcmp(o->copy, ELFMAG, SELFMAG))
		return vp_err_set(err, -ENOEXEC, "%s: not an ELF file", o->what);
	if (!at(o, "header", 0, 0, sizeof(*eh), err))
		return -ENOEXEC;
	memcpy(&o->eh, o->copy, sizeof(o->eh));
	if (id[EI_CLASS] != ELFCLASS64 || id[EI_DATA] != ELFDATA2LSB)
		return vp_err_set(err, -ENOEXEC, "%s: not a 64-bit little-endian ELF file",
				  o->what);
	if (eh->e_machine != EM_X86_64)
		return vp_err_set(err, -ENOEXEC,
				  "%s: ELF for another machine (e_machine is %u, x86-64 is %u)",
				  o->what, eh->e_machine, EM_X86_64);
	if (id[EI_VERSION] != EV_CURRENT || eh->e_version != EV_CURRENT)
		return damaged(o, err, "unknown version", eh->e_version);
	if (eh->e_type != ET_REL)
		return vp_err_set(err, -ENOEXEC,
				  "%s: not a relocatable ELF object (e_type is %u, not %u)",
				  o->what, eh->e_type, ET_REL);
	if (eh->e_shentsize != sizeof(Elf64_Shdr))
		return damaged(o, err, "odd size of section headers", eh->e_shentsize);
	/* 0 stands for "too many for 16 bits, see section 0". */
	if (!eh->e_shnum || eh->e_shnum >= SHN_LORESERVE)
		return vp_err_set(err, -ENOEXEC, "%s: no sections, or too many", o->what);
	return at(o, "section header", eh->e_shnum, eh->e_shoff,
		  (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr), err)
		       ? 0
		       : -ENOEXEC;
}

/* --- sections ------------------------------------------------------------------------ */

/* The name at @off of the string table in section @table: NULL with a text, or one clean line. */
static const char *get_name(const struct vp_elf_object *o, size_t table, uint64_t off,
			    const char *of, size_t i, struct vp_err *err)
{
	const struct vp_elf_section *s = table < o->nsections ? &o->sections[table] : NULL;
	const char *name;

	if (!s || s->type != SHT_STRTAB || !s->size || s->data[s->size - 1]) {
		damaged(o, err, "no table of names, or one that does not end: section", table);
		return NULL;
	}
	if (off >= s->size) {
		vp_err_set(err, -ENOEXEC,
			   "%s: damaged ELF object: the name of %s %zu lies outside its table",
			   o->what, of, i);
		return NULL;
	}
	name = (const char *)s->data + off;
	if (strnlen(name, NAME_MAX_BYTES) == NAME_MAX_BYTES) {
		vp_err_set(err, -ENOEXEC, "%s: the name of %s %zu is too long", o->what, of, i);
		return NULL;
	}
	if (!vp_text_is_clean(name)) {
		vp_err_set(err, -ENOEXEC, "%s: the name of %s %zu holds control characters",
			   o->what, of, i);
		return NULL;
	}
	return name;
}

static int check_kind(const struct vp_elf_object *o, size_t i, const Elf64_Shdr *sh,
		      struct vp_err *err)
{
	const char *why = NULL;

	if (sh->sh_type == SHT_REL)
		why = "relocations without addends (SHT_REL)";
	else if (sh->sh_type == SHT_SYMTAB_SHNDX)
		why = "more sections than symbols can name";
	else if (sh->sh_flags & SHF_COMPRESSED)
		why = "compressed";
	else if ((sh->sh_flags & SHF_TLS) && (sh->sh_flags & SHF_ALLOC))
		why = "thread-local data";
	else if (sh->sh_size > VP_ELF_OBJECT_MAX)
		why = "too large";
	else if (sh->sh_addralign & (sh->sh_addralign - 1))
		why = "its alignment is no power of two";
	else if ((sh->sh_flags & SHF_ALLOC) && sh->sh_addralign > PAGE)
		why = "aligned to more than a page";
	if (!why)
		return 0;
	return vp_err_set(err, -ENOEXEC, "%s: section %zu is not taken: %s", o->what, i, why);
}

static int read_section(struct vp_elf_object *o, size_t i, uint64_t *memory, struct vp_err *err)
{
	const Elf64_Shdr *sh = &o->headers[i];
	struct vp_elf_section *s = &o->sections[i];
	int rc = check_kind(o, i, sh, err);

	if (rc)
		return rc;
	*s = (struct vp_elf_section){
		.name = "",
		.type = sh->sh_type,
		.flags = sh->sh_flags,
		.size = sh->sh_size,
		.align = sh->sh_addralign ? sh->sh_addralign : 1,
		.offset = sh->sh_offset,
	};
	if (sh->sh_flags & SHF_ALLOC && (*memory += sh->sh_size) > VP_ELF_OBJECT_MAX)
		return vp_err_set(err, -ENOEXEC, "%s: too large: it wants more than %u bytes",
				  o->what, VP_ELF_OBJECT_MAX);
	if (sh->sh_type == SHT_NOBITS || sh->sh_type == SHT_NULL)
		return 0;
	s->data = at(o, "section", i, sh->sh_offset, sh->sh_size, err);
	return s->data ? 0 : -ENOEXEC;
}

struct range {
	uint64_t start, end;
	size_t section;
};

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Nobody's bytes are another's, nor of the headers: what is changed once is changed once. */
static int check_overlap(const struct vp_elf_object *o, struct vp_err *err)
{
	struct range *r = calloc(o->nsections + 2, sizeof(*r));
	size_t n = 0;
	int rc = 0;

	if (!r)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", o->what);
	r[n++] = (struct range){ 0, sizeof(o->eh), 0 };
	r[n++] = (struct range){ o->eh.e_shoff, o->eh.e_shoff + o->nsections * sizeof(Elf64_Shdr),
				 0 };
	for (size_t i = 1; i < o->nsections; i++) {
		const Elf64_Shdr *sh = &o->headers[i];

		if (o->sections[i].data && sh->sh_size)
			r[n++] = (struct range){ sh->sh_offset, sh->sh_offset + sh->sh_size, i };
	}
	qsort(r, n, sizeof(*r), by_start);
	for (size_t i = 1; i < n && !rc; i++)
		if (r[i].start < r[i - 1].end)
			rc = vp_err_set(err, -ENOEXEC,
					"%s: damaged ELF object: sections %zu and %zu overlap "
					"(0: the headers)",
					o->what, r[i - 1].section, r[i].section);
	free(r);
	return rc;
}

static int read_sections(struct vp_elf_object *o, struct vp_err *err)
{
	size_t n = o->eh.e_shnum;
	uint64_t memory = 0;
	int rc = 0;

	o->headers = calloc(n, sizeof(*o->headers));
	o->sections = calloc(n, sizeof(*o->sections));
	o->relocs = calloc(n, sizeof(*o->relocs));
	if (!o->headers || !o->sections || !o->relocs)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", o->what);
	memcpy(o->headers, o->copy + o->eh.e_shoff, n * sizeof(*o->headers));
	o->nsections = n;
	memset(&o->headers[0], 0, sizeof(o->headers[0])); /* it is no section */
	for (size_t i = 0; i < n && !rc; i++)
		rc = read_section(o, i, &memory, err);
	if (!rc)
		rc = check_overlap(o, err);
	for (size_t i = 1; i < n && !rc; i++) {
		struct vp_elf_section *s = &o->sections[i];

		s->name = get_name(o, o->eh.e_shstrndx, o->headers[i].sh_name, "section", i, err);
		if (!s->name)
			return -ENOEXEC;
		if ((s->flags & SHF_ALLOC) && (s->flags & SHF_WRITE) && (s->flags & SHF_EXECINSTR))
			rc = vp_err_set(err, -ENOEXEC,
					"%s: section %.64s is writable and executable (W+X)",
					o->what, s->name);
	}
	return rc;
}

/* --- symbols ----------------------------------------------------------------------------- */

static int check_symbol(const struct vp_elf_object *o, size_t i,
			const struct vp_elf_object_symbol *s, struct vp_err *err)
{
	if (s->section == SHN_UNDEF || s->section == SHN_ABS || s->section == SHN_COMMON)
		return 0;
	if (s->section >= o->nsections)
		return damaged(o, err, "a symbol is in no section: symbol", i);
	if (s->value > o->sections[s->section].size ||
	    s->size > o->sections[s->section].size - s->value)
		return damaged(o, err, "a symbol lies outside its section: symbol", i);
	return 0;
}

static int read_symbols(struct vp_elf_object *o, size_t table, struct vp_err *err)
{
	const Elf64_Shdr *sh = &o->headers[table];
	const struct vp_elf_section *s = &o->sections[table];
	int rc = 0;

	if (o->symbols)
		return damaged(o, err, "a second symbol table: section", table);
	if (sh->sh_entsize != sizeof(Elf64_Sym) || s->size % sizeof(Elf64_Sym) || !s->size)
		return damaged(o, err, "odd size of the symbol table: section", table);
	o->nsymbols = s->size / sizeof(Elf64_Sym);
	o->symbols = calloc(o->nsymbols, sizeof(*o->symbols));
	if (!o->symbols)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", o->what);
	for (size_t i = 0; i < o->nsymbols && !rc; i++) {
		struct vp_elf_object_symbol *out = &o->symbols[i];
		Elf64_Sym sym;

		memcpy(&sym, s->data + i * sizeof(sym), sizeof(sym));
		*out = (struct vp_elf_object_symbol){
			.name = get_name(o, sh->sh_link, sym.st_name, "symbol", i, err),
			.value = sym.st_value,
			.size = sym.st_size,
			.type = ELF64_ST_TYPE(sym.st_info),
			.bind = ELF64_ST_BIND(sym.st_info),
			.section = sym.st_shndx == SHN_LIVEPATCH ? SHN_UNDEF : sym.st_shndx,
		};
		rc = out->name ? check_symbol(o, i, out, err) : -ENOEXEC;
	}
	return rc;
}

/* --- relocations --------------------------------------------------------------------------- */

static int read_relocs(struct vp_elf_object *o, size_t table, struct vp_err *err)
{
	const Elf64_Shdr *sh = &o->headers[table];
	const struct vp_elf_section *s = &o->sections[table], *target;
	bool klp = sh->sh_flags & SHF_RELA_LIVEPATCH;
	struct vp_elf_reloc *list;
	struct relocs *r;
	size_t had;

	if (!sh->sh_info || sh->sh_info >= o->nsections)
		return damaged(o, err, "relocations of no section: section", table);
	target = &o->sections[sh->sh_info];
	r = &o->relocs[sh->sh_info];
	if (!klp && (r->tables & 1))
		return damaged(o, err, "two tables of relocations for section", sh->sh_info);
	if (sh->sh_entsize != sizeof(Elf64_Rela) || s->size % sizeof(Elf64_Rela))
		return damaged(o, err, "odd size of relocations: section", table);
	if (!o->symbols ||
	    o->headers[sh->sh_link < o->nsections ? sh->sh_link : 0].sh_type != SHT_SYMTAB)
		return damaged(o, err, "relocations without a symbol table: section", table);
	had = r->n;
	list = reallocarray(r->list, had + s->size / sizeof(Elf64_Rela) + 1, sizeof(*list));
	if (!list)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", o->what);
	r->list = list;
	r->n = had + s->size / sizeof(Elf64_Rela);
	r->tables |= klp ? 2 : 1;
	for (size_t i = had; i < r->n; i++) {
		Elf64_Rela rela;

		memcpy(&rela, s->data + (i - had) * sizeof(rela), sizeof(rela));
		r->list[i] = (struct vp_elf_reloc){
			.offset = rela.r_offset,
			.addend = rela.r_addend,
			.type = (uint32_t)ELF64_R_TYPE(rela.r_info),
			.symbol = (uint32_t)ELF64_R_SYM(rela.r_info),
		};
		if (r->list[i].symbol >= o->nsymbols)
			return damaged(o, err, "a relocation against no symbol: section", table);
		if (rela.r_offset >= target->size || !target->data)
			return damaged(o, err, "a relocation outside its section: section", table);
	}
	return 0;
}

static int read_tables(struct vp_elf_object *o, uint32_t type,
		       int (*read)(struct vp_elf_object *, size_t, struct vp_err *),
		       struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 1; i < o->nsections && !rc; i++)
		if (o->sections[i].type == type)
			rc = read(o, i, err);
	return rc;
}

/* --- the view -------------------------------------------------------------------------------- */

int vp_elf_object_open(const void *image, size_t len, const char *what, struct vp_elf_object **out,
		       struct vp_err *err)
{
	struct vp_elf_object *o;
	int rc;

	if (len > VP_ELF_OBJECT_MAX)
		return vp_err_set(err, -ENOEXEC, "%s: too large: more than %u bytes", what,
				  VP_ELF_OBJECT_MAX);
	o = calloc(1, sizeof(*o));
	if (!o || !(o->copy = malloc(len ? len : 1))) {
		free(o);
		return vp_err_set(err, -ENOMEM, "%s: out of memory", what);
	}
	if (len)
		memcpy(o->copy, image, len);
	o->len = len;
	snprintf(o->what, sizeof(o->what), "%s", what);

	rc = check_header(o, err);
	if (!rc)
		rc = read_sections(o, err);
	if (!rc)
		rc = read_tables(o, SHT_SYMTAB, read_symbols, err);
	if (!rc)
		rc = read_tables(o, SHT_RELA, read_relocs, err);
	if (rc)
		vp_elf_object_close(o);
	else
		*out = o;
	return rc;
}

void vp_elf_object_close(struct vp_elf_object *o)
{
	if (!o)
		return;
	for (size_t i = 0; o->relocs && i < o->nsections; i++)
		free(o->relocs[i].list);
	free(o->relocs);
	free(o->symbols);
	free(o->sections);
	free(o->headers);
	free(o->copy);
	free(o);
}

const char *vp_elf_object_what(const struct vp_elf_object *o)
{
	return o->what;
}

const struct vp_elf_section *vp_elf_object_sections(const struct vp_elf_object *o, size_t *n)
{
	*n = o->nsections;
	return o->sections;
}

const struct vp_elf_object_symbol *vp_elf_object_symbols(const struct vp_elf_object *o, size_t *n)
{
	*n = o->nsymbols;
	return o->symbols;
}

const struct vp_elf_reloc *vp_elf_object_relocs(const struct vp_elf_object *o, size_t section,
						size_t *n)
{
	*n = section < o->nsections ? o->relocs[section].n : 0;
	return *n ? o->relocs[section].list : NULL;
}
