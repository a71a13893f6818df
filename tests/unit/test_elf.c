/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "elf_build.h"
#include "elf/image.h"

static const struct elf_symbol syms[] = {
	{ "start", ELF_ENTRY, 2, STT_FUNC, SEC_TEXT },
	{ "text", ELF_TEXT, 0, STT_NOTYPE, SEC_TEXT },
};

static struct elf_image good;

static int setup(void **state)
{
	(void)state;
	elf_build(&good, syms, 2);
	return 0;
}

static int count_symbol(void *arg, const struct vp_elf_symbol *sym)
{
	*(size_t *)arg += strlen(sym->name) ? 1 : 0;
	return 0;
}

static volatile unsigned int sink;

/* Open, then look at every byte that the view gives out: ASan judges. Returns the verdict. */
static int consume(const void *image, size_t len, struct vp_err *err)
{
	const struct vp_elf_segment *seg;
	size_t n, desc_len, nsyms = 0;
	unsigned char sum = 0;
	const void *desc;
	struct vp_elf *elf;
	int rc = vp_elf_open(image, len, "FILE", &elf, err);

	if (rc)
		return rc;
	seg = vp_elf_segments(elf, &n);
	for (size_t i = 0; i < n; i++) {
		assert_true(seg[i].filesz <= seg[i].memsz && seg[i].filesz <= len);
		assert_true(seg[i].vaddr + seg[i].memsz >= seg[i].vaddr);
		for (size_t j = 0; j < seg[i].filesz; j++)
			sum = (unsigned char)(sum + ((const unsigned char *)seg[i].data)[j]);
	}
	if (!vp_elf_note(elf, "vmpoke", 1, &desc, &desc_len))
		for (size_t j = 0; j < desc_len; j++)
			sum = (unsigned char)(sum + ((const unsigned char *)desc)[j]);
	rc = vp_elf_each_symbol(elf, count_symbol, &nsyms, err);
	assert_true(rc == 0 || rc == -ENOEXEC);
	sink = sum;
	vp_elf_close(elf);
	return 0;
}

static void good_image(void **state)
{
	const struct vp_elf_segment *seg;
	struct vp_elf *elf;
	const void *desc;
	size_t n, len;

	(void)state;
	assert_int_equal(vp_elf_open(good.bytes, good.len, "FILE", &elf, NULL), 0);
	assert_int_equal(vp_elf_type(elf), ET_EXEC);
	assert_int_equal(vp_elf_entry(elf).v, ELF_ENTRY);

	seg = vp_elf_segments(elf, &n);
	assert_int_equal(n, 2);
	assert_int_equal(seg[0].vaddr, ELF_TEXT);
	assert_int_equal(seg[0].paddr, 0x100000);
	assert_int_equal(seg[0].filesz, 16);
	assert_int_equal(seg[0].flags, PF_R | PF_X);
	assert_memory_equal(seg[0].data, good.bytes + good.text, 16);
	assert_int_equal(seg[1].memsz, 4096);
	assert_int_equal(seg[1].flags, PF_R | PF_W);
	assert_memory_equal(seg[1].data, "datadata", 8);

	assert_int_equal(vp_elf_note(elf, "vmpoke", 1, &desc, &len), 0);
	assert_int_equal(len, 4);
	assert_memory_equal(desc, "\x01\x00\x00\x00", 4);
	assert_int_equal(vp_elf_note(elf, "other", 7, &desc, &len), 0);
	assert_memory_equal(desc, "\x55\x55\x55\x55", 4);
	assert_int_equal(vp_elf_note(elf, "vmpoke", 2, &desc, &len), -ENOENT);
	assert_int_equal(vp_elf_note(elf, "vmpok", 1, &desc, &len), -ENOENT);
	assert_int_equal(vp_elf_note(elf, "other", 1, &desc, &len), -ENOENT);
	vp_elf_close(elf);
	vp_elf_close(NULL);
}

static int stop_at_first(void *arg, const struct vp_elf_symbol *sym)
{
	*(struct vp_elf_symbol *)arg = *sym;
	assert_string_equal(sym->name, "start");
	return 42;
}

