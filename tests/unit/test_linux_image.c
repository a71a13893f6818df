/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel in a file, opened without a guest; and what of its text boot will rewrite. */
#include "unit.h"
#include "linux_file.h"
#include "linux_tasks.h"

#include "linux/as_built.h"
#include "linux/file.h"

#include <unistd.h>

static struct linux_guest *g;
static struct linux_file *f;
static struct vp_linux *l;
static struct vp_err err;

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1 });
	f = lf_new(g);
	l = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(l);
	l = NULL;
	lf_free(f);
	lg_free(g);
	return 0;
}

static int open_it(void)
{
	const struct vp_blob file = { f->bytes, LF_SIZE, 0 };

	vp_linux_free(l);
	l = NULL;
	err.text[0] = '\0';
	return vp_linux_open_image(&file, "FILE", &l, &err);
}

static void expect(int wanted, const char *text)
{
	int rc = open_it();

	if (rc != wanted || !strstr(err.text, text) || (rc && !strstr(err.text, "FILE")))
		fail_msg("%d \"%s\", not %d \"%s\"", rc, err.text, wanted, text);
}

/* --- opening -------------------------------------------------------------------- */

static void opens(void **state)
{
	const struct vp_linux_kernel *info;
	char build_id[41];

	(void)state;
	expect(0, "");
	info = vp_linux_info(l);
	assert_true(vp_linux_is_file(l));
	assert_string_equal(info->release, "6.1.0-test");
	for (size_t i = 0; i < 20; i++)
		snprintf(build_id + 2 * i, 3, "%02x", lg_build_id[i]);
	assert_string_equal(info->build_id, build_id);
	assert_int_equal(info->text.v, LG_LINKED);
	assert_int_equal(info->end.v, LG_LINKED + LG_IMAGE_SIZE);
	assert_int_equal(info->kaslr_slide, 0);
	assert_int_equal(vp_linux_module_count(l), 0);
	assert_int_equal(vp_symtab_count(vp_linux_symbols(l)), g->nsymbols);
	for (size_t i = 0; i < g->nsymbols; i++) {
		struct vp_symbol s;
		vp_gva at;

		lg_symbol(g, i, &s);
		assert_int_equal(vp_symtab_find(vp_linux_symbols(l), s.name, &at, NULL), 0);
		assert_int_equal(at.v, s.addr.v);
	}
}

static void all_layouts(void **state)
{
	(void)state;
	for (int i = 0; i < LG_LAYOUTS; i++) {
		teardown(NULL);
		g = lg_new(&(struct lg_opts){ .layout = (enum lg_layout)i });
		f = lf_new(g);
		expect(0, "");
		assert_int_equal(vp_symtab_count(vp_linux_symbols(l)), g->nsymbols);
	}
}

static void reads(void **state)
{
	uint8_t bytes[16], zero[16] = { 0 };

	(void)state;
	expect(0, "");
	assert_int_equal(vp_linux_read(l, VP_GVA(LG_LINKED + LG_FUNC(0)), bytes, 16, &err), 0);
	assert_memory_equal(bytes, lf_at(f, LG_FUNC(0)), 16);
	/* behind what is in the file, and behind what is in memory */
	assert_int_equal(
		vp_linux_read(l, VP_GVA(LG_LINKED + LG_DATA + LF_DATA_SIZE), bytes, 16, &err), 0);
	assert_memory_equal(bytes, zero, 16);
	assert_int_equal(vp_linux_read(l, VP_GVA(LG_LINKED + LG_IMAGE_SIZE - 8), bytes, 16, &err),
			 -EFAULT);
	assert_int_equal(vp_linux_read(l, VP_GVA(LG_LINKED - 8), bytes, 16, &err), -EFAULT);
	assert_int_equal(vp_linux_read(l, VP_GVA(0x1000), bytes, 16, &err), -EFAULT);
	assert_int_equal(vp_linux_read(l, VP_GVA(LG_MODULES), bytes, 16, &err), -EFAULT);
	/* per-CPU data, where they are loaded */
	assert_int_equal(
		vp_linux_read(l, VP_GVA(LG_LINKED + LG_IMAGE_SIZE - 0x1000), bytes, 16, &err), 0);
	assert_memory_equal(bytes, lf_at(f, 0), 16);
}

static void refused(void **state)
{
	Elf64_Phdr *text = lf_phdr(f, LF_TEXT), *data = lf_phdr(f, LF_DATA);
	const Elf64_Phdr good_text = *text, good_data = *data;

	(void)state;
	f->bytes[0] = 0;
	expect(-ENOEXEC, "neither a vmlinux nor a bzImage");
	f->bytes[0] = 0x7f;
	lf_ehdr(f)->e_machine = EM_AARCH64;
	expect(-ENOEXEC, "another machine");
	lf_ehdr(f)->e_machine = EM_X86_64;
	lf_ehdr(f)->e_phnum = 0;
	expect(-ENOEXEC, "no Linux kernel");
	lf_ehdr(f)->e_phnum = LF_SEGMENTS;
	text->p_flags = PF_R;
	expect(-ENOEXEC, "no Linux kernel");
	*text = good_text;
	text->p_vaddr += 0x1000;
	expect(-ENOEXEC, "no Linux kernel");
	*text = good_text;
	data->p_paddr += 0x1000;
	expect(-ENOEXEC, "not one piece");
	*data = good_data;
	data->p_memsz = 0x20000000;
	expect(-ENOEXEC, "no kernel has");
	data->p_memsz = UINT64_MAX;
	expect(-ENOEXEC, "wrap around");
	*data = good_data;
	text->p_offset = LF_SIZE - 1;
	expect(-ENOEXEC, "truncated");
	*text = good_text;
	lf_phdr(f, LF_PERCPU)->p_filesz = lf_phdr(f, LF_PERCPU)->p_memsz = 0x400000;
	expect(-ENOEXEC, "overlap");
	lf_phdr(f, LF_PERCPU)->p_filesz = 0;
	expect(0, "");
}

