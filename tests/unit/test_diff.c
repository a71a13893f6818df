/* SPDX-License-Identifier: Apache-2.0 */
/* Two compilations of a source compared, and what of them goes into a hotfix (patcher/diff). */
#include "unit.h"

#include "diff/emit.h"
#include "diff/show.h"
#include "hotfix/object.h"
#include "object_build.h"

#define CODE (SHF_ALLOC | SHF_EXECINSTR)
#define DATA (SHF_ALLOC | SHF_WRITE)
#define TEXT (SHF_ALLOC | SHF_MERGE | SHF_STRINGS)

/* mov $IMM,%esi; call X; ret */
#define FUNCTION(imm)                                      \
	{                                                  \
		0xbe, imm, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3 \
	}
static const uint8_t plain[] = FUNCTION(7), other[] = FUNCTION(8), line[] = FUNCTION(9);

/* What is compiled: a row of functions, each with one call. */
struct compiled {
	struct object_build build;
	struct vp_elf_object *elf;
	struct vp_unit unit;
};
static struct compiled before, after, code;
static struct vp_err err;

static void begin(struct compiled *c)
{
	object_begin(&c->build);
}

static void end(struct compiled *c)
{
	object_finish(&c->build);
	assert_int_equal(vp_elf_object_open(c->build.bytes, c->build.len, "t.o", &c->elf, &err), 0);
	assert_int_equal(vp_unit_open(c->elf, &c->unit, &err), 0);
}

static void drop(struct compiled *c)
{
	vp_unit_close(&c->unit);
	vp_elf_object_close(c->elf);
}

/* A function in a section of its own; its section. */
static unsigned int function(struct compiled *c, const char *name, const uint8_t *bytes,
			     unsigned int *symbol)
{
	static char names[32][64];
	static unsigned int next;
	char *in = names[next++ % 32];
	unsigned int section;

	snprintf(in, sizeof(names[0]), ".text.%s", name);
	section = object_section(&c->build, in, CODE, bytes, sizeof(plain));
	*symbol = object_symbol(&c->build, name, STT_FUNC, section, 0, sizeof(plain));
	if (!strncmp(name, "inline_", 7))
		c->build.symbols[*symbol].sym.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC);
	return section;
}

static void calls(struct compiled *c, unsigned int section, unsigned int symbol)
{
	object_reloc(&c->build, section, 6, R_X86_64_PLT32, symbol, -4);
}

