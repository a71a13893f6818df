/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

static void code_and_text(void **state)
{
	struct vp_err err;

	(void)state;
	assert_int_equal(vp_err_set(&err, -EINVAL, "site %d: %s", 3, "too long"), -EINVAL);
	assert_string_equal(err.text, "site 3: too long");
	assert_int_equal(vp_err_set(NULL, -ENOMEM, "%s", "nobody listens"), -ENOMEM);
	assert_int_equal(vp_err_set(&err, 0, "%s", ""), 0);
	assert_string_equal(err.text, "");
}

static void stays_one_line(void **state)
{
	struct vp_err err;

	(void)state;
	vp_err_set(&err, -1, "a\nb\rc\td\x1b[1m\x7f\x01 %s", "e\n");
	assert_string_equal(err.text, "a?b?c?d?[1m?? e?");
	vp_err_set(&err, -1, "\xc3\xa9t\xc3\xa9");
	assert_string_equal(err.text, "\xc3\xa9t\xc3\xa9");
}

static void long_text_is_cut(void **state)
{
	char text[sizeof(struct vp_err) + 2];

	(void)state;
	for (size_t n = sizeof(struct vp_err) - 2; n < sizeof(text); n++) {
		struct {
			struct vp_err err;
			char guard;
		} box = { .guard = 'g' };

		memset(text, 'x', n);
		text[n] = '\0';
		vp_err_set(&box.err, -1, "%s", text);
		assert_int_equal(strlen(box.err.text), n < 255 ? n : 255);
		assert_int_equal(box.guard, 'g');
	}
}

static void may_wrap_itself(void **state)
{
	struct vp_err err;

	(void)state;
	vp_err_set(&err, -1, "inner");
	vp_err_set(&err, -1, "outer: %s (%s)", err.text, err.text);
	assert_string_equal(err.text, "outer: inner (inner)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_and_text),
		cmocka_unit_test(stays_one_line),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(may_wrap_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
