/* SPDX-License-Identifier: Apache-2.0 */
/* Does a hotfix fit: a guest, and the kernel in a file, which says less. */
#include "unit.h"
#include "hotfix_build.h"
#include "linux_file.h"

#include "hotfix/code.h"
#include "hotfix/fit.h"
#include "linux/file.h"

#define RX (SHF_ALLOC | SHF_EXECINSTR)

#define OLD	  "filler_16" /* LG_FUNC(0) */
#define REWRITTEN "filler_18" /* LG_FUNC(2), which has alternatives */
#define OF_GUEST  3u	      /* what a file never tells */

static struct linux_guest *g;
static struct linux_file *f;
static struct vp_linux *guest, *file;
static struct hotfix_build h;
static uint8_t code[64], table[12], replacements[8];
static unsigned int text, func, sec_table, sec_from;
static struct vp_blockers blockers, untold;
static struct vp_err err;
static uint64_t found_at; /* the function that is replaced */

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .modules = true });
	f = lf_new(g);
	return vp_linux_open(&g->target, NULL, &guest, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(guest);
	vp_linux_free(file);
	file = NULL;
	lf_free(f);
	lg_free(g);
	vp_blockers_free(&blockers);
	vp_blockers_free(&untold);
	return 0;
}

/* --- the hotfix ------------------------------------------------------------------ */

static void begin_for(const char *kernel)
{
	hotfix_begin(&h);
	hotfix_info(&h, "format=1");
	hotfix_info(&h, "name=fix");
	hotfix_info(&h, "version=1");
	hotfix_info(&h, "description=a fix");
	hotfix_info(&h, kernel);
	memset(code, 0x90, sizeof(code));
	text = object_section(&h.o, ".text", RX, code, sizeof(code));
	func = object_symbol(&h.o, "fixed", STT_FUNC, text, 0, sizeof(code));
}

static struct vmpoke_function *begin(const char *old)
{
	begin_for("for=6.1.0-test");
	return hotfix_function(&h, old, func, 0);
}

