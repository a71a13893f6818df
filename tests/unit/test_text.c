/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/text.h"

static void expect(const char *from, const char *want)
{
	char text[128];

	strcpy(text, from);
	assert_int_equal(vp_text_is_clean(from), !strcmp(from, want));
	vp_text_clean(text);
	assert_string_equal(text, want);
	assert_true(vp_text_is_clean(text));
}

static void what_passes(void **state)
{
	(void)state;
	expect("", "");
	expect(" vfs_read+0x10 \"quoted\" 'so' \\ / <&> {}~",
	       " vfs_read+0x10 \"quoted\" 'so' \\ / <&> {}~");
	expect("B\xc3\xbcro \xe2\x82\xac \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\xa7",
	       "B\xc3\xbcro \xe2\x82\xac \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\xa7");
}

static void what_controls(void **state)
{
	(void)state;
	expect("\x1b[31mred\x1b[0m", "?[31mred?[0m");
	expect("\x1b]0;title\x07", "?]0;title?");
	expect("one\ntwo\r\tthree\x7f", "one?two??three?");
	expect("\xc2\x9b"
	       "31m",
	       "??31m"); /* CSI of C1 */
	expect("\xc2\x85\xc2\x90", "????");
	expect("\xe2\x80\xae"
	       "evil\xe2\x80\xac",
	       "???evil???"); /* right to left */
	expect("a\xe2\x80\x8b"
	       "b\xef\xbb\xbf",
	       "a???b???"); /* not seen */
	expect("\xe2\x80\xa8\xe2\x80\xa9", "??????");
	expect("\xe2\x81\xa6\xd8\x9c\xc2\xad", "???????");
	expect("\xf3\xa0\x81\x81\xee\x80\x80", "???????");
}

static void what_is_no_utf8(void **state)
{
	(void)state;
	expect("\x80\xbf\xc0\xaf\xff\xfe", "??????");
	expect("\xc0\x9b\xe0\x80\x9b\xf0\x80\x80\x9b", "?????????"); /* ESC and CSI the long way */
	expect("\xc3", "?");
	expect("\xe2\x82", "??");
	expect("\xe2\x82x\xf0\x9f\x90", "??x???");
	expect("\xed\xa0\x80\xed\xbf\xbf", "??????"); /* surrogates */
	expect("\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", "?????????");
	expect("\xef\xbf\xbe\xef\xb7\x90", "??????");
	expect("\x9b\x1b\x9b", "???");
}

/* Every pair of bytes: what is left controls nothing, and is UTF-8 of the same length. */
static void all_pairs(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < 0x10000; i++) {
		char text[4] = { (char)(i >> 8), (char)i, 'x', 0 };
		const unsigned char *u = (const unsigned char *)text;

		vp_text_clean(text);
		assert_true(vp_text_is_clean(text));
		assert_int_equal(strlen(text), !(i >> 8) ? 0 : !(i & 255) ? 1 : 3);
		if (i >> 8 && i & 255)
			assert_true((u[0] >= ' ' && u[0] < 0x7f && u[1] >= ' ' && u[1] < 0x7f) ||
				    (u[0] >= 0xc2 && u[0] < 0xe0 && (u[1] & 0xc0) == 0x80 &&
				     !(u[0] == 0xc2 && u[1] < 0xa0)));
	}
}

static void copies(void **state)
{
	char to[8];

	(void)state;
	vp_text_copy(to, sizeof(to), "1234567890");
	assert_string_equal(to, "1234567");
	vp_text_copy(to, sizeof(to), "123456\xc3\xbc"); /* cut in two */
	assert_string_equal(to, "123456?");
	vp_text_copy(to, 1, "x");
	assert_string_equal(to, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_passes),	   cmocka_unit_test(what_controls),
		cmocka_unit_test(what_is_no_utf8), cmocka_unit_test(all_pairs),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
