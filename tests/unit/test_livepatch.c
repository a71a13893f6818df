/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "livepatch_build.h"
#include "hotfix/livepatch.h"
#include "hotfix/object.h"

static struct livepatch_build b;

struct converted {
	struct vp_elf_object *module, *elf;
	struct vp_hotfix_object *hotfix;
	struct vp_blockers blockers;
	struct vp_err err;
	void *image;
	size_t len;
	int rc;
};

static void convert_for(struct converted *c, const char *release)
{
	const struct vp_livepatch_kernel kernel = { release, &livepatch_layout };

	*c = (struct converted){ 0 };
	object_finish(&b.o);
	assert_int_equal(vp_elf_object_open(b.o.bytes, b.o.len, "FILE", &c->module, NULL), 0);
	assert_true(vp_livepatch_is(c->module));
	c->rc = vp_livepatch_convert(c->module, &kernel, &c->image, &c->len, &c->blockers, &c->err);
}

static void close_it(struct converted *c)
{
	vp_hotfix_object_close(c->hotfix);
	vp_elf_object_close(c->elf);
	vp_elf_object_close(c->module);
	vp_blockers_free(&c->blockers);
	free(c->image);
}

static const struct vp_hotfix_about *good(struct converted *c)
{
	convert_for(c, "6.1");
	if (c->rc)
		fail_msg("%s", c->err.text);
	assert_int_equal(vp_elf_object_open(c->image, c->len, "OURS", &c->elf, NULL), 0);
	if (vp_hotfix_object_open(c->elf, &c->hotfix, &c->blockers, &c->err))
		fail_msg("%s", c->err.text);
	return vp_hotfix_object_about(c->hotfix);
}

static void refused_for(const char *release, const char *why)
{
	struct converted c;

	convert_for(&c, release);
	assert_int_equal(c.rc, -ENOEXEC);
	assert_null(c.image);
	for (size_t i = 0; i < vp_blockers_kept(&c.blockers); i++)
		if (strstr(c.blockers.list[i].text, why)) {
			close_it(&c);
			return;
		}
	fail_msg("\"%s\" does not say \"%s\"", c.err.text, why);
}

static void refused(const char *why)
{
	refused_for("6.1", why);
}

/* The bytes of the section @name of what was made, and how many relocations it has. */
static const uint8_t *section(const struct converted *c, const char *name, size_t *nrelocs)
{
	size_t n;
	const struct vp_elf_section *s = vp_elf_object_sections(c->elf, &n);

	for (size_t i = 1; i < n; i++)
		if (!strcmp(s[i].name, name)) {
			vp_elf_object_relocs(c->elf, i, nrelocs);
			return s[i].data;
		}
	return NULL;
}

/* --- the three ways --------------------------------------------------------------------------- */

static void all_ways(void **state)
{
	(void)state;
	for (enum livepatch_way way = BY_HAND; way <= BY_KLP_BUILD; way++) {
		const struct vp_hotfix_about *a;
		struct converted c;
		const uint8_t *code;
		size_t n = 0;

		livepatch_begin(&b, way, 0, "");
		a = good(&c);
		assert_string_equal(a->name, "fix");
		assert_string_equal(a->version, "3");
		assert_string_equal(a->releases[0], "6.1");
		assert_int_equal(a->nreleases, 1);
		assert_int_equal(a->nfunctions, 1);
		assert_string_equal(a->functions[0].old.name, "old");
		assert_int_equal(a->functions[0].old.which, VMPOKE_WHICH_ONLY);
		assert_string_equal(a->functions[0].replacement_name, "fixed");
		assert_int_equal(a->nsymbols, 0);
		code = section(&c, ".text", &n);
		assert_memory_equal(code, b.code, 48);
		assert_int_equal(n, 1);
		for (size_t i = 48; i < 64; i++) /* init is left behind */
			assert_int_equal(code[i], VP_INT3);
		assert_null(section(&c, ".data", &n));
		assert_null(section(&c, ".rodata.str1.1", &n));
		close_it(&c);
	}
}

static void numbers_and_modules(void **state)
{
	static const enum livepatch_way ways[] = { BY_HAND, BY_KPATCH, BY_KLP_BUILD };
	const struct vp_hotfix_about *a;
	struct converted c;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		livepatch_begin(&b, ways[i], 3, "");
		a = good(&c);
		assert_int_equal(a->functions[0].old.which, VMPOKE_WHICH_NTH);
		assert_int_equal(a->functions[0].old.number, 3);
		close_it(&c);
		livepatch_begin(&b, ways[i], 1, "nf_tables");
		a = good(&c);
		assert_int_equal(a->functions[0].old.which, VMPOKE_WHICH_MODULE);
		assert_string_equal(a->functions[0].old.where, "nf_tables");
		close_it(&c);
		livepatch_begin(&b, ways[i], 2, "nf_tables");
		refused("number 2 of that name in the module nf_tables");
	}
}

/* --- what it refers to --------------------------------------------------------------------------
 */

