/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "object_build.h"
#include "elf/object.h"

#define RX (SHF_ALLOC | SHF_EXECINSTR)

/* As a symbol table, the first 24 are one good entry. */
static const uint8_t bytes[32] = { [24] = 'd', 'a', 't', 'a' };

static struct object_build good;
static unsigned int text, data, bss, func, outside;

static int setup(void **state)
{
	(void)state;
	object_begin(&good);
	text = object_section(&good, ".text", RX, "\xe8\0\0\0\0\xc3\xc3\xc3", 8);
	data = object_section(&good, ".data", SHF_ALLOC | SHF_WRITE, bytes, sizeof(bytes));
	bss = object_section(&good, ".bss", SHF_ALLOC | SHF_WRITE, NULL, 64);
	func = object_symbol(&good, "func", STT_FUNC, text, 0, 6);
	outside = object_symbol(&good, "outside", STT_NOTYPE, SHN_UNDEF, 0, 0);
	object_reloc(&good, text, 1, R_X86_64_PLT32, outside, -4);
	object_reloc(&good, data, 0, R_X86_64_64, func, 2);
	object_finish(&good);
	return 0;
}

static volatile unsigned int sink;

/* Open, then look at all that the view gives out: ASan judges. */
static int consume(const void *image, size_t len, struct vp_err *err)
{
	struct vp_elf_object *o;
	const struct vp_elf_section *s;
	const struct vp_elf_object_symbol *sym;
	size_t n, nsyms, nrelocs;
	int rc = vp_elf_object_open(image, len, "FILE", &o, err);

	if (rc)
		return rc;
	s = vp_elf_object_sections(o, &n);
	sym = vp_elf_object_symbols(o, &nsyms);
	for (size_t i = 0; i < n; i++) {
		const struct vp_elf_reloc *r = vp_elf_object_relocs(o, i, &nrelocs);

		sink += (unsigned int)strlen(s[i].name);
		for (size_t j = 0; s[i].data && j < s[i].size; j++)
			sink += s[i].data[j];
		for (size_t j = 0; j < nrelocs; j++)
			assert_true(r[j].symbol < nsyms && r[j].offset < s[i].size);
	}
	for (size_t i = 0; i < nsyms; i++) {
		sink += (unsigned int)strlen(sym[i].name);
		if (sym[i].section && sym[i].section < n)
			assert_true(sym[i].value + sym[i].size <= s[sym[i].section].size);
	}
	vp_elf_object_close(o);
	return 0;
}

static void good_object(void **state)
{
	const struct vp_elf_object_symbol *sym;
	const struct vp_elf_section *s;
	const struct vp_elf_reloc *r;
	struct vp_elf_object *o;
	size_t n;

	(void)state;
	assert_int_equal(vp_elf_object_open(good.bytes, good.len, "FILE", &o, NULL), 0);
	assert_string_equal(vp_elf_object_what(o), "FILE");
	s = vp_elf_object_sections(o, &n);
	assert_int_equal(n, good.shnum);
	assert_string_equal(s[text].name, ".text");
	assert_true(s[text].flags == RX && s[text].size == 8 && s[text].align == 8);
	assert_memory_equal(s[data].data, bytes, sizeof(bytes));
	assert_true(!s[bss].data && s[bss].size == 64 && s[bss].type == SHT_NOBITS);
	assert_true(!s[0].data && !s[0].size);
	sym = vp_elf_object_symbols(o, &n);
	assert_int_equal(n, 3);
	assert_string_equal(sym[func].name, "func");
	assert_true(sym[func].section == text && sym[func].type == STT_FUNC && sym[func].size == 6);
	assert_true(sym[outside].section == SHN_UNDEF && sym[outside].bind == STB_GLOBAL);
	r = vp_elf_object_relocs(o, text, &n);
	assert_true(n == 1 && r->offset == 1 && r->type == R_X86_64_PLT32 && r->symbol == outside &&
		    r->addend == -4);
	r = vp_elf_object_relocs(o, data, &n);
	assert_true(n == 1 && r->addend == 2);
	assert_null(vp_elf_object_relocs(o, bss, &n));
	assert_int_equal(n, 0);
	assert_null(vp_elf_object_relocs(o, 1000, &n));
	vp_elf_object_close(o);
	vp_elf_object_close(NULL);
}

/* --- refusals ----------------------------------------------------------------------------- */

