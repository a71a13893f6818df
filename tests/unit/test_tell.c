/* SPDX-License-Identifier: Apache-2.0 */
/* What work says of itself is heard by who listens, and by nobody else. */
#include "unit.h"

#include "base/tell.h"

#include <string.h>

static char heard[256];

static void asked(const char *whom, const char *what)
{
	snprintf(heard, sizeof(heard), "%s? %s", whom, what);
}

static void answered(const char *whom)
{
	snprintf(heard, sizeof(heard), "%s!", whom);
}

static void progress(const char *what, uint64_t done, uint64_t total)
{
	snprintf(heard, sizeof(heard), "%s %d/%d", what, (int)done, (int)total);
}

static void tell_all(void)
{
	vp_tell_asked("QEMU", "quit");
	vp_tell_answered("QEMU");
	vp_tell_progress("reading", 1, 2);
}

static void test_listener(void **state)
{
	static const struct vp_listener listener = { asked, answered, progress };

	(void)state;
	tell_all();
	assert_false(vp_is_asked_heard());
	assert_string_equal(heard, "");
	vp_listen(&listener);
	assert_true(vp_is_asked_heard());
	vp_tell_asked("QEMU", "quit");
	assert_string_equal(heard, "QEMU? quit");
	vp_tell_answered("QEMU");
	assert_string_equal(heard, "QEMU!");
	vp_tell_progress("reading", 1, 2);
	assert_string_equal(heard, "reading 1/2");
	vp_listen(NULL);
	heard[0] = '\0';
	tell_all();
	assert_string_equal(heard, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
