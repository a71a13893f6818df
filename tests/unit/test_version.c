/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <vmpoke/version.h>

static void text_and_numbers_agree(void **state)
{
	char text[64];

	(void)state;
	snprintf(text, sizeof(text), "%d.%d.%d", VP_VERSION_MAJOR, VP_VERSION_MINOR,
		 VP_VERSION_PATCH);
	assert_string_equal(VP_VERSION, text);
	assert_string_equal(vp_version(), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_numbers_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