static unsigned int outside(const char *name)
{
	return object_symbol(&h.o, name, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

/* An alternative for CPU feature 5, whose replacement calls @name. */
static void alternative(const char *name)
{
	memset(table, 0, sizeof(table));
	memset(replacements, 0x90, sizeof(replacements));
	replacements[0] = 0xe8;
	table[8] = table[10] = table[11] = 5;
	sec_table = object_section(&h.o, ".altinstructions", SHF_ALLOC, table, sizeof(table));
	sec_from = object_section(&h.o, ".altinstr_replacement", RX, replacements,
				  sizeof(replacements));
	object_reloc(&h.o, sec_table, 0, R_X86_64_PC32, func, 8);
	object_reloc(&h.o, sec_table, 4, R_X86_64_PC32,
		     object_symbol(&h.o, "", STT_SECTION, sec_from, 0, 0), 0);
	object_reloc(&h.o, sec_from, 1, R_X86_64_PC32, outside(name), -4);
}

static void expect_digest(struct vmpoke_function *o, uint32_t off)
{
	const struct vp_linux_function old = { .start = { g->text + off }, .len = 16 };
	uint8_t digest[VP_SHA256_SIZE];

	assert_int_equal(vp_hotfix_code_digest(guest, &old, digest, &err), 0);
	memcpy(o->expected, digest, sizeof(o->expected));
}

/* --- held against both ----------------------------------------------------------------- */

static int fit(bool of_file)
{
	struct vp_hotfix_object *object = NULL;
	struct vp_hotfix_fit *out = NULL;
	struct vp_elf_object *elf = NULL;
	int rc;

	vp_blockers_free(&blockers);
	vp_blockers_free(&untold);
	blockers = untold = (struct vp_blockers){ 0 };
	err.text[0] = '\0';
	hotfix_finish(&h);
	assert_int_equal(vp_elf_object_open(h.o.bytes, h.o.len, "FIX", &elf, &err), 0);
	assert_int_equal(vp_hotfix_object_open(elf, &object, &blockers, &err), 0);
	rc = of_file ? vp_hotfix_fit_open_file(file, object, &out, &blockers, &untold, &err)
		     : vp_hotfix_fit_open(guest, object, NULL, &out, &blockers, &err);
	assert_int_equal(!rc, out != NULL);
	if (out) {
		assert_int_equal(vp_hotfix_link_size(out->link, VP_AREA_TEXT), 4096);
		found_at = out->functions[0].start.v;
	}
	vp_hotfix_fit_close(out);
	vp_hotfix_object_close(object);
	vp_elf_object_close(elf);
	return rc;
}

static void open_file(void)
{
	const struct vp_blob b = { f->bytes, LF_SIZE, 0 };

	vp_linux_free(file);
	file = NULL;
	assert_int_equal(vp_linux_open_image(&b, "FILE", &file, &err), 0);
}

static bool has(const struct vp_blockers *b, const char *part)
{
	for (size_t i = 0; i < vp_blockers_kept(b); i++)
		if (strstr(b->list[i].text, part))
			return true;
	return false;
}

static void fits(bool of_file, size_t told_by_guest)
{
	int rc;

	if (of_file)
		open_file();
	rc = fit(of_file);
	if (rc || blockers.n)
		fail_msg("%d \"%s\"", rc, err.text);
	assert_int_equal(untold.n, told_by_guest);
}

/* For the reason @part, and no other. */
static void refused(bool of_file, const char *part)
{
	int rc;

	if (of_file)
		open_file();
	rc = fit(of_file);
	if (rc != -ENOEXEC || blockers.n != 1 || !has(&blockers, part) || !strstr(err.text, part))
		fail_msg("%d \"%s\", %zu, not \"%s\"", rc, err.text, blockers.n, part);
}

static void test_fits(void **state)
{
	(void)state;
	begin(OLD);
	fits(false, 0);
	fits(true, OF_GUEST);
	assert_true(has(&untold, "a tracer, a kprobe, a livepatch"));
	assert_true(has(&untold, "CPU and mitigations"));
	assert_true(has(&untold, "who is inside"));
}

static void test_another_kernel(void **state)
{
	(void)state;
	begin_for("for=6.1.0-other");
	hotfix_function(&h, OLD, func, 0);
	refused(false, "it is for 6.1.0-other; the guest runs 6.1.0-test, build-id deadbeef");
	refused(true, "it is for 6.1.0-other; the file has 6.1.0-test, build-id deadbeef");
}

static void test_functions(void **state)
{
	(void)state;
	begin("filler_24");
	refused(false, "no record");
	refused(true, "none of ftrace's");
	begin("shared");
	hotfix_function_where(&h, VMPOKE_WHICH_MODULE, "alpha", 0);
	refused(false, "alpha:shared: ");
	refused(true, "function shared: it is of the module alpha, and a file has the kernel only");
	begin("no_such");
	refused(false, "function no_such: the guest's kernel has none");
	refused(true, "function no_such: the guest's kernel has none: if a module has it");
}

/* Of three with one name: two local ones, told by their code, and a global one. */
static void test_twins(void **state)
{
	(void)state;
	vp_linux_free(guest);
	lg_free(g);
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .twins = true });
	assert_int_equal(vp_linux_open(&g->target, NULL, &guest, NULL), 0);
	*lg_image(g, LG_FUNC(1) + 12) = 0xf4;
	begin("twin");
	refused(false, "function twin is ambiguous");
	expect_digest(begin("twin"), LG_FUNC(1));
	refused(false, "function twin is ambiguous");
	expect_digest(begin("twin"), LG_FUNC(1));
	hotfix_function_where(&h, VMPOKE_WHICH_CODE, NULL, 0);
	fits(false, 0);
	assert_int_equal(found_at, g->text + LG_FUNC(1));
	expect_digest(begin("twin"), LG_FUNC(1));
	hotfix_function_where(&h, VMPOKE_WHICH_CODE, NULL, 0);
	*lg_image(g, LG_FUNC(1) + 12) = 0xcc;
	refused(false, "function twin: none of the 3 of that name has the code");
	begin("twin");
	hotfix_function_where(&h, VMPOKE_WHICH_GLOBAL, NULL, 0);
	object_reloc(&h.o, text, 8, R_X86_64_PC32, outside("twin"), -4);
	refused(false, "symbol twin is ambiguous");
	begin("twin");
	hotfix_function_where(&h, VMPOKE_WHICH_GLOBAL, NULL, 0);
	object_reloc(&h.o, text, 8, R_X86_64_PC32, outside("twin"), -4);
	hotfix_symbol(&h, "twin", VMPOKE_WHICH_GLOBAL, NULL, 0);
	fits(false, 0);
	assert_int_equal(found_at, g->text + LG_FUNC(2));
}

