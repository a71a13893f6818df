/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/image.h"

#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vp_elf {
	Elf *elf;
	char *copy; /* libelf wants it writable and aligned; the caller's is neither */
	size_t len;
	char what[96]; /* leaves room for the reason in a struct vp_err */
	Elf64_Ehdr eh;
	struct vp_elf_segment *segments;
	size_t nsegments;
};

/* The checked accessor: @off and @size come from the file. What the image does not hold is refused.
 */
static int get_range(const struct vp_elf *e, const char *part, size_t i, uint64_t off,
		     uint64_t size, const void **data, struct vp_err *err)
{
	if (off > UINT64_MAX - size)
		return vp_err_set(err, -ENOEXEC, "%s: damaged ELF: %s %zu ends past 2^64", e->what,
				  part, i);
	if (off + size > e->len)
		return vp_err_set(err, -ENOEXEC,
				  "%s: truncated ELF: %s %zu ends at byte %" PRIu64
				  " but the file has %zu",
				  e->what, part, i, off + size, e->len);
	if (data)
		*data = e->copy + off;
	return 0;
}

static int check_ident(const struct vp_elf *e, struct vp_err *err)
{
	const unsigned char *id = e->eh.e_ident;

	if (id[EI_CLASS] != ELFCLASS64 || id[EI_DATA] != ELFDATA2LSB)
		return vp_err_set(err, -ENOEXEC, "%s: not a 64-bit little-endian ELF file",
				  e->what);
	if (e->eh.e_machine != EM_X86_64)
		return vp_err_set(err, -ENOEXEC,
				  "%s: ELF for another machine (e_machine is %u, x86-64 is %u)",
				  e->what, e->eh.e_machine, EM_X86_64);
	if (id[EI_VERSION] != EV_CURRENT || e->eh.e_version != EV_CURRENT)
		return vp_err_set(err, -ENOEXEC, "%s: damaged ELF: unknown version", e->what);
	if (e->eh.e_type != ET_EXEC && e->eh.e_type != ET_DYN)
		return vp_err_set(err, -ENOEXEC,
				  "%s: not a linked ELF file (e_type is %u): link it first",
				  e->what, e->eh.e_type);
	return 0;
}

/* The header, and that both tables it tells of are there: before libelf follows any offset. */
static int check_header(struct vp_elf *e, struct vp_err *err)
{
	Elf64_Ehdr *eh = &e->eh;
	int rc;

	if (e->len < SELFMAG || memcmp(e->copy, ELFMAG, SELFMAG))
		return vp_err_set(err, -ENOEXEC, "%s: not an ELF file", e->what);
	if (e->len < sizeof(*eh))
		return vp_err_set(err, -ENOEXEC,
				  "%s: truncated ELF: the header ends at byte %zu but the file "
				  "has %zu",
				  e->what, sizeof(*eh), e->len);
	memcpy(eh, e->copy, sizeof(*eh));
	rc = check_ident(e, err);
	if (rc)
		return rc;

	if ((eh->e_phnum && eh->e_phentsize != sizeof(Elf64_Phdr)) ||
	    (eh->e_shnum && eh->e_shentsize != sizeof(Elf64_Shdr)))
		return vp_err_set(err, -ENOEXEC, "%s: damaged ELF: odd size of table entries",
				  e->what);
	/* These stand for "too many for 16 bits, see section 0": no kernel has so many. */
	if (eh->e_phnum == PN_XNUM || (eh->e_shoff && !eh->e_shnum))
		return vp_err_set(err, -ENOEXEC, "%s: too many ELF segments or sections", e->what);
	rc = get_range(e, "program header", eh->e_phnum, eh->e_phoff,
		       (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr), NULL, err);
	if (rc)
		return rc;
	return get_range(e, "section header", eh->e_shnum, eh->e_shoff,
			 (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr), NULL, err);
}

