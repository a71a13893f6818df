/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "x86/decode.h"
#include "x86/encode.h"

#define AT 0xffffffff81000000ull

/* As an assembler writes them: SDM vol. 2, NOP, up to 9; then prefixes. */
static const char *const golden_nop[VP_INSN_MAX + 1] = {
	[1] = "\x90",
	[2] = "\x66\x90",
	[3] = "\x0f\x1f\x00",
	[4] = "\x0f\x1f\x40\x00",
	[5] = "\x0f\x1f\x44\x00\x00",
	[6] = "\x66\x0f\x1f\x44\x00\x00",
	[7] = "\x0f\x1f\x80\x00\x00\x00\x00",
	[8] = "\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[9] = "\x66\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[10] = "\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[11] = "\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[12] = "\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[13] = "\x66\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[14] = "\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
	[15] = "\x66\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00",
};

static void nop_every_length(void **state)
{
	uint8_t buf[VP_INSN_MAX + 1];
	struct vp_insn insn;

	(void)state;
	for (size_t len = 1; len <= VP_INSN_MAX; len++) {
		memset(buf, 0xaa, sizeof(buf));
		assert_int_equal(vp_encode_nop(buf, len), len);
		assert_memory_equal(buf, golden_nop[len], len);
		assert_int_equal(buf[len], 0xaa);
		assert_int_equal(vp_insn_decode(buf, len, VP_GVA(AT), &insn, NULL), 0);
		assert_int_equal(insn.kind, VP_INSN_NOP);
		assert_int_equal(insn.len, len);
	}
	assert_int_equal(vp_encode_nop(buf, 0), -EINVAL);
	assert_int_equal(vp_encode_nop(buf, VP_INSN_MAX + 1), -EINVAL);
}

static const struct {
	char op; /* j: jmp, c: call */
	size_t len;
	uint64_t at, to;
	int rc;
	const char *bytes;
} branches[] = {
	{ 'j', 2, AT, AT + 2, 2, "\xeb\x00" },
	{ 'j', 2, AT, AT, 2, "\xeb\xfe" },
	{ 'j', 2, AT, AT + 2 + 127, 2, "\xeb\x7f" },
	{ 'j', 2, AT, AT + 2 - 128, 2, "\xeb\x80" },
	{ 'j', 2, AT, AT + 2 + 128, -ERANGE, NULL },
	{ 'j', 2, AT, AT + 2 - 129, -ERANGE, NULL },
	{ 'j', 5, AT, AT + 0x1000, 5, "\xe9\xfb\x0f\x00\x00" },
	{ 'j', 5, AT, AT + 5 + 0x7fffffff, 5, "\xe9\xff\xff\xff\x7f" },
	{ 'j', 5, AT, AT + 5 - 0x80000000ull, 5, "\xe9\x00\x00\x00\x80" },
	{ 'j', 5, AT, AT + 5 + 0x80000000ull, -ERANGE, NULL },
	{ 'j', 5, AT, AT + 5 - 0x80000001ull, -ERANGE, NULL },
	{ 'j', 5, 0, -16ull, 5, "\xe9\xeb\xff\xff\xff" },
	{ 'j', 3, AT, AT, -EINVAL, NULL },
	{ 'j', 0, AT, AT, -EINVAL, NULL },
	{ 'c', 5, AT, AT + 0x12345678, 5, "\xe8\x73\x56\x34\x12" },
	{ 'c', 5, AT, AT - 1, 5, "\xe8\xfa\xff\xff\xff" },
	{ 'c', 5, AT, AT + 5 + 0x80000000ull, -ERANGE, NULL },
};

static void branch_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(branches) / sizeof(branches[0]); i++) {
		vp_gva at = VP_GVA(branches[i].at), to = VP_GVA(branches[i].to);
		uint8_t buf[VP_INSN_MAX] = { 0 };
		struct vp_insn insn;
		int rc = branches[i].op == 'j' ? vp_encode_jmp(buf, branches[i].len, at, to)
					       : vp_encode_call(buf, at, to);

		assert_int_equal(rc, branches[i].rc);
		if (rc < 0)
			continue;
		assert_memory_equal(buf, branches[i].bytes, (size_t)rc);
		assert_int_equal(vp_insn_decode(buf, (size_t)rc, at, &insn, NULL), 0);
		assert_int_equal(insn.kind,
				 branches[i].op == 'j' ? VP_INSN_JMP_REL : VP_INSN_CALL_REL);
		assert_int_equal(insn.target.v, to.v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nop_every_length),
		cmocka_unit_test(branch_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
