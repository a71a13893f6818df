/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "hotfix/reloc.h"

#include <elf.h>

#define AT 0xffffffffc0000000ull

/* The field afterwards, of 16 bytes of 0xaa around it; -errno in @rc. */
static uint64_t apply(uint32_t type, uint64_t value, int *rc)
{
	uint8_t bytes[24];
	uint64_t field = 0;
	int size = vp_reloc_size(type);

	memset(bytes, 0xaa, sizeof(bytes));
	*rc = vp_reloc_apply(bytes + 8, type, value, VP_GVA(AT));
	for (int i = 0; i < (int)sizeof(bytes); i++)
		if (*rc || size < 0 || i < 8 || i >= 8 + size)
			assert_int_equal(bytes[i], 0xaa);
	if (!*rc && size > 0)
		memcpy(&field, bytes + 8, (size_t)size);
	return field;
}

static void fits(uint32_t type, uint64_t value, uint64_t field)
{
	int rc;

	assert_int_equal(apply(type, value, &rc), field);
	assert_int_equal(rc, 0);
}

static void too_far(uint32_t type, uint64_t value)
{
	int rc;

	apply(type, value, &rc);
	assert_int_equal(rc, -ERANGE);
}

static void limits(void **state)
{
	static const uint32_t relative[] = { R_X86_64_PC32, R_X86_64_PLT32 };

	(void)state;
	fits(R_X86_64_64, 0, 0);
	fits(R_X86_64_64, UINT64_MAX, UINT64_MAX);
	fits(R_X86_64_PC64, AT + 5, 5);
	fits(R_X86_64_PC64, 0, (uint64_t)0 - AT);
	fits(R_X86_64_32, 0, 0);
	fits(R_X86_64_32, UINT32_MAX, UINT32_MAX);
	too_far(R_X86_64_32, 1ull << 32);
	too_far(R_X86_64_32, 0xffffffff80000000);
	fits(R_X86_64_32S, INT32_MAX, INT32_MAX);
	fits(R_X86_64_32S, 0xffffffff80000000, 0x80000000);
	fits(R_X86_64_32S, UINT64_MAX, UINT32_MAX);
	too_far(R_X86_64_32S, 1ull << 31);
	too_far(R_X86_64_32S, 0xffffffff7fffffff);
	for (size_t i = 0; i < 2; i++) {
		fits(relative[i], AT, 0);
		fits(relative[i], AT + INT32_MAX, INT32_MAX);
		too_far(relative[i], AT + INT32_MAX + 1);
		fits(relative[i], AT - (1ull << 31), 0x80000000);
		too_far(relative[i], AT - (1ull << 31) - 1);
		/* A per-CPU symbol: a small number, reached by the wrap of addresses. */
		fits(relative[i], 0x1c340, 0x4001c340);
	}
}

static void none_and_unknown(void **state)
{
	int rc;

	(void)state;
	apply(R_X86_64_NONE, 77, &rc);
	assert_int_equal(rc, 0);
	assert_int_equal(vp_reloc_size(R_X86_64_NONE), 0);
	for (uint32_t type = 0; type < 300; type++) {
		bool known = type == R_X86_64_NONE || type == R_X86_64_64 ||
			     type == R_X86_64_PC32 || type == R_X86_64_PLT32 ||
			     type == R_X86_64_32 || type == R_X86_64_32S || type == R_X86_64_PC64;

		if (known)
			continue;
		assert_int_equal(vp_reloc_size(type), -EOPNOTSUPP);
		apply(type, 0, &rc);
		assert_int_equal(rc, -EOPNOTSUPP);
	}
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(vp_reloc_name(R_X86_64_PC32), "R_X86_64_PC32");
	assert_string_equal(vp_reloc_name(R_X86_64_GOTPCREL), "R_X86_64_GOTPCREL");
	assert_string_equal(vp_reloc_name(R_X86_64_REX_GOTPCRELX), "R_X86_64_REX_GOTPCRELX");
	assert_string_equal(vp_reloc_name(R_X86_64_REX_GOTPCRELX + 1), "unknown");
	assert_string_equal(vp_reloc_name(UINT32_MAX), "unknown");
	assert_string_equal(vp_reloc_name(30), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(none_and_unknown),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