static void no_kernel_inside(void **state)
{
	(void)state;
	memset(lf_at(f, g->at.token_table), 0, 16);
	expect(-ENOENT, "kallsyms");
	teardown(NULL);
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .text_symbols_only = true });
	f = lf_new(g);
	expect(-EOPNOTSUPP, "those of its text only");
	teardown(NULL);
	setup(NULL);
	memset(lf_at(f, LG_BANNER), 'x', 16);
	expect(-ENOENT, "banner");
}

static void from_disk(void **state)
{
	char path[] = "/tmp/vmpoke-image-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, f->bytes, LF_SIZE), LF_SIZE);
	close(fd);
	assert_int_equal(vp_linux_open_file(path, &l, &err), 0);
	unlink(path);
	vp_linux_free(l);
	l = NULL;
	assert_int_equal(vp_linux_open_file(path, &l, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "cannot be opened"));
	assert_null(l);
}

/* --- functions ---------------------------------------------------------------------- */

static void function(const char *name, int wanted, const char *text)
{
	struct vp_linux_function out;
	int rc;

	err.text[0] = '\0';
	rc = vp_linux_function_find(l, name, 0, NULL, &out, &err);
	if (rc != wanted || !strstr(err.text, text))
		fail_msg("%s: %d \"%s\", not %d \"%s\"", name, rc, err.text, wanted, text);
}

static void functions(void **state)
{
	uint8_t *p = lf_at(f, LG_FUNC(0));

	(void)state;
	expect(0, "");
	for (uint32_t i = 0; i < LG_FUNCS - 1; i++) {
		struct vp_linux_function out;
		char name[32];

		snprintf(name, sizeof(name), "filler_%u", LG_FUNC(i) / 16);
		assert_int_equal(vp_linux_function_find(l, name, 0, NULL, &out, &err), 0);
		assert_int_equal(out.site.v, LG_LINKED + LG_ENTRY(i));
		assert_memory_equal(out.old_bytes, lf_at(f, LG_ENTRY(i)), 5);
	}
	function("no_such", -ENOENT, "no symbol no_such");
	function("key_off", -ENOENT, "is no function");
	function("__start_rodata", -ENOENT, "is no function");
	function("filler_24", -EBUSY, "none of ftrace's: e8"); /* it will have no record */
	function("filler_201", -EBUSY, "none of ftrace's: 90 90");
	p[1] ^= 1; /* a call of something else */
	expect(0, "");
	function("filler_16", -EBUSY, "none of ftrace's: e8");
	*p = 0xcc;
	expect(0, "");
	function("filler_16", -EBUSY, "int3");
	*p = 0xe9;
	expect(0, "");
	function("filler_16", -EBUSY, "a jmp stands at its entry");
	function("filler_17", 0, "");
}

static void features(void **state)
{
	struct vp_linux_features x;

	(void)state;
	expect(0, "");
	assert_int_equal(vp_linux_features_read(l, &x, &err), 0);
	assert_int_equal(x.nwords, LG_CAP_WORDS);
	assert_int_equal(x.return_thunk.v, LG_LINKED + 0x700);
}

/* --- what boot rewrites ----------------------------------------------------------------- */

static size_t rewritten(uint32_t off, uint64_t len)
{
	size_t n = 99;

	assert_int_equal(vp_as_built_rewritten(l, VP_GVA(LG_LINKED + off), len, &n, &err), 0);
	return n;
}

static void alternatives(void **state)
{
	static const unsigned int sizes[] = { 12, 14 };
	size_t n;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		lf_put_alternatives(f, sizes[i], LG_FUNC(2) + 3, 6);
		expect(0, "");
		assert_int_equal(rewritten(LG_FUNC(2), 16), LG_ALTS_SIZE / sizes[i]);
		assert_int_equal(rewritten(LG_FUNC(2) + 8, 8), LG_ALTS_SIZE / sizes[i]);
		assert_int_equal(rewritten(LG_FUNC(2) + 9, 8), 0);
		assert_int_equal(rewritten(LG_FUNC(2), 3), 0);
		assert_int_equal(rewritten(LG_FUNC(2), 4), LG_ALTS_SIZE / sizes[i]);
	}
	assert_int_equal(rewritten(LG_FUNC(4), 16), 1); /* a call through pv_ops */
	assert_int_equal(rewritten(LG_FUNC(6), 16), 1); /* a constant of the time of boot */
	assert_int_equal(rewritten(LG_FUNC(6), 5), 0);
	assert_int_equal(rewritten(LG_FUNC(6) + 6, 5), 0);
	assert_int_equal(rewritten(LG_FUNC(0), 16), 0);
	/* Neither form: no answer is no. */
	memset(lf_at(f, LG_ALTS), 0xff, LG_ALTS_SIZE);
	expect(0, "");
	assert_int_equal(vp_as_built_rewritten(l, VP_GVA(LG_LINKED), 16, &n, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "unknown form"));
	lf_put_alternatives(f, 12, LG_FUNC(2), 0);
	expect(0, "");
	assert_int_equal(vp_as_built_rewritten(l, VP_GVA(LG_LINKED), 16, &n, &err), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(opens),	 TEST(all_layouts),	 TEST(reads),
		TEST(refused),	 TEST(no_kernel_inside), TEST(from_disk),
		TEST(functions), TEST(features),	 TEST(alternatives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
