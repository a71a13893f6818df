/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "x86/trap.h"

/* docs/protocol.md, "The trap decision", row by row; -1: any byte */
static const struct {
	bool in_table, undoing;
	int byte;
	enum vp_trap_action action;
} rows[] = {
	{ true, false, -1, VP_TRAP_RULE },   { true, true, 0xcc, VP_TRAP_WAIT },
	{ true, true, -1, VP_TRAP_RERUN },   { false, false, 0xcc, VP_TRAP_FOREIGN },
	{ false, false, -1, VP_TRAP_RERUN }, { false, true, 0xcc, VP_TRAP_FOREIGN },
	{ false, true, -1, VP_TRAP_RERUN },
};

/* All 1,024 inputs: the first row that fits says what must come out. */
static void every_input(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4 * 256; i++) {
		struct vp_trap_facts f = {
			.in_table = i & 256,
			.undoing = i & 512,
			.byte = (uint8_t)i,
		};
		size_t r = 0;

		while (rows[r].in_table != f.in_table || rows[r].undoing != f.undoing ||
		       (rows[r].byte >= 0 && rows[r].byte != f.byte))
			r++;
		assert_int_equal(vp_trap_decide(&f), rows[r].action);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
