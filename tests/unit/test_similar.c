/* SPDX-License-Identifier: Apache-2.0 */
/* What a wrong word is likely to stand for. */
#include "unit.h"

#include "base/similar.h"

#include <limits.h>
#include <string.h>

static void test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int distance;
	} cases[] = {
		{ "", "", 0 },
		{ "", "poke", 4 },
		{ "poke", "poke", 0 },
		{ "pok", "poke", 1 },
		{ "pooke", "poke", 1 },
		{ "puke", "poke", 1 },
		{ "opke", "poke", 1 },
		{ "ekop", "poke", 3 },
		{ "status", "staust", 2 },
		{ "kitten", "sitting", 3 },
	};
	char longest[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(vp_edit_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(vp_edit_distance(cases[i].b, cases[i].a), cases[i].distance);
	}
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(vp_edit_distance(longest, "x"), UINT_MAX);
}

static const char *best_for(const char *word)
{
	static const char *const names[] = { "run", "read", "regs", "revert", "recover", "status" };
	struct vp_similar s;

	vp_similar_begin(&s, word);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		vp_similar_offer(&s, names[i]);
	return s.best ? s.best : "";
}

static void test_best(void **state)
{
	(void)state;
	assert_string_equal(best_for("rea"), "read");
	assert_string_equal(best_for("reg"), "regs");
	assert_string_equal(best_for("revret"), "revert");
	assert_string_equal(best_for("sattus"), "status");
	assert_string_equal(best_for("frobnicate"), "");
	assert_string_equal(best_for(""), "");
	assert_string_equal(best_for("x"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_best),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