static unsigned int outside(struct compiled *c, const char *name)
{
	return object_symbol(&c->build, name, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

static unsigned int variable(struct compiled *c, const char *name, uint64_t flags,
			     const void *bytes, size_t size)
{
	static char names[32][64];
	static unsigned int next;
	char *in = names[next++ % 32];
	unsigned int section;

	snprintf(in, sizeof(names[0]), "%s.%s", flags & SHF_WRITE ? ".data" : ".rodata", name);
	section = object_section(&c->build, in, flags, bytes, size);
	return object_symbol(&c->build, name, STT_OBJECT, section, 0, size);
}

/* f() calls g(). */
static void make_f(struct compiled *c, const uint8_t *bytes, const char *g)
{
	unsigned int f, section = function(c, "f", bytes, &f);

	calls(c, section, outside(c, g));
}

static struct vp_difference compare(const char *name, struct vp_moved_lines lines)
{
	struct vp_compare c;
	struct vp_difference d;

	assert_int_equal(vp_compare_open(&before.unit, &after.unit, &c, &err), 0);
	c.lines = lines;
	d = vp_compare_items(&c, vp_unit_named(&before.unit, name),
			     vp_unit_named(&after.unit, name));
	vp_compare_close(&c);
	drop(&before);
	drop(&after);
	return d;
}

static struct vp_difference compare_f(const uint8_t *a, const char *ga, const uint8_t *b,
				      const char *gb)
{
	const struct vp_moved_lines none = { NULL, NULL };

	begin(&before);
	make_f(&before, a, ga);
	end(&before);
	begin(&after);
	make_f(&after, b, gb);
	end(&after);
	return compare("f", none);
}

static void functions_are_compared_by_content(void **state)
{
	struct vp_difference d = compare_f(plain, "g", plain, "g");

	(void)state;
	assert_int_equal(d.what, VP_SAME);
	d = compare_f(plain, "g", other, "g");
	assert_int_equal(d.what, VP_DIFFERS_BYTES);
	assert_int_equal(d.at, 0);
	d = compare_f(plain, "g", plain, "h");
	assert_int_equal(d.what, VP_DIFFERS_REF);
	assert_int_equal(d.at, 6);
}

static bool seven_to_nine(void *arg, int64_t from, int64_t to)
{
	(void)arg;
	return from == 7 && to == 9;
}

static void a_line_that_moved_is_no_change(void **state)
{
	const struct vp_moved_lines lines = { seven_to_nine, NULL };

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(&before);
		make_f(&before, plain, "g");
		end(&before);
		begin(&after);
		make_f(&after, i ? other : line, "g");
		end(&after);
		assert_int_equal(compare("f", lines).what, i ? VP_DIFFERS_BYTES : VP_SAME);
	}
}

/* mov $TEXT,%rdi */
static void make_text_user(struct compiled *c, const char *texts, size_t size, int64_t at)
{
	static const uint8_t mov[] = { 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xc3 };
	unsigned int in = object_section(&c->build, ".rodata.str1.1", TEXT, texts, size);
	unsigned int section = object_section(&c->build, ".text.f", CODE, mov, sizeof(mov));
	unsigned int symbol = object_symbol(&c->build, "", STT_SECTION, in, 0, 0);

	object_symbol(&c->build, "f", STT_FUNC, section, 0, sizeof(mov));
	object_reloc(&c->build, section, 3, R_X86_64_32S, symbol, at);
	end(c);
}

static void texts_are_compared_by_what_they_say(void **state)
{
	static const char one[] = "a\0hello", two[] = "hello", three[] = "hallo";
	const struct vp_moved_lines none = { NULL, NULL };

	(void)state;
	begin(&before);
	begin(&after);
	make_text_user(&before, one, sizeof(one), 2);
	make_text_user(&after, two, sizeof(two), 0);
	assert_int_equal(compare("f", none).what, VP_SAME);
	begin(&before);
	begin(&after);
	make_text_user(&before, one, sizeof(one), 2);
	make_text_user(&after, three, sizeof(three), 0);
	assert_int_equal(compare("f", none).what, VP_DIFFERS_REF);
}

/* f(), and an entry of its bug table. */
static void make_bug(struct compiled *c, uint8_t of_line, uint8_t flags)
{
	static uint8_t entries[8][12];
	static unsigned int next;
	uint8_t *entry = entries[next++ % 8];
	unsigned int f, table;

	memset(entry, 0, 12);
	entry[8] = of_line;
	entry[10] = flags;
	begin(c);
	function(c, "f", plain, &f);
	table = object_section(&c->build, "__bug_table", DATA, entry, 12);
	object_reloc(&c->build, table, 0, R_X86_64_PC32, f, 0);
	object_reloc(&c->build, table, 4, R_X86_64_PC32, outside(c, "file"), 0);
	end(c);
}

static void the_line_of_a_warning_does_not_count(void **state)
{
	const struct vp_moved_lines none = { NULL, NULL };
	struct vp_difference d;

	(void)state;
	make_bug(&before, 1, 3);
	make_bug(&after, 2, 3);
	assert_int_equal(compare("f", none).what, VP_SAME);
	make_bug(&before, 1, 3);
	make_bug(&after, 1, 1);
	d = compare("f", none);
	assert_int_equal(d.what, VP_DIFFERS_TABLE);
	assert_string_equal(d.table, "__bug_table");
}

static void names_of_the_compiler_are_known(void **state)
{
	bool numbered;

	(void)state;
	assert_int_equal(vp_name_base("key.12", &numbered), 3);
	assert_true(numbered);
	assert_int_equal(vp_name_base("foo.isra.0", &numbered), 10);
	assert_false(numbered);
	assert_int_equal(vp_name_base("nfs4", &numbered), 4);
	assert_false(numbered);
	assert_int_equal(vp_name_base("__BTF_ID__struct__file__81", &numbered), 24);
	assert_true(numbered);
	assert_true(vp_name_is_clone("foo.constprop.0"));
	assert_true(vp_name_is_clone("foo.part.0.cold"));
	assert_false(vp_name_is_clone("foo.cold"));
	assert_true(vp_name_is_private("__func__.3"));
	assert_true(vp_name_is_private("__UNIQUE_ID_x31"));
	assert_false(vp_name_is_private("key"));
}

/* --- what is kept --------------------------------------------------------------------------- */

static struct vp_blockers blockers, notes;
static struct vp_source source;
static struct vp_keep keep;

static bool in_header(void *arg, const char *function)
{
	(void)arg;
	return !strcmp(function, "inline_h");
}

static void decide(void)
{
	source = (struct vp_source){ .path = "mm/t.c",
				     .in_header = in_header,
				     .before = &before.unit,
				     .after = &after.unit,
				     .code = &code.unit };
	assert_int_equal(vp_keep_open(&source, &keep, &blockers, &notes, &err), 0);
}

static void forget(void)
{
	vp_keep_close(&keep);
	vp_blockers_free(&blockers);
	vp_blockers_free(&notes);
	blockers = notes = (struct vp_blockers){ .n = 0 };
	drop(&before);
	drop(&after);
	drop(&code);
}

static enum vp_fate fate(const char *name)
{
	size_t item = vp_unit_named(&code.unit, name);

	assert_int_not_equal(item, VP_NO_ITEM);
	return keep.fate[item];
}

/* f() calls h(), which is of the same source; both callers of a variable. */
static void make_two(struct compiled *c, const char *h, const uint8_t *f_bytes,
		     const uint8_t *h_bytes)
{
	unsigned int hs, fs, section;

	begin(c);
	section = function(c, h, h_bytes, &hs);
	calls(c, section, outside(c, "g"));
	section = function(c, "f", f_bytes, &fs);
	calls(c, section, hs);
	end(c);
}

static void unchanged_functions_are_the_kernels(void **state)
{
	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", other, plain);
	make_two(&code, "h", other, plain);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("h"), VP_FATE_NONE);
	assert_int_equal(blockers.n, 0);
	forget();
}

