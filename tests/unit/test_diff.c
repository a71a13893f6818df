/* SPDX-License-Identifier: Apache-2.0 */
/* Two compilations of a source compared (patcher/diff). */
#include "unit.h"

#include "diff/show.h"
#include "diff_rig.h"

static struct vp_difference compare(const char *name, struct vp_moved_lines lines)
{
	struct vp_compare c;
	struct vp_difference d;

	assert_int_equal(vp_compare_open(&before.unit, &after.unit, &c, &diff_err), 0);
	c.lines = lines;
	d = vp_compare_items(&c, vp_unit_named(&before.unit, name),
			     vp_unit_named(&after.unit, name));
	vp_compare_close(&c);
	diff_drop(&before);
	diff_drop(&after);
	return d;
}

static struct vp_difference compare_f(const uint8_t *a, const char *ga, const uint8_t *b,
				      const char *gb)
{
	const struct vp_moved_lines none = { NULL, NULL };

	diff_begin(&before);
	make_f(&before, a, ga);
	diff_end(&before);
	diff_begin(&after);
	make_f(&after, b, gb);
	diff_end(&after);
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
		diff_begin(&before);
		make_f(&before, plain, "g");
		diff_end(&before);
		diff_begin(&after);
		make_f(&after, i ? other : line, "g");
		diff_end(&after);
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
	diff_end(c);
}

static void texts_are_compared_by_what_they_say(void **state)
{
	static const char one[] = "a\0hello", two[] = "hello", three[] = "hallo";
	const struct vp_moved_lines none = { NULL, NULL };

	(void)state;
	diff_begin(&before);
	diff_begin(&after);
	make_text_user(&before, one, sizeof(one), 2);
	make_text_user(&after, two, sizeof(two), 0);
	assert_int_equal(compare("f", none).what, VP_SAME);
	diff_begin(&before);
	diff_begin(&after);
	make_text_user(&before, one, sizeof(one), 2);
	make_text_user(&after, three, sizeof(three), 0);
	assert_int_equal(compare("f", none).what, VP_DIFFERS_REF);
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
	assert_true(vp_name_is_private("symbols.7"));
	assert_false(vp_name_is_private("symbols"));
}

/* f() uses two tables of one name, the first of which says @text. */
static void make_tables(struct compiled *c, const char *first, const char *second, const char *text)
{
	static const uint8_t two[] = { 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0x48, 0xc7, 0xc6, 0, 0, 0, 0 };
	static const uint8_t empty[16];
	unsigned int texts, one, section, a, b, at;

	diff_begin(c);
	texts = object_section(&c->build, ".rodata.str1.1", TEXT, text, strlen(text) + 1);
	at = object_symbol(&c->build, "", STT_SECTION, texts, 0, 0);
	one = object_section(&c->build, ".rodata.first", SHF_ALLOC, empty, sizeof(empty));
	object_reloc(&c->build, one, 8, R_X86_64_64, at, 0);
	a = object_symbol(&c->build, first, STT_OBJECT, one, 0, sizeof(empty));
	b = diff_variable(c, second, SHF_ALLOC, "abc", 4);
	section = object_section(&c->build, ".text.f", CODE, two, sizeof(two));
	object_symbol(&c->build, "f", STT_FUNC, section, 0, sizeof(two));
	object_reloc(&c->build, section, 3, R_X86_64_32S, a, 0);
	object_reloc(&c->build, section, 10, R_X86_64_32S, b, 0);
	diff_end(c);
}

static void tables_of_one_name_are_told_by_what_they_hold(void **state)
{
	const struct vp_moved_lines none = { NULL, NULL };

	(void)state;
	make_tables(&before, "symbols.1", "symbols.2", "yes");
	make_tables(&after, "symbols.4", "symbols.3", "yes");
	assert_int_equal(compare("f", none).what, VP_SAME);
	make_tables(&before, "symbols.1", "symbols.2", "yes");
	make_tables(&after, "symbols.4", "symbols.3", "no");
	assert_int_equal(compare("f", none).what, VP_DIFFERS_REF);
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
	diff_begin(&before);
	make_f(&before, plain, "g");
	diff_end(&before);
	diff_begin(&after);
	make_f(&after, plain, "k");
	diff_end(&after);
	assert_int_equal(vp_compare_open(&before.unit, &after.unit, &c, &diff_err), 0);
	assert_int_equal(vp_diff_show(&c, collect, text), 1);
	assert_string_equal(text, "f 0 call 0x000000000000000A  <g>|call 0x000000000000000A  <k>;");
	vp_compare_close(&c);
	diff_drop(&before);
	diff_drop(&after);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_compared_by_content),
		cmocka_unit_test(a_line_that_moved_is_no_change),
		cmocka_unit_test(texts_are_compared_by_what_they_say),
		cmocka_unit_test(the_line_of_a_warning_does_not_count),
		cmocka_unit_test(names_of_the_compiler_are_known),
		cmocka_unit_test(tables_of_one_name_are_told_by_what_they_hold),
		cmocka_unit_test(differences_are_shown_as_instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