static int add_segment(struct vp_elf *e, size_t i, const GElf_Phdr *ph, struct vp_err *err)
{
	struct vp_elf_segment *seg = &e->segments[e->nsegments];

	if (ph->p_filesz > ph->p_memsz)
		return vp_err_set(err, -ENOEXEC,
				  "%s: damaged ELF: segment %zu is larger in the file than in "
				  "memory",
				  e->what, i);
	if (ph->p_vaddr > UINT64_MAX - ph->p_memsz || ph->p_paddr > UINT64_MAX - ph->p_memsz)
		return vp_err_set(err, -ENOEXEC,
				  "%s: damaged ELF: the addresses of segment %zu wrap around",
				  e->what, i);
	if (!ph->p_memsz)
		return 0;
	*seg = (struct vp_elf_segment){
		.vaddr = ph->p_vaddr,
		.paddr = ph->p_paddr,
		.filesz = ph->p_filesz,
		.memsz = ph->p_memsz,
		.flags = ph->p_flags,
	};
	e->nsegments++;
	return get_range(e, "segment", i, ph->p_offset, ph->p_filesz, &seg->data, err);
}

static int load_segments(struct vp_elf *e, struct vp_err *err)
{
	uint64_t note_bytes = 0;
	int rc = 0;

	e->segments = calloc(e->eh.e_phnum + 1u, sizeof(*e->segments));
	if (!e->segments)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", e->what);

	for (size_t i = 0; i < e->eh.e_phnum && !rc; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(e->elf, (int)i, &ph))
			return vp_err_set(err, -ENOEXEC, "%s: damaged ELF: segment %zu: %s",
					  e->what, i, elf_errmsg(-1));
		if (ph.p_type == PT_LOAD)
			rc = add_segment(e, i, &ph, err);
		if (ph.p_type != PT_NOTE)
			continue;
		rc = get_range(e, "segment", i, ph.p_offset, ph.p_filesz, NULL, err);
		/* Or many that share their bytes could make every search quadratic. */
		if (!rc && (note_bytes += ph.p_filesz) > e->len)
			rc = vp_err_set(err, -ENOEXEC, "%s: damaged ELF: note segments overlap",
					e->what);
	}
	return rc;
}

int vp_elf_open(const void *image, size_t len, const char *what, struct vp_elf **out,
		struct vp_err *err)
{
	struct vp_elf *e = calloc(1, sizeof(*e));
	int rc;

	if (!e || !(e->copy = malloc(len ? len : 1))) {
		free(e);
		return vp_err_set(err, -ENOMEM, "%s: out of memory", what);
	}
	if (len)
		memcpy(e->copy, image, len);
	e->len = len;
	snprintf(e->what, sizeof(e->what), "%s", what);

	rc = check_header(e, err);
	if (rc)
		goto out;
	elf_version(EV_CURRENT);
	e->elf = elf_memory(e->copy, len);
	if (!e->elf) {
		rc = vp_err_set(err, -ENOEXEC, "%s: damaged ELF: %s", what, elf_errmsg(-1));
		goto out;
	}
	rc = load_segments(e, err);
out:
	if (rc)
		vp_elf_close(e);
	else
		*out = e;
	return rc;
}

void vp_elf_close(struct vp_elf *e)
{
	if (!e)
		return;
	elf_end(e->elf);
	free(e->segments);
	free(e->copy);
	free(e);
}

unsigned int vp_elf_type(const struct vp_elf *e)
{
	return e->eh.e_type;
}

vp_gva vp_elf_entry(const struct vp_elf *e)
{
	return VP_GVA(e->eh.e_entry);
}

const struct vp_elf_segment *vp_elf_segments(const struct vp_elf *e, size_t *n)
{
	*n = e->nsegments;
	return e->segments;
}