static void nothing_is_kept_where_nothing_changes(void **state)
{
	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", plain, plain);
	make_two(&code, "h", other, other); /* the headers of hotfixes make other code */
	decide();
	assert_int_equal(keep.replaces, 0);
	forget();
}

static void new_functions_go_along(void **state)
{
	(void)state;
	begin(&before);
	make_f(&before, plain, "g");
	end(&before);
	make_two(&after, "h", plain, plain);
	make_two(&code, "h", plain, plain);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("h"), VP_FATE_GOES);
	forget();
}

static void callers_of_a_variant_are_replaced(void **state)
{
	(void)state;
	make_two(&before, "h.isra.0", plain, plain);
	make_two(&after, "h.isra.0", plain, other);
	make_two(&code, "h.isra.0", plain, other);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("h.isra.0"), VP_FATE_GOES);
	forget();
	/* And of one that is compiled into its callers where the code comes from. */
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", plain, other);
	begin(&code);
	make_f(&code, other, "g");
	end(&code);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	forget();
}

static void functions_of_headers_go_along(void **state)
{
	(void)state;
	make_two(&before, "inline_h", plain, plain);
	make_two(&after, "inline_h", other, plain);
	make_two(&code, "inline_h", other, plain);
	decide(); /* the kernel may have several */
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("inline_h"), VP_FATE_GOES);
	forget();
	make_two(&before, "inline_h", plain, plain);
	make_two(&after, "inline_h", plain, other);
	make_two(&code, "inline_h", plain, other);
	decide(); /* one that changes: its callers are replaced */
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("inline_h"), VP_FATE_GOES);
	forget();
}

/* f() has a variable's address: mov $X,%rdi */
static void make_user(struct compiled *c, const char *name, uint64_t flags, const void *bytes,
		      bool changed)
{
	static const uint8_t old[] = { 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xc3 };
	static const uint8_t new[] = { 0x48, 0xc7, 0xc6, 0, 0, 0, 0, 0xc3 };
	unsigned int section, v;

	begin(c);
	v = variable(c, name, flags, bytes, 4);
	section = object_section(&c->build, ".text.f", CODE, changed ? new : old, sizeof(old));
	object_symbol(&c->build, "f", STT_FUNC, section, 0, sizeof(old));
	object_reloc(&c->build, section, 3, R_X86_64_32S, v, 0);
	end(c);
}

static void data_stay_the_kernels(void **state)
{
	(void)state;
	make_user(&before, "v", DATA, "abc", false);
	make_user(&after, "v", DATA, "abc", true);
	make_user(&code, "v", DATA, "abc", true);
	decide();
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("v"), VP_FATE_NONE);
	assert_int_equal(blockers.n, 0);
	forget();
	make_user(&before, "v.1", DATA, "abc", false);
	make_user(&after, "v.2", DATA, "xyz", true);
	make_user(&code, "v.2", DATA, "xyz", true);
	decide();
	assert_int_equal(blockers.n, 1);
	assert_string_equal(blockers.list[0].text,
			    "v.2: what it begins with changes: the kernel's own stays as it is");
	forget();
	make_user(&before, "__func__.1", SHF_ALLOC, "abc", false);
	make_user(&after, "__func__.2", SHF_ALLOC, "abc", true);
	make_user(&code, "__func__.2", SHF_ALLOC, "abc", true);
	decide();
	assert_int_equal(blockers.n, 0);
	assert_int_equal(fate("__func__.2"), VP_FATE_GOES);
	forget();
}