static void refused_as(struct object_build *b, const char *why)
{
	struct vp_err err = { "" };

	assert_int_equal(consume(b->bytes, b->len, &err), -ENOEXEC);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

#define REFUSED(why, change)                             \
	do {                                             \
		struct object_build b = good;            \
		Elf64_Ehdr *eh;                          \
		Elf64_Sym *sym;                          \
		Elf64_Rela *rela;                        \
		eh = object_ehdr(&b);                    \
		sym = (void *)(b.bytes + b.symtab);      \
		rela = (void *)(b.bytes + b.rela[text]); \
		(void)eh, (void)sym, (void)rela;         \
		change;                                  \
		refused_as(&b, why);                     \
	} while (0)
#define SH(i) object_shdr(&b, i)

static void refused_headers(void **state)
{
	(void)state;
	REFUSED("not an ELF file", b.bytes[1] = 'X');
	REFUSED("truncated", b.len = 40);
	REFUSED("64-bit", eh->e_ident[EI_CLASS] = ELFCLASS32);
	REFUSED("64-bit", eh->e_ident[EI_DATA] = ELFDATA2MSB);
	REFUSED("another machine", eh->e_machine = EM_AARCH64);
	REFUSED("version", eh->e_version = 2);
	REFUSED("not a relocatable", eh->e_type = ET_EXEC);
	REFUSED("not a relocatable", eh->e_type = ET_DYN);
	REFUSED("odd size", eh->e_shentsize = 63);
	REFUSED("no sections", eh->e_shnum = 0);
	REFUSED("truncated", eh->e_shnum = 1000);
	REFUSED("truncated", eh->e_shoff = UINT64_MAX - 8);
	REFUSED("table of names", eh->e_shstrndx = (Elf64_Half)text);
	REFUSED("table of names", eh->e_shstrndx = 999);
}

static void refused_sections(void **state)
{
	(void)state;
	REFUSED("SHT_REL", SH(data)->sh_type = SHT_REL);
	REFUSED("more sections", SH(data)->sh_type = SHT_SYMTAB_SHNDX);
	REFUSED("compressed", SH(data)->sh_flags |= SHF_COMPRESSED);
	REFUSED("thread-local", SH(data)->sh_flags |= SHF_TLS);
	REFUSED("W+X", SH(text)->sh_flags |= SHF_WRITE);
	REFUSED("too large", SH(bss)->sh_size = VP_ELF_OBJECT_MAX + 1);
	REFUSED("too large", SH(bss)->sh_size = VP_ELF_OBJECT_MAX); /* with the others */
	REFUSED("power of two", SH(text)->sh_addralign = 3);
	REFUSED("more than a page", SH(text)->sh_addralign = 8192);
	REFUSED("truncated", SH(data)->sh_offset = b.len - 4);
	REFUSED("truncated", SH(data)->sh_offset = UINT64_MAX - 4);
	REFUSED("overlap", SH(data)->sh_offset = SH(text)->sh_offset + 7);
	REFUSED("overlap", SH(data)->sh_offset = 60);
	REFUSED("overlap", SH(data)->sh_offset = b.shdrs + 8);
	REFUSED("name of section", SH(text)->sh_name = 100000);
	REFUSED("control characters",
		b.bytes[SH(b.shstrtab_index)->sh_offset + SH(text)->sh_name + 1] = '\n');
	REFUSED("does not end",
		b.bytes[SH(b.shstrtab_index)->sh_offset + SH(b.shstrtab_index)->sh_size - 1] = 'x');
}

static void refused_symbols(void **state)
{
	(void)state;
	REFUSED("second symbol table", SH(data)->sh_type = SHT_SYMTAB; SH(data)->sh_size = 24;
		SH(data)->sh_entsize = 24; SH(data)->sh_link = b.strtab_index);
	REFUSED("odd size of the symbol table", SH(b.symtab_index)->sh_entsize = 16);
	REFUSED("odd size of the symbol table", SH(b.symtab_index)->sh_size -= 1);
	REFUSED("table of names", SH(b.symtab_index)->sh_link = text);
	REFUSED("name of symbol", sym[func].st_name = 10000);
	REFUSED("control characters",
		b.bytes[SH(b.strtab_index)->sh_offset + sym[func].st_name] = 0x1b);
	REFUSED("in no section", sym[func].st_shndx = 900);
	REFUSED("in no section", sym[func].st_shndx = SHN_XINDEX);
	REFUSED("outside its section", sym[func].st_value = 9);
	REFUSED("outside its section", sym[func].st_size = 9);
	REFUSED("outside its section", sym[func].st_size = UINT64_MAX);
}

static void refused_relocs(void **state)
{
	unsigned int rela_text = good.symtab_index + 2, rela_data = rela_text + 1;

	(void)state;
	REFUSED("no symbol", rela->r_info = ELF64_R_INFO(3, R_X86_64_64));
	REFUSED("outside its section", rela->r_offset = 8);
	REFUSED("outside its section", SH(rela_text)->sh_info = bss);
	REFUSED("of no section", SH(rela_text)->sh_info = 999);
	REFUSED("of no section", SH(rela_text)->sh_info = 0);
	REFUSED("two tables", SH(rela_text)->sh_info = SH(rela_data)->sh_info);
	REFUSED("odd size of relocations", SH(rela_text)->sh_entsize = 16);
	REFUSED("odd size of relocations", SH(rela_text)->sh_size -= 1);
	REFUSED("without a symbol table", SH(rela_text)->sh_link = text);
	REFUSED("without a symbol table", SH(rela_text)->sh_link = 999);
}

static void too_large(void **state)
{
	size_t len = VP_ELF_OBJECT_MAX + 1;
	struct vp_err err = { "" };
	uint8_t *big = calloc(1, len);

	(void)state;
	assert_non_null(big);
	memcpy(big, good.bytes, good.len);
	assert_int_equal(consume(big, len, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "too large"));
	assert_int_equal(consume(big, len - 1, &err), 0);
	free(big);
}

/* Each beginning is refused, each byte changed is refused or can be read. */
static void damaged(void **state)
{
	uint64_t seed = 1;
	struct vp_err err;

	(void)state;
	for (size_t len = 0; len < good.len; len++) {
		uint8_t *cut = malloc(len ? len : 1);

		assert_non_null(cut);
		memcpy(cut, good.bytes, len);
		err.text[0] = 0;
		assert_int_equal(consume(cut, len, &err), -ENOEXEC);
		assert_true(err.text[0]);
		free(cut);
	}
	for (int i = 0; i < 20000; i++) {
		static struct object_build b;
		uint64_t r = unit_random(&seed);

		b = good;
		b.bytes[r % b.len] = (uint8_t)(r >> 32);
		b.bytes[(r >> 16) % b.len] ^= (uint8_t)(1 << (r >> 40) % 8);
		consume(b.bytes, b.len, &err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_object),	    cmocka_unit_test(refused_headers),
		cmocka_unit_test(refused_sections), cmocka_unit_test(refused_symbols),
		cmocka_unit_test(refused_relocs),   cmocka_unit_test(too_large),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