/* One more instruction of fixed refers to the symbol: lea 0(%rip), %rax. */
static void refer(unsigned int symbol, int64_t addend)
{
	static const uint8_t lea[] = { 0x48, 0x8d, 0x05, 0, 0, 0, 0 };

	memcpy(b.code + 12, lea, sizeof(lea));
	object_reloc(&b.o, b.text_section, 15, R_X86_64_PC32, symbol, addend - 4);
}

static unsigned int outside(const char *name)
{
	return object_symbol(&b.o, name, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

static void livepatch_symbols(void **state)
{
	const struct vp_hotfix_about *a;
	struct converted c;

	(void)state;
	livepatch_begin(&b, BY_KPATCH, 0, "");
	refer(outside(".klp.sym.vmlinux.local.isra.0,2"), 0);
	a = good(&c);
	assert_int_equal(a->nsymbols, 1);
	assert_string_equal(a->symbols[0].name, "local.isra.0");
	assert_true(a->symbols[0].which == VMPOKE_WHICH_NTH && a->symbols[0].number == 2);
	close_it(&c);

	livepatch_begin(&b, BY_KPATCH, 0, "");
	refer(outside(".klp.sym.nf_tables.cache,0"), 0);
	a = good(&c);
	assert_true(a->symbols[0].which == VMPOKE_WHICH_MODULE);
	assert_string_equal(a->symbols[0].where, "nf_tables");
	close_it(&c);

	livepatch_begin(&b, BY_KPATCH, 0, "");
	refer(outside(".klp.sym.vmlinux.outside,2"), 0);
	refused("outside: the module means two symbols by it");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	refer(outside(".klp.sym.vmlinux.local"), 0);
	refused("its form is not");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	refer(outside(".klp.sym.vmlinux.local,2x"), 0);
	refused("its form is not");
}

/* As a module's file has them: a symbol of SHN_LIVEPATCH, in a second table of relocations. */
static void livepatch_relocations(void **state)
{
	const struct vp_livepatch_kernel kernel = { "6.1", &livepatch_layout };
	static Elf64_Rela rela;
	struct converted c = { 0 };
	unsigned int symbol, table;
	const uint8_t *text;
	Elf64_Shdr *shdr;
	Elf64_Sym sym;
	size_t n = 0;

	(void)state;
	livepatch_begin(&b, BY_KLP_BUILD, 0, "");
	memcpy(b.code + 12, "\xe8\0\0\0\0", 5);
	symbol = outside(".klp.sym.vmlinux.local,2");
	rela = (Elf64_Rela){ 13, ELF64_R_INFO(symbol, R_X86_64_PLT32), -4 };
	table = object_section(&b.o, ".klp.rela.vmlinux..text", SHF_ALLOC | 0x00100000, &rela,
			       sizeof(rela));
	object_finish(&b.o);
	shdr = object_shdr(&b.o, table);
	shdr->sh_type = SHT_RELA;
	shdr->sh_link = b.o.symtab_index;
	shdr->sh_info = b.text_section;
	shdr->sh_entsize = sizeof(rela);
	memcpy(&sym, b.o.bytes + b.o.symtab + symbol * sizeof(sym), sizeof(sym));
	sym.st_shndx = 0xff20;
	memcpy(b.o.bytes + b.o.symtab + symbol * sizeof(sym), &sym, sizeof(sym));

	assert_int_equal(vp_elf_object_open(b.o.bytes, b.o.len, "FILE", &c.module, &c.err), 0);
	assert_int_equal(
		vp_livepatch_convert(c.module, &kernel, &c.image, &c.len, &c.blockers, &c.err), 0);
	assert_int_equal(vp_elf_object_open(c.image, c.len, "OURS", &c.elf, NULL), 0);
	assert_int_equal(vp_hotfix_object_open(c.elf, &c.hotfix, &c.blockers, &c.err), 0);
	assert_string_equal(vp_hotfix_object_about(c.hotfix)->symbols[0].name, "local");
	text = section(&c, ".text", &n);
	assert_non_null(text);
	assert_int_equal(n, 2);
	close_it(&c);
}

static void data_goes_along(void **state)
{
	unsigned int rodata;
	const uint8_t *bytes;
	struct converted c;
	size_t n = 0;

	(void)state;
	livepatch_begin(&b, BY_KLP_BUILD, 0, "");
	rodata = object_section(&b.o, ".rodata", SHF_ALLOC, "\0\0\0\0\0\0\0\0table", 13);
	object_reloc(&b.o, rodata, 0, R_X86_64_64, b.init, 0);
	refer(object_symbol(&b.o, "", STT_SECTION, rodata, 0, 0), 8);
	good(&c);
	bytes = section(&c, ".rodata", &n);
	assert_memory_equal(bytes + 8, "table", 5);
	assert_int_equal(n, 1);
	/* The table leads to init, which is therefore taken, too. */
	assert_memory_equal(section(&c, ".text", &n), b.code, 64);
	close_it(&c);

	/* Its own struct klp_patch is in the same data as what the code uses: that is not. */
	livepatch_begin(&b, BY_HAND, 0, "");
	refer(object_symbol(&b.o, "", STT_SECTION, b.data_section, 0, 0), 0);
	refused("refers to the module's own struct klp_patch");
}

/* --- refusals ------------------------------------------------------------------------------------
 */

static void tables(void **state)
{
	static const struct {
		const char *name, *why;
	} all[] = {
		{ "__jump_table", "section __jump_table of fixed: static keys" },
		{ "__bug_table", "section __bug_table of fixed: WARN and BUG" },
		{ "__ex_table", "section __ex_table of fixed: faults" },
		{ ".klp.arch.vmlinux..altinstructions", "of fixed: what livepatch of kernels" },
		{ "__something_new", "section __something_new of fixed: it is not known" },
	};
	struct converted c;
	unsigned int table;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		livepatch_begin(&b, BY_KPATCH, 0, "");
		table = object_section(&b.o, all[i].name, SHF_ALLOC, "\0\0\0\0\0\0\0\0\0\0\0\0",
				       12);
		object_reloc(&b.o, table, 0, R_X86_64_PC32, b.text, 2);
		refused(all[i].why);
		/* Of a function that is left behind it does not matter. */
		livepatch_begin(&b, BY_KPATCH, 0, "");
		table = object_section(&b.o, all[i].name, SHF_ALLOC, "\0\0\0\0\0\0\0\0\0\0\0\0",
				       12);
		object_reloc(&b.o, table, 0, R_X86_64_PC32, b.text, 50);
		good(&c);
		close_it(&c);
	}
	livepatch_begin(&b, BY_KPATCH, 0, "");
	table = object_section(&b.o, "__mcount_loc", SHF_ALLOC, "\0\0\0\0\0\0\0\0", 8);
	object_reloc(&b.o, table, 0, R_X86_64_64, b.text, 0);
	good(&c);
	close_it(&c);
}

static void callbacks(void **state)
{
	unsigned int section;

	(void)state;
	livepatch_begin(&b, BY_HAND, 0, "");
	object_reloc(&b.o, b.records, 16 + 24, R_X86_64_64, b.init, 0);
	refused("it has callbacks");
	livepatch_begin(&b, BY_KLP_BUILD, 0, "nf_tables");
	object_reloc(&b.o, b.records, 16, R_X86_64_64, b.init, 0);
	refused("for nf_tables, which are not called");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	section = object_section(&b.o, ".kpatch.callbacks.pre_patch", SHF_ALLOC | SHF_WRITE,
				 "\0\0\0\0\0\0\0\0", 8);
	object_reloc(&b.o, section, 0, R_X86_64_64, b.init, 0);
	refused("section .kpatch.callbacks.pre_patch");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	object_section(&b.o, ".kpatch.dynrelas", SHF_ALLOC | SHF_WRITE, "\0\0\0\0\0\0\0\0", 8);
	refused("kpatch's own core module");
	livepatch_begin(&b, BY_HAND, 0, "");
	object_reloc(&b.o, b.data_section, 16, R_X86_64_64, b.this_module, 0);
	refused("it has states");
}

static void odd_records(void **state)
{
	(void)state;
	livepatch_begin(&b, BY_HAND, 0, "");
	refused_for("6.2", "it is for 6.1; the kernel is 6.2");
	livepatch_begin(&b, BY_HAND, 0, "");
	b.o.relocs[b.o.nrelocs - 1].rela.r_offset = 24;
	refused("no struct klp_patch");
	livepatch_begin(&b, BY_KLP_BUILD, 0, "");
	b.objects[56] = 2;
	refused("unknown form");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	object_reloc(&b.o, b.records, 32, R_X86_64_64, b.text, 0);
	refused(".kpatch.funcs has an unknown form");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	memset(b.texts, 'x', sizeof(b.texts));
	refused("has no name");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	b.code[12] = 0x06; /* no instruction in 64-bit mode */
	refused("no instruction that is known");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	memcpy(b.info + 24, "nome", 4);
	refused("its .modinfo has no name");
	livepatch_begin(&b, BY_KPATCH, 0, "");
	object_section(&b.o, ".init.klp_objects", SHF_ALLOC, b.objects, 64);
	refused("both .init.klp_objects and .kpatch.funcs");
}

static void unknown_layout(void **state)
{
	const struct vp_klp_layout unknown = { 0 };
	const struct vp_livepatch_kernel kernel = { "6.1", &unknown };
	struct converted c = { 0 };

	(void)state;
	livepatch_begin(&b, BY_HAND, 0, "");
	object_finish(&b.o);
	assert_int_equal(vp_elf_object_open(b.o.bytes, b.o.len, "FILE", &c.module, NULL), 0);
	assert_int_equal(vp_livepatch_convert(c.module, &kernel, &c.image, &c.len, &c.blockers,
					      &c.err),
			 -ENOEXEC);
	assert_non_null(strstr(c.err.text, "type information does not tell"));
	close_it(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ways),	     cmocka_unit_test(numbers_and_modules),
		cmocka_unit_test(livepatch_symbols), cmocka_unit_test(livepatch_relocations),
		cmocka_unit_test(data_goes_along),   cmocka_unit_test(tables),
		cmocka_unit_test(callbacks),	     cmocka_unit_test(odd_records),
		cmocka_unit_test(unknown_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