/* All that is wrong, not the first. */
static void test_all(void **state)
{
	(void)state;
	begin_for("for=6.1.0-other");
	hotfix_function(&h, "filler_24", func, 0);
	object_reloc(&h.o, text, 8, R_X86_64_PC32, outside("no_such"), -4);
	object_section(&h.o, "__bug_table", SHF_ALLOC | SHF_WRITE, code, 8);
	open_file();
	for (int of_file = 0; of_file < 2; of_file++) {
		assert_int_equal(fit(of_file), -ENOEXEC);
		assert_int_equal(blockers.n, 4);
		assert_true(has(&blockers, "it is for 6.1.0-other"));
		assert_true(has(&blockers, "filler_24"));
		assert_true(has(&blockers, "no_such"));
		assert_true(has(&blockers, "section __bug_table"));
	}
}

/* What is out of range from everywhere is told by the check already. */
static void test_range(void **state)
{
	(void)state;
	for (int of_file = 0; of_file < 2; of_file++) {
		begin(OLD);
		object_reloc(&h.o, text, 8, R_X86_64_32, outside("filler_20"), 0);
		refused(of_file, "R_X86_64_32 to filler_20");
		assert_non_null(strstr(err.text, "out of range"));
		begin(OLD);
		object_reloc(&h.o, text, 8, R_X86_64_32S, outside("filler_20"), 0);
		fits(of_file, of_file ? OF_GUEST : 0);
	}
}

/* A file's kernel may run on any CPU: each alternative must be possible. */
static void test_alternatives(void **state)
{
	(void)state;
	begin(OLD);
	alternative("filler_20");
	fits(false, 0);
	fits(true, OF_GUEST);
	begin(OLD);
	alternative("no_such");
	fits(false, 0); /* this one's CPU needs it not */
	refused(true, "no_such");
	table[9] = 0x80; /* turned round */
	refused(false, "no_such");
	refused(true, "no_such");
}

static void test_code(void **state)
{
	(void)state;
	expect_digest(begin(OLD), LG_FUNC(0));
	fits(false, 0);
	fits(true, OF_GUEST); /* the tracer's call makes no difference */
	*lf_at(f, LG_FUNC(0) + 8) = 0xf4;
	refused(true, OLD ": other code stands there than the hotfix was made for");
	*lg_image(g, LG_FUNC(0) + 8) = 0xf4;
	refused(false, OLD ": other code stands there than the hotfix was made for");
}

/* Where the kernel rewrites the code at boot a file cannot tell, and says so. */
static void test_rewritten_code(void **state)
{
	(void)state;
	expect_digest(begin(REWRITTEN), LG_FUNC(2));
	fits(true, OF_GUEST);
	*lf_at(f, LG_FUNC(2) + 8) = 0xf4;
	fits(true, OF_GUEST + 1);
	assert_true(has(&untold, "whether " REWRITTEN " has the code"));
	assert_true(has(&untold, "7 place(s)"));
	memset(lf_at(f, LG_ALTS), 0xff, LG_ALTS_SIZE);
	refused(true, REWRITTEN ": whether it is the code that the hotfix was made for cannot be "
				"told");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_fits),
		TEST(test_another_kernel),
		TEST(test_functions),
		TEST(test_twins),
		TEST(test_all),
		TEST(test_range),
		TEST(test_alternatives),
		TEST(test_code),
		TEST(test_rewritten_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