/* Search one PT_NOTE. What cannot be read as a note ends it. */
static bool find_note(Elf_Data *data, const char *name, uint32_t type, const void **desc,
		      size_t *len)
{
	size_t next, off = 0, name_off, desc_off;
	GElf_Nhdr nh;

	while ((next = gelf_getnote(data, off, &nh, &name_off, &desc_off))) {
		const char *base = data->d_buf;

		if (nh.n_type == type && nh.n_namesz == strlen(name) + 1 &&
		    !memcmp(base + name_off, name, nh.n_namesz)) {
			*desc = base + desc_off;
			*len = nh.n_descsz;
			return true;
		}
		off = next;
	}
	return false;
}

int vp_elf_note(struct vp_elf *e, const char *name, uint32_t type, const void **desc, size_t *len)
{
	for (int i = 0; i < e->eh.e_phnum; i++) {
		Elf_Data *data;
		GElf_Phdr ph;

		if (!gelf_getphdr(e->elf, i, &ph) || ph.p_type != PT_NOTE)
			continue;
		data = elf_getdata_rawchunk(e->elf, (int64_t)ph.p_offset, ph.p_filesz,
					    ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
		if (data && find_note(data, name, type, desc, len))
			return 0;
	}
	return -ENOENT;
}

/* The symbol table, or else the dynamic one. NULL: neither. */
static Elf_Scn *find_symtab(Elf *elf, GElf_Shdr *sh)
{
	Elf_Scn *scn = NULL, *dynamic = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, sh))
			continue;
		if (sh->sh_type == SHT_SYMTAB)
			return scn;
		if (sh->sh_type == SHT_DYNSYM && !dynamic)
			dynamic = scn;
	}
	return dynamic && gelf_getshdr(dynamic, sh) ? dynamic : NULL;
}

/* The string table in section @i: not empty and ends with a NUL, so every offset in it is a string.
 */
static const char *get_strings(struct vp_elf *e, size_t i, uint64_t *size, struct vp_err *err)
{
	Elf_Scn *scn = elf_getscn(e->elf, i);
	const void *data;
	GElf_Shdr sh;

	if (!scn || !gelf_getshdr(scn, &sh) || sh.sh_type != SHT_STRTAB || !sh.sh_size) {
		vp_err_set(err, -ENOEXEC, "%s: damaged ELF: section %zu holds no symbol names",
			   e->what, i);
		return NULL;
	}
	if (get_range(e, "section", i, sh.sh_offset, sh.sh_size, &data, err))
		return NULL;
	*size = sh.sh_size;
	if (((const char *)data)[*size - 1]) {
		vp_err_set(err, -ENOEXEC, "%s: damaged ELF: the symbol names do not end", e->what);
		return NULL;
	}
	return data;
}

int vp_elf_each_symbol(struct vp_elf *e, int (*fn)(void *arg, const struct vp_elf_symbol *sym),
		       void *arg, struct vp_err *err)
{
	GElf_Shdr sh;
	Elf_Scn *scn = find_symtab(e->elf, &sh);
	const char *strings;
	uint64_t strings_size;
	Elf_Data *data;
	GElf_Sym s;
	int rc;

	if (!scn)
		return 0;
	rc = get_range(e, "section", elf_ndxscn(scn), sh.sh_offset, sh.sh_size, NULL, err);
	if (rc)
		return rc;
	strings = get_strings(e, sh.sh_link, &strings_size, err);
	if (!strings)
		return -ENOEXEC;
	data = elf_getdata(scn, NULL);
	if (!data)
		return vp_err_set(err, -ENOEXEC, "%s: damaged ELF: symbol table: %s", e->what,
				  elf_errmsg(-1));

	for (int i = 0; !rc && gelf_getsym(data, i, &s); i++) {
		if (s.st_name >= strings_size)
			return vp_err_set(err, -ENOEXEC,
					  "%s: damaged ELF: the name of symbol %d lies outside the "
					  "string table",
					  e->what, i);
		if (strings[s.st_name])
			rc = fn(arg, &(struct vp_elf_symbol){
					     .name = strings + s.st_name,
					     .value = s.st_value,
					     .size = s.st_size,
					     .type = GELF_ST_TYPE(s.st_info),
					     .section = s.st_shndx,
				     });
	}
	return rc;
}
