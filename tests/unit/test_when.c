/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "control/when.h"

#define MOMENT 1795704080

static char text[VP_WHEN_TEXT];

static void iso(void **state)
{
	(void)state;
	assert_string_equal(vp_when_iso(0, text), "1970-01-01T00:00:00Z");
	assert_string_equal(vp_when_iso(MOMENT, text), "2026-11-26T14:41:20Z");
	assert_string_equal(vp_when_iso(-1, text), "1969-12-31T23:59:59Z");
	assert_string_equal(vp_when_iso(253402300799, text), "9999-12-31T23:59:59Z");
}

/* The word of a guest, or of a file. */
static void none(void **state)
{
	static const int64_t moments[] = { 253402400800, INT64_MAX, INT64_MIN, -62135596801 };

	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		strcpy(text, "x");
		assert_string_equal(vp_when_iso(moments[i], text), "");
		strcpy(text, "x");
		assert_string_equal(vp_when_local(moments[i], text), "");
	}
}

static void local(void **state)
{
	(void)state;
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	assert_string_equal(vp_when_local(MOMENT, text), "2026-11-26 15:41:20 +0100");
	assert_string_equal(vp_when_local(MOMENT - 150 * 86400, text), "2026-06-29 16:41:20 +0200");
	setenv("TZ", "NST3:30", 1);
	assert_string_equal(vp_when_local(MOMENT, text), "2026-11-26 11:11:20 -0330");
	setenv("TZ", "UTC0", 1);
	assert_string_equal(vp_when_local(MOMENT, text), "2026-11-26 14:41:20 +0000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iso),
		cmocka_unit_test(none),
		cmocka_unit_test(local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
