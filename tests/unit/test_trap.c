/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "x86/trap.h"

/* docs/protocol.md, "The trap decision", row by row; -1: either */
static const struct {
	int in_table, alias, capping, undoing, open, int3;
	enum vp_trap_action action;
} rows[] = {
	{ 0, 0, -1, -1, -1, 1, VP_TRAP_FOREIGN }, { 0, 0, -1, -1, -1, 0, VP_TRAP_RERUN },
	{ -1, -1, 1, -1, -1, -1, VP_TRAP_RERUN }, { -1, -1, -1, -1, 1, 1, VP_TRAP_FOREIGN },
	{ 1, -1, -1, 0, -1, -1, VP_TRAP_RULE },	  { -1, -1, -1, -1, -1, 1, VP_TRAP_WAIT },
	{ -1, -1, -1, -1, -1, 0, VP_TRAP_RERUN },
};

static bool fits(int want, bool is)
{
	return want < 0 || want == is;
}

/* All 64 inputs: the first row that fits says what must come out. */
static void every_input(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 64; i++) {
		struct vp_trap_facts f = {
			.in_table = i & 1,
			.alias = i & 2,
			.undoing = i & 4,
			.open = i & 8,
			.int3 = i & 16,
			.capping = i & 32,
		};
		size_t r = 0;

		while (!fits(rows[r].in_table, f.in_table) || !fits(rows[r].alias, f.alias) ||
		       !fits(rows[r].capping, f.capping) || !fits(rows[r].undoing, f.undoing) ||
		       !fits(rows[r].open, f.open) || !fits(rows[r].int3, f.int3))
			r++;
		assert_int_equal(vp_trap_decide(&f), rows[r].action);
	}
}

static void int3_with_prefixes(void **state)
{
	static const struct {
		const char *bytes;
		size_t n, len;
	} cases[] = {
		{ "\xcc", 1, 1 },	  { "\xf3\xcc", 2, 2 }, { "\x66\x48\xcc\x90", 4, 3 },
		{ "\x90\xcc", 2, 0 },	  { "\xcd\x03", 2, 0 }, { "\x66", 1, 0 },
		{ "\x66\x66\x90", 3, 0 }, { "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(vp_int3_length((const uint8_t *)cases[i].bytes, cases[i].n),
				 cases[i].len);
	/* Sixteen bytes are no instruction. */
	assert_int_equal(
		vp_int3_length((const uint8_t *)"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66"
						"\x66\x66\x66\xcc",
			       16),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_input),
		cmocka_unit_test(int3_with_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
