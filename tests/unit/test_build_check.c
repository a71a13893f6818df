/* SPDX-License-Identifier: Apache-2.0 */
/* What patcher/build says of an object that was compiled. The linker has its own tests. */
#include "unit.h"

#include "build/check.h"
#include "build/tidy.h"
#include "object_build.h"

static const char info[] = "format=1\0name=x\0version=1\0description=a test\0for=6.1.0";
static const char strings[] = "old";
static const uint8_t code[] = { 0xc3 }, zeroes[80];

/* A hotfix that is as it should be, with @name and @flags for one more section (NULL: none). */
static int check(const char *name, uint64_t flags, struct vp_blockers *blockers, struct vp_err *err)
{
	static struct object_build b;
	unsigned int text, records, texts, fixed, old;
	size_t functions = 0;
	int rc;

	object_begin(&b);
	text = object_section(&b, ".text.fixed", SHF_ALLOC | SHF_EXECINSTR, code, sizeof(code));
	object_section(&b, ".vmpoke.info", SHF_ALLOC, info, sizeof(info));
	texts = object_section(&b, ".vmpoke.strings", SHF_ALLOC, strings, sizeof(strings));
	records = object_section(&b, ".vmpoke.functions", SHF_ALLOC, zeroes, 80);
	if (name)
		object_section(&b, name, SHF_ALLOC | flags, code, sizeof(code));
	fixed = object_symbol(&b, "fixed", STT_FUNC, text, 0, 1);
	old = object_symbol(&b, "text", STT_OBJECT, texts, 0, sizeof(strings));
	object_reloc(&b, records, 0, R_X86_64_64, fixed, 0);
	object_reloc(&b, records, 8, R_X86_64_64, old, 0);
	object_finish(&b);
	memset(blockers, 0, sizeof(*blockers));
	rc = vp_check(b.bytes, b.len, "fix.c", &functions, blockers, err);
	assert_int_equal(functions, 1);
	return rc;
}

static void good(void **state)
{
	struct vp_blockers blockers;
	struct vp_err err = { "" };

	(void)state;
	assert_int_equal(check(NULL, 0, &blockers, &err), 0);
	assert_string_equal(err.text, "");
	assert_int_equal(blockers.n, 0);
	vp_blockers_free(&blockers);
}

static void blocked(void **state)
{
	struct vp_blockers blockers;
	struct vp_err err = { "" };

	(void)state;
	assert_int_equal(check("__jump_table", SHF_WRITE, &blockers, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "__jump_table"));
	assert_int_equal(blockers.n, 1); /* once, though it is linked twice */
	vp_blockers_free(&blockers);
}

static void no_object(void **state)
{
	struct vp_blockers blockers = { 0 };
	struct vp_err err = { "" };
	size_t functions = 0;

	(void)state;
	assert_int_equal(vp_check("no object", 9, "fix.c", &functions, &blockers, &err),
			 -EOPNOTSUPP);
	assert_true(err.text[0] != '\0');
	vp_blockers_free(&blockers);
}

static void what_is_told(void **state)
{
	static const char text[] = "name=x\0\0for=6.1\0xfor=";

	(void)state;
	assert_true(vp_tidy_tells(text, sizeof(text), "for="));
	assert_false(vp_tidy_tells(text, 8, "for="));
	assert_false(vp_tidy_tells(text, 11, "for=")); /* cut off */
	assert_true(vp_tidy_tells(text, 12, "for="));
	assert_false(vp_tidy_tells("xfor=", 6, "for="));
	assert_false(vp_tidy_tells("", 0, "for="));
	assert_true(vp_tidy_tells("a", 1, "a")); /* no NUL at the end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(blocked),
		cmocka_unit_test(no_object),
		cmocka_unit_test(what_is_told),
	};

	return cmocka_run_group_tests_name("build_check", tests, NULL, NULL);
}