static void symbols(void **state)
{
	struct vp_elf_symbol first;
	struct vp_elf *elf;
	size_t n = 0;

	(void)state;
	assert_int_equal(vp_elf_open(good.bytes, good.len, "FILE", &elf, NULL), 0);
	assert_int_equal(vp_elf_each_symbol(elf, count_symbol, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(vp_elf_each_symbol(elf, stop_at_first, &first, NULL), 42);
	assert_int_equal(first.value, ELF_ENTRY);
	assert_int_equal(first.size, 2);
	assert_int_equal(first.type, STT_FUNC);
	assert_int_equal(first.section, SEC_TEXT);
	vp_elf_close(elf);
}

/* A dynamic symbol table serves where there is no other; none at all is no error. */
static void dynamic_or_no_symbols(void **state)
{
	struct vp_elf *elf;
	size_t n = 0;

	(void)state;
	elf_shdr(&good, SEC_SYMTAB)->sh_type = SHT_DYNSYM;
	assert_int_equal(vp_elf_open(good.bytes, good.len, "FILE", &elf, NULL), 0);
	assert_int_equal(vp_elf_each_symbol(elf, count_symbol, &n, NULL), 0);
	assert_int_equal(n, 2);
	vp_elf_close(elf);

	elf_shdr(&good, SEC_SYMTAB)->sh_type = SHT_PROGBITS;
	assert_int_equal(vp_elf_open(good.bytes, good.len, "FILE", &elf, NULL), 0);
	assert_int_equal(vp_elf_each_symbol(elf, count_symbol, &n, NULL), 0);
	assert_int_equal(n, 2);
	vp_elf_close(elf);
}

static void expect_refused(const char *text)
{
	struct vp_err err = { 0 };

	assert_int_equal(consume(good.bytes, good.len, &err), -ENOEXEC);
	assert_memory_equal(err.text, "FILE: ", 6);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", err.text, text);
	setup(NULL);
}

static void wrong_kind(void **state)
{
	(void)state;
	good.bytes[0] = 'X';
	expect_refused("not an ELF file");
	elf_ehdr(&good)->e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused("not a 64-bit little-endian");
	elf_ehdr(&good)->e_ident[EI_DATA] = ELFDATA2MSB;
	expect_refused("not a 64-bit little-endian");
	elf_ehdr(&good)->e_machine = EM_AARCH64;
	expect_refused("another machine (e_machine is 183, x86-64 is 62)");
	elf_ehdr(&good)->e_type = ET_REL;
	expect_refused("not a linked ELF file");
	elf_ehdr(&good)->e_version = 2;
	expect_refused("unknown version");
	elf_ehdr(&good)->e_phentsize = 32;
	expect_refused("odd size");
	elf_ehdr(&good)->e_shentsize = 63;
	expect_refused("odd size");
	elf_ehdr(&good)->e_phnum = PN_XNUM;
	expect_refused("too many");
	elf_ehdr(&good)->e_shnum = 0;
	expect_refused("too many");

	elf_ehdr(&good)->e_type = ET_DYN;
	assert_int_equal(consume(good.bytes, good.len, NULL), 0);
}

static void damaged(void **state)
{
	char want[100];

	(void)state;
	elf_phdr(&good, SEG_DATA)->p_filesz = 4000;
	snprintf(want, sizeof(want),
		 "truncated ELF: segment 1 ends at byte %zu but the file has %zu", good.data + 4000,
		 good.len);
	expect_refused(want);
	elf_phdr(&good, SEG_TEXT)->p_offset = UINT64_MAX - 3;
	expect_refused("segment 0 ends past 2^64");
	elf_phdr(&good, SEG_TEXT)->p_memsz = 15;
	expect_refused("segment 0 is larger in the file");
	elf_phdr(&good, SEG_DATA)->p_vaddr = -8ull;
	expect_refused("segment 1 wrap around");
	elf_phdr(&good, SEG_DATA)->p_paddr = -4095ull;
	expect_refused("segment 1 wrap around");
	elf_phdr(&good, SEG_NOTE)->p_filesz = good.len;
	expect_refused("truncated ELF: segment 2");
	*elf_phdr(&good, SEG_TEXT) = *elf_phdr(&good, SEG_NOTE);
	elf_phdr(&good, SEG_TEXT)->p_offset = elf_phdr(&good, SEG_NOTE)->p_offset = 0;
	elf_phdr(&good, SEG_TEXT)->p_filesz = elf_phdr(&good, SEG_NOTE)->p_filesz = good.len;
	expect_refused("note segments overlap");
	elf_ehdr(&good)->e_phnum = 1000;
	expect_refused("truncated ELF: program header 1000 ends at byte");
	elf_ehdr(&good)->e_shoff += 1;
	expect_refused("truncated ELF: section header 4 ends at byte");
}

static void expect_bad_symbols(const char *text)
{
	struct vp_err err = { 0 };
	struct vp_elf *elf;
	size_t n = 0;

	assert_int_equal(vp_elf_open(good.bytes, good.len, "FILE", &elf, NULL), 0);
	assert_int_equal(vp_elf_each_symbol(elf, count_symbol, &n, &err), -ENOEXEC);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", err.text, text);
	vp_elf_close(elf);
	setup(NULL);
}

static void damaged_symbols(void **state)
{
	Elf64_Sym *second;

	(void)state;
	elf_shdr(&good, SEC_SYMTAB)->sh_link = SEC_TEXT;
	expect_bad_symbols("section 1 holds no symbol names");
	elf_shdr(&good, SEC_SYMTAB)->sh_link = 0xffffffff;
	expect_bad_symbols("holds no symbol names");
	elf_shdr(&good, SEC_STRTAB)->sh_size = 0;
	expect_bad_symbols("holds no symbol names");
	elf_shdr(&good, SEC_STRTAB)->sh_size -= 1;
	expect_bad_symbols("names do not end");
	elf_shdr(&good, SEC_STRTAB)->sh_offset = good.len;
	expect_bad_symbols("truncated ELF: section 3 ends at byte");
	elf_shdr(&good, SEC_SYMTAB)->sh_size = 24ull << 50;
	expect_bad_symbols("truncated ELF: section 2 ends at byte");
	elf_shdr(&good, SEC_SYMTAB)->sh_size -= 1;
	expect_bad_symbols("symbol table");
	second = (Elf64_Sym *)(void *)(good.bytes + good.symtab) + 2;
	second->st_name = (Elf64_Word)elf_shdr(&good, SEC_STRTAB)->sh_size;
	expect_bad_symbols("the name of symbol 2 lies outside");
}

/* The section headers come last, so no shorter file is whole. */
static void truncated_at_every_length(void **state)
{
	(void)state;
	for (size_t len = 0; len < good.len; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		struct vp_err err = { 0 };

		assert_non_null(exact);
		memcpy(exact, good.bytes, len);
		assert_int_equal(consume(exact, len, &err), -ENOEXEC);
		assert_non_null(strstr(err.text, len < 4 ? "not an ELF" : "truncated ELF"));
		free(exact);
	}
	assert_int_equal(consume(good.bytes, good.len, NULL), 0);
}

/* The same without section headers: what is cut then are segments, and which it was is said. */
static void truncated_segments(void **state)
{
	(void)state;
	elf_ehdr(&good)->e_shoff = elf_ehdr(&good)->e_shnum = 0;
	for (size_t len = good.text; len < good.symtab; len++) {
		const Elf64_Phdr *note = elf_phdr(&good, SEG_NOTE);
		struct vp_err err = { 0 };
		int rc = consume(good.bytes, len, &err);

		if (len >= note->p_offset + note->p_filesz) {
			assert_int_equal(rc, 0);
			continue;
		}
		assert_int_equal(rc, -ENOEXEC);
		assert_non_null(strstr(err.text, len < good.text + 16  ? "segment 0 ends"
						 : len < good.data + 8 ? "segment 1 ends"
								       : "segment 2 ends"));
	}
}

/* Every byte of the file but the text, with several values each: always a verdict. */
static void every_byte_flipped(void **state)
{
	static const uint8_t value[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
	unsigned int opened = 0, refused = 0;

	(void)state;
	for (size_t at = 0; at < good.len; at++) {
		uint8_t was = good.bytes[at];

		for (size_t v = 0; v < sizeof(value) + 8; v++) {
			struct vp_err err = { 0 };
			int rc;

			good.bytes[at] = (uint8_t)(v < 8 ? was ^ 1u << v : value[v - 8]);
			rc = consume(good.bytes, good.len, &err);
			assert_true(rc == 0 || (rc == -ENOEXEC && err.text[0]));
			opened += rc == 0;
			refused += rc != 0;
		}
		good.bytes[at] = was;
	}
	assert_true(opened > 1000 && refused > 500);
}

/* Several damages at once, in the headers and tables alone. */
static void random_damage(void **state)
{
	uint64_t seed = 0x853c49e6748fea9b;
	unsigned int opened = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct vp_err err = { 0 };
		int rc;

		setup(NULL);
		for (uint64_t n = 1 + unit_random(&seed) % 4; n; n--) {
			uint64_t r = unit_random(&seed);
			size_t at = r >> 8 & 1 ? good.note : 24,
			       end = r >> 8 & 1 ? good.len : good.text;

			good.bytes[at + (r >> 16) % (end - at)] = r & 0x200 ? 0xff : (uint8_t)r;
		}
		rc = consume(good.bytes, good.len, &err);
		assert_true(rc == 0 || (rc == -ENOEXEC && err.text[0]));
		opened += rc == 0;
	}
	assert_in_range(opened, 1000, 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(good_image, setup),
		cmocka_unit_test_setup(symbols, setup),
		cmocka_unit_test_setup(dynamic_or_no_symbols, setup),
		cmocka_unit_test_setup(wrong_kind, setup),
		cmocka_unit_test_setup(damaged, setup),
		cmocka_unit_test_setup(damaged_symbols, setup),
		cmocka_unit_test_setup(truncated_at_every_length, setup),
		cmocka_unit_test_setup(truncated_segments, setup),
		cmocka_unit_test_setup(every_byte_flipped, setup),
		cmocka_unit_test_setup(random_damage, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
