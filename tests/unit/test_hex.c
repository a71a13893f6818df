/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "target/hex.h"

static void test_good(void **state)
{
	uint8_t out[4] = { 0 };
	struct vp_err err;
	char text[9];
	size_t len = 0;

	(void)state;
	assert_int_equal(vp_hex_parse("it", "00fFA9", out, 4, &len, &err), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(out, "\x00\xff\xa9\x00", 4);
	assert_int_equal(vp_hex_parse("it", "0f 1f 44", out, 4, &len, &err), 0);
	assert_int_equal(len, 3);
	assert_int_equal(vp_hex_parse("it", "0x0f1f44", out, 4, &len, &err), 0);
	assert_true(len == 3 && out[0] == 0x0f && out[2] == 0x44);
	assert_int_equal(vp_hex_parse("it", "01020304", out, 4, &len, &err), 0);
	vp_hex_format(out, len, text);
	assert_string_equal(text, "01020304");
	vp_hex_format((const uint8_t *)"\xab\x0f", 2, text);
	assert_string_equal(text, "ab0f");
}

static void test_bad(void **state)
{
	static const char *const bad[] = { "",	     "1",  "123", "0x",		"0x1",
					   "0g",     "g0", " 12", "12 ",	"1 2",
					   "12  34", "+1", "1/",  "0102030405", "\xff\xff" };
	uint8_t out[4];
	size_t len, i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vp_err err = { "" };

		assert_int_equal(vp_hex_parse("it", bad[i], out, 4, &len, &err), -EINVAL);
		assert_non_null(strstr(err.text, "it: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good),
					    cmocka_unit_test(test_bad) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