static void start_up_code_is_left_out(void **state)
{
	struct compiled *all[] = { &before, &after, &code };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		unsigned int section;

		begin(all[i]);
		section = object_section(&all[i]->build, ".init.text", CODE, i ? other : plain,
					 sizeof(plain));
		object_symbol(&all[i]->build, "setup", STT_FUNC, section, 0, sizeof(plain));
		calls(all[i], section, outside(all[i], "g"));
		end(all[i]);
	}
	decide();
	assert_int_equal(keep.replaces, 0);
	assert_int_equal(notes.n, 1);
	assert_int_equal(blockers.n, 0);
	forget();
}

static void tables_that_the_guest_does_not_see_are_refused(void **state)
{
	(void)state;
	begin(&before);
	make_f(&before, other, "g");
	end(&before);
	make_bug(&after, 1, 1);
	make_bug(&code, 1, 1);
	decide();
	assert_int_equal(blockers.n, 1);
	assert_non_null(strstr(blockers.list[0].text, "f: WARN and BUG are found by a table"));
	forget();
}

/* --- what is written ------------------------------------------------------------------------- */

static const char *exported(void *arg, const char *symbol, bool *yes)
{
	*yes = !strcmp(symbol, "g");
	return *yes ? arg : NULL;
}

static bool expects(void *arg, const char *name, uint8_t *out)
{
	memset(out, 5, 32);
	return !strcmp(name, arg);
}

static void the_object_says_what_it_is(void **state)
{
	const struct vp_emit_about about = { "fix",    "1",
					     "a test", "6.1.0-50-amd64",
					     exported, (void *)(uintptr_t) "tun" };
	struct vp_emit_source from = { &keep, expects, (void *)(uintptr_t) "f" };
	const struct vp_hotfix_about *a;
	struct vp_hotfix_object *object;
	struct vp_elf_object *elf;
	void *image, *again;
	size_t len, len2;

	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", other, other);
	make_two(&code, "h", other, other);
	decide();
	assert_int_equal(vp_emit(&from, 1, &about, &image, &len, &err), 0);
	assert_int_equal(vp_emit(&from, 1, &about, &again, &len2, &err), 0);
	assert_int_equal(len, len2);
	assert_memory_equal(image, again, len);
	assert_int_equal(vp_elf_object_open(image, len, "fix.o", &elf, &err), 0);
	assert_int_equal(vp_hotfix_object_open(elf, &object, &blockers, &err), 0);
	a = vp_hotfix_object_about(object);
	assert_string_equal(a->name, "fix");
	assert_string_equal(a->releases[0], "6.1.0-50-amd64");
	assert_int_equal(a->nfunctions, 2);
	assert_int_equal(a->functions[0].expects + a->functions[1].expects, 1);
	assert_int_equal(a->nsymbols, 1);
	assert_string_equal(a->symbols[0].name, "g");
	assert_string_equal(a->symbols[0].where, "tun");
	vp_hotfix_object_close(object);
	vp_elf_object_close(elf);
	free(image);
	free(again);
	forget();
}

static void collect(void *arg, const struct vp_shown *s)
{
	snprintf((char *)arg + strlen(arg), 512 - strlen(arg), "%s %d %s|%s;", s->name, (int)s->how,
		 s->old, s->new);
}

static void differences_are_shown_as_instructions(void **state)
{
	struct vp_compare c;
	char text[512] = "";

	(void)state;
	begin(&before);
	make_f(&before, plain, "g");
	end(&before);
	begin(&after);
	make_f(&after, plain, "k");
	end(&after);
	assert_int_equal(vp_compare_open(&before.unit, &after.unit, &c, &err), 0);
	assert_int_equal(vp_diff_show(&c, collect, text), 1);
	assert_string_equal(text, "f 0 call 0x000000000000000A  <g>|call 0x000000000000000A  <k>;");
	vp_compare_close(&c);
	drop(&before);
	drop(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_compared_by_content),
		cmocka_unit_test(a_line_that_moved_is_no_change),
		cmocka_unit_test(texts_are_compared_by_what_they_say),
		cmocka_unit_test(the_line_of_a_warning_does_not_count),
		cmocka_unit_test(names_of_the_compiler_are_known),
		cmocka_unit_test(unchanged_functions_are_the_kernels),
		cmocka_unit_test(nothing_is_kept_where_nothing_changes),
		cmocka_unit_test(new_functions_go_along),
		cmocka_unit_test(callers_of_a_variant_are_replaced),
		cmocka_unit_test(functions_of_headers_go_along),
		cmocka_unit_test(data_stay_the_kernels),
		cmocka_unit_test(start_up_code_is_left_out),
		cmocka_unit_test(tables_that_the_guest_does_not_see_are_refused),
		cmocka_unit_test(the_object_says_what_it_is),
		cmocka_unit_test(differences_are_shown_as_instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
