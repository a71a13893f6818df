/* SPDX-License-Identifier: Apache-2.0 */
/* Another constant in an instruction (S8). Golden bytes from GNU as. */
#include "unit.h"
#include "x86/decode.h"

#define AT VP_GVA(0xffffffff81000000)

static void changes(const char *bytes, size_t len, int64_t was, int64_t value, const char *expect)
{
	uint8_t out[VP_INSN_MAX];
	int64_t found;

	assert_int_equal(vp_insn_set_imm((const uint8_t *)bytes, len, AT, value, out, &found, NULL),
			 len);
	assert_int_equal(found, was);
	assert_memory_equal(out, expect, len);
}

static void refused(const char *bytes, size_t len, int64_t value, int rc)
{
	uint8_t out[VP_INSN_MAX];
	struct vp_err err = { "" };

	assert_int_equal(vp_insn_set_imm((const uint8_t *)bytes, len, AT, value, out, NULL, &err),
			 rc);
	assert_true(*err.text);
}

static void test_changes(void **state)
{
	(void)state;
	/* mov $0x11223344,%eax */
	changes("\xb8\x44\x33\x22\x11", 5, 0x11223344, 7, "\xb8\x07\x00\x00\x00");
	changes("\xb8\x44\x33\x22\x11", 5, 0x11223344, 0xffffffff, "\xb8\xff\xff\xff\xff");
	/* movabs $0x1122334455667788,%rax */
	changes("\x48\xb8\x88\x77\x66\x55\x44\x33\x22\x11", 10, 0x1122334455667788, -2,
		"\x48\xb8\xfe\xff\xff\xff\xff\xff\xff\xff");
	/* movq $-1,(%rdi): 32 bits, extended */
	changes("\x48\xc7\x07\xff\xff\xff\xff", 7, -1, INT32_MIN, "\x48\xc7\x07\x00\x00\x00\x80");
	/* cmpl $5,0x10(%rax) */
	changes("\x83\x78\x10\x05", 4, 5, -128, "\x83\x78\x10\x80");
	/* cmpb $5,0x1234(%rip): the constant is the last byte, not the displacement */
	changes("\x80\x3d\x34\x12\x00\x00\x05", 7, 5, 200, "\x80\x3d\x34\x12\x00\x00\xc8");
	/* add $0x100,%ax: 16 bits */
	changes("\x66\x05\x00\x01", 4, 0x100, 0xfffe, "\x66\x05\xfe\xff");
	/* test $1,%al */
	changes("\xa8\x01", 2, 1, 2, "\xa8\x02");
}

static void test_refused(void **state)
{
	(void)state;
	refused("\x83\x78\x10\x05", 4, 128, -ERANGE); /* its sign would be extended */
	refused("\x48\xc7\x07\xff\xff\xff\xff", 7, 0x80000000, -ERANGE);
	refused("\xb8\x44\x33\x22\x11", 5, 0x100000000, -ERANGE);
	refused("\xa8\x01", 2, 256, -ERANGE);
	refused("\xe9\x10\x00\x00\x00", 5, 1, -EINVAL); /* jmp */
	refused("\x89\xc8", 2, 1, -EINVAL);		/* mov %ecx,%eax: no constant */
	refused("\xc1\xe0\x04", 3, 1, -EINVAL);		/* shl: not in the list */
	refused("\x6a\x01", 2, 1, -EINVAL);		/* push */
	refused("\xb8\x44\x33", 3, 1, -EINVAL);		/* cut off */
	refused("\x06", 1, 1, -EINVAL);			/* no instruction */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_changes),
					    cmocka_unit_test(test_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
