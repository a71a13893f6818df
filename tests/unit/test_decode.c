/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "x86/decode.h"

#define AT 0xffffffff81000000ull

/* B("\x90"): bytes and their number, NULs included */
#define B(s) s, sizeof(s) - 1

static const struct {
	const char *bytes;
	size_t len;
	enum vp_insn_kind kind;
	uint64_t value; /* target, popped bytes or immediate */
	uint8_t extra;	/* cc or reg */
} golden[] = {
	/* nop, and what looks like one */
	{ B("\x90"), VP_INSN_NOP, 0, 0 },
	{ B("\x66\x90"), VP_INSN_NOP, 0, 0 },
	{ B("\x66\x66\x2e\x90"), VP_INSN_NOP, 0, 0 },
	{ B("\x48\x90"), VP_INSN_NOP, 0, 0 },
	{ B("\x0f\x1f\x00"), VP_INSN_NOP, 0, 0 },
	{ B("\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00"), VP_INSN_NOP, 0, 0 },
	{ B("\x0f\x1f\xc0"), VP_INSN_NOP, 0, 0 },
	{ B("\x41\x90"), VP_INSN_OTHER, 0, 0 }, /* xchg r8d, eax */
	{ B("\xf3\x90"), VP_INSN_OTHER, 0, 0 }, /* pause */
	{ B("\xf2\x90"), VP_INSN_OTHER, 0, 0 },
	{ B("\xf3\x0f\x1e\xfa"), VP_INSN_OTHER, 0, 0 }, /* endbr64 */
	{ B("\x0f\x1f\x48\x00"), VP_INSN_OTHER, 0, 0 }, /* 0f 1f /1: hint space, not the nop */
	{ B("\x0f\x0d\x00"), VP_INSN_OTHER, 0, 0 },	/* prefetch */
	/* int3 */
	{ B("\xcc"), VP_INSN_INT3, 0, 0 },
	{ B("\x66\xcc"), VP_INSN_INT3, 0, 0 },
	{ B("\xf3\x48\xcc"), VP_INSN_INT3, 0, 0 },
	{ B("\xcd\x03"), VP_INSN_INT3, 0, 0 },
	{ B("\x2e\xcd\x03"), VP_INSN_INT3, 0, 0 },
	{ B("\xcd\x80"), VP_INSN_OTHER, 0, 0 },
	{ B("\x0f\xcc"), VP_INSN_OTHER, 0, 0 }, /* bswap */
	{ B("\xf1"), VP_INSN_OTHER, 0, 0 },
	/* jmp */
	{ B("\xeb\xfe"), VP_INSN_JMP_REL, AT, 0 },
	{ B("\xeb\x7f"), VP_INSN_JMP_REL, AT + 2 + 0x7f, 0 },
	{ B("\xe9\xfb\x0f\x00\x00"), VP_INSN_JMP_REL, AT + 0x1000, 0 },
	{ B("\xe9\x00\x00\x00\x80"), VP_INSN_JMP_REL, AT + 5 - 0x80000000ull, 0 },
	{ B("\x2e\x2e\xe9\x00\x00\x00\x00"), VP_INSN_JMP_REL, AT + 7, 0 },
	{ B("\x48\xe9\x01\x00\x00\x00"), VP_INSN_JMP_REL, AT + 7, 0 },
	{ B("\xf2\xe9\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 }, /* bnd */
	{ B("\x67\xe9\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 },
	{ B("\x64\xeb\x00"), VP_INSN_OTHER, 0, 0 },
	{ B("\xff\xe0"), VP_INSN_OTHER, 0, 0 },
	{ B("\xff\x2d\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 }, /* far, through memory */
	{ B("\xc4\xe1\x71\xe9\xc2"), VP_INSN_OTHER, 0, 0 },	/* vpsubusw: opcode e9, VEX */
	{ B("\x0f\xe9\xc2"), VP_INSN_OTHER, 0, 0 },
	/* call */
	{ B("\xe8\x73\x56\x34\x12"), VP_INSN_CALL_REL, AT + 0x12345678, 0 },
	{ B("\x2e\xe8\xfa\xff\xff\xff"), VP_INSN_CALL_REL, AT, 0 },
	{ B("\xf2\xe8\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 },
	{ B("\xff\xd0"), VP_INSN_OTHER, 0, 0 },
	/* jcc */
	{ B("\x70\x10"), VP_INSN_JCC_REL, AT + 0x12, 0x0 },
	{ B("\x75\xfe"), VP_INSN_JCC_REL, AT, 0x5 },
	{ B("\x7f\x00"), VP_INSN_JCC_REL, AT + 2, 0xf },
	{ B("\x3e\x74\x00"), VP_INSN_JCC_REL, AT + 3, 0x4 },
	{ B("\x0f\x80\xfa\xff\xff\xff"), VP_INSN_JCC_REL, AT, 0x0 },
	{ B("\x0f\x8f\x00\x00\x00\x00"), VP_INSN_JCC_REL, AT + 6, 0xf },
	{ B("\xf2\x74\x00"), VP_INSN_OTHER, 0, 0 },
	{ B("\xe3\x00"), VP_INSN_OTHER, 0, 0 }, /* jrcxz */
	{ B("\xe2\x00"), VP_INSN_OTHER, 0, 0 }, /* loop */
	/* ret */
	{ B("\xc3"), VP_INSN_RET, 0, 0 },
	{ B("\xc2\x34\x12"), VP_INSN_RET, 0x1234, 0 },
	{ B("\xc2\xf8\xff"), VP_INSN_RET, 0xfff8, 0 },
	{ B("\x66\xc3"), VP_INSN_OTHER, 0, 0 },
	{ B("\xf3\xc3"), VP_INSN_OTHER, 0, 0 },
	{ B("\xf2\xc3"), VP_INSN_OTHER, 0, 0 },
	{ B("\xcb"), VP_INSN_OTHER, 0, 0 },
	{ B("\x48\xcf"), VP_INSN_OTHER, 0, 0 },
	/* mov */
	{ B("\xb8\xff\xff\xff\xff"), VP_INSN_MOV_IMM, 0xffffffff, VP_RAX },
	{ B("\x41\xbf\x78\x56\x34\x12"), VP_INSN_MOV_IMM, 0x12345678, VP_R15 },
	{ B("\x48\xbb\xef\xcd\xab\x89\x67\x45\x23\x81"), VP_INSN_MOV_IMM, 0x8123456789abcdef,
	  VP_RBX },
	{ B("\x49\xb8\x01\x00\x00\x00\x00\x00\x00\x80"), VP_INSN_MOV_IMM, 0x8000000000000001,
	  VP_R8 },
	{ B("\x2e\x2e\x2e\x2e\x2e\x48\xb8\x08\x07\x06\x05\x04\x03\x02\x01"), VP_INSN_MOV_IMM,
	  0x0102030405060708, VP_RAX },
	{ B("\x66\x48\xb8\x08\x07\x06\x05\x04\x03\x02\x01"), VP_INSN_MOV_IMM, 0x0102030405060708,
	  VP_RAX },
	{ B("\xc7\xc1\xff\xff\xff\xff"), VP_INSN_MOV_IMM, 0xffffffff, VP_RCX },
	{ B("\x48\xc7\xc2\xff\xff\xff\xff"), VP_INSN_MOV_IMM, ~0ull, VP_RDX },
	{ B("\x49\xc7\xc4\x00\x00\x00\x80"), VP_INSN_MOV_IMM, 0xffffffff80000000, VP_R12 },
	{ B("\x48\xc7\xc0\x78\x56\x34\x12"), VP_INSN_MOV_IMM, 0x12345678, VP_RAX },
	{ B("\x41\x2e\xb8\x01\x00\x00\x00"), VP_INSN_MOV_IMM, 1, VP_RAX }, /* REX not last: void */
	{ B("\x48\x66\xb8\x34\x12"), VP_INSN_OTHER, 0, 0 },		   /* so this is mov ax */
	{ B("\x66\xb8\x34\x12"), VP_INSN_OTHER, 0, 0 },
	{ B("\xb0\x12"), VP_INSN_OTHER, 0, 0 },
	{ B("\xc6\xc0\x12"), VP_INSN_OTHER, 0, 0 },
	{ B("\xc7\x00\x78\x56\x34\x12"), VP_INSN_OTHER, 0, 0 }, /* to memory */
	{ B("\xc7\xf8\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 }, /* xbegin */
	{ B("\xf3\xb8\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 },
	/* others */
	{ B("\x55"), VP_INSN_OTHER, 0, 0 },
	{ B("\xf4"), VP_INSN_OTHER, 0, 0 },
	{ B("\x0f\x0b"), VP_INSN_OTHER, 0, 0 },
	{ B("\x48\x8b\x05\x00\x00\x00\x00"), VP_INSN_OTHER, 0, 0 },
};

static void golden_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		const uint8_t *bytes = (const uint8_t *)golden[i].bytes;
		struct vp_insn insn = { 0 };
		struct vp_err err = { 0 };
		uint64_t value;

		if (vp_insn_decode(bytes, golden[i].len, VP_GVA(AT), &insn, &err))
			fail_msg("row %zu: %s", i, err.text);
		if (insn.kind != golden[i].kind || insn.len != golden[i].len)
			fail_msg("row %zu: kind %d, length %u", i, insn.kind, insn.len);
		value = insn.kind == VP_INSN_RET || insn.kind == VP_INSN_MOV_IMM ? insn.imm
										 : insn.target.v;
		assert_int_equal(value, golden[i].value);
		assert_int_equal(insn.kind == VP_INSN_JCC_REL ? insn.cc : insn.reg,
				 golden[i].extra);
	}
}

/* Each golden row cut short at every byte: refused, and the text says that it is cut. */
static void golden_bytes_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		for (size_t n = 0; n < golden[i].len; n++) {
			uint8_t *exact = malloc(n ? n : 1); /* so that ASan sees a read too far */
			struct vp_insn insn;
			struct vp_err err = { 0 };

			assert_non_null(exact);
			memcpy(exact, golden[i].bytes, n);
			assert_int_equal(vp_insn_decode(exact, n, VP_GVA(AT), &insn, &err),
					 -EINVAL);
			assert_non_null(strstr(err.text, "does not end within"));
			free(exact);
		}
	}
}

static const struct {
	const char *bytes;
	size_t len;
} invalid[] = {
	{ B("\x06") },			       /* push es: not in 64-bit mode */
	{ B("\xea\x00\x00\x00\x00\x00\x00") }, /* jmp far ptr16:32 */
	{ B("\x9a\x00\x00\x00\x00\x00\x00") }, /* call far */
	{ B("\xf0\x90") },		       /* lock nop */
	{ B("\xc7\xc8\x00\x00\x00\x00") },     /* c7 /1 */
	{ B("\x0f\x04") },
	{ B("\x2e\x2e\x2e\x2e\x2e\x2e\x48\xb8\x08\x07\x06\x05\x04\x03\x02\x01") }, /* 16 bytes */
};

/* Intel ignores the 66, AMD halves the displacement: nobody can say where these end. */
static void ambiguous_branches(void **state)
{
	static const char *const rows[] = { "\x66\xe9\x00\x00\x00\x00", "\x66\xeb\x00",
					    "\x66\xe8\x00\x00\x00\x00", "\x66\x74\x00",
					    "\x66\x0f\x84\x00\x00\x00\x00" };
	static const size_t lens[] = { 6, 3, 6, 3, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vp_insn insn;
		struct vp_err err = { 0 };

		assert_int_equal(vp_insn_decode((const uint8_t *)rows[i], lens[i], VP_GVA(AT),
						&insn, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, "disagree"));
	}
}

static void invalid_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		struct vp_insn insn;
		struct vp_err err = { 0 };

		assert_int_equal(vp_insn_decode((const uint8_t *)invalid[i].bytes, invalid[i].len,
						VP_GVA(AT), &insn, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, "not a valid"));
		assert_null(strchr(err.text, '\n'));
	}
}

/* Random bytes: a length within bounds, and one byte less is always "does not end". */
static void random_bytes(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15;
	unsigned int valid = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct vp_insn insn, again;
		uint8_t bytes[24];

		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (uint8_t)(unit_random(&seed) >> 32);
		if (vp_insn_decode(bytes, sizeof(bytes), VP_GVA(AT), &insn, NULL))
			continue;
		valid++;
		assert_in_range(insn.len, 1, VP_INSN_MAX);
		assert_int_equal(vp_insn_decode(bytes, insn.len, VP_GVA(AT), &again, NULL), 0);
		assert_memory_equal(&insn, &again, sizeof(insn));
		assert_int_equal(vp_insn_decode(bytes, insn.len - 1u, VP_GVA(AT), &again, NULL),
				 -EINVAL);
	}
	assert_true(valid > 10000);
}

static int format_as(enum vp_insn_syntax syntax, const char *bytes, size_t n, char *text,
		     size_t size)
{
	return vp_insn_format((const uint8_t *)bytes, n, VP_GVA(AT), syntax, text, size);
}

static void format(void **state)
{
	char text[96];

	(void)state;
	assert_int_equal(format_as(VP_SYNTAX_INTEL, "\x0f\x1f\x44\x00\x00", 5, text, sizeof(text)),
			 5);
	assert_string_equal(text, "nop [rax+rax*1], eax");
	assert_int_equal(
		format_as(VP_SYNTAX_INTEL, "\xe9\xfb\x0f\x00\x00\x90", 6, text, sizeof(text)), 5);
	assert_string_equal(text, "jmp 0xFFFFFFFF81001000");

	memset(text, 'x', sizeof(text));
	assert_int_equal(format_as(VP_SYNTAX_INTEL, "\xc3", 1, text, 3), 1);
	assert_memory_equal(text, "re\0x", 4);
	assert_int_equal(format_as(VP_SYNTAX_INTEL, "\x06", 1, text, 3), -EINVAL);
	assert_int_equal(format_as(VP_SYNTAX_INTEL, "\xe9\x00", 2, text, 3), -EINVAL);
}

/* As objdump has it: a size behind the name, % before registers, $ before constants, what is
 * written last. */
static void format_att(void **state)
{
	char text[96];

	(void)state;
	assert_int_equal(format_as(VP_SYNTAX_ATT, "\x48\x89\xd8", 3, text, sizeof(text)), 3);
	assert_string_equal(text, "mov %rbx, %rax");
	assert_int_equal(format_as(VP_SYNTAX_ATT, "\xb8\x63\x00\x00\x00", 5, text, sizeof(text)),
			 5);
	assert_string_equal(text, "mov $0x63, %eax");
	assert_int_equal(
		format_as(VP_SYNTAX_ATT, "\xe9\xfb\x0f\x00\x00\x90", 6, text, sizeof(text)), 5);
	assert_string_equal(text, "jmp 0xFFFFFFFF81001000");
	assert_int_equal(format_as(VP_SYNTAX_ATT, "\x06", 1, text, sizeof(text)), -EINVAL);
}

/* Where the numbers of an instruction stand. */
static void fields(void **state)
{
	static const struct {
		const char *bytes;
		int len;
		struct vp_insn_fields f;
	} cases[] = {
		{ "\x53", 1, { 0 } },
		{ "\x48\x8b\x05\xfc\xff\xff\xff",
		  7,
		  { .disp_at = 3, .disp_len = 4, .disp = -4, .rip_relative = true } },
		{ "\x83\x3d\x01\x02\x03\x04\x80",
		  7,
		  { .disp_at = 2,
		    .disp_len = 4,
		    .disp = 0x04030201,
		    .rip_relative = true,
		    .imm_at = 6,
		    .imm_len = 1,
		    .imm = -128 } },
		{ "\x48\x8b\x45\xf8", 4, { .disp_at = 3, .disp_len = 1, .disp = -8 } },
		{ "\x48\x8b\x04\x25\x40\xc3\x01\x00",
		  8,
		  { .disp_at = 4, .disp_len = 4, .disp = 0x1c340 } },
		{ "\x48\xc7\xc7\x00\x00\x00\x81",
		  7,
		  { .imm_at = 3, .imm_len = 4, .imm = -0x7f000000 } },
		{ "\x0f\x84\x02\x00\x00\x00",
		  6,
		  { .imm_at = 2, .imm_len = 4, .imm = 2, .imm_relative = true } },
		{ "\xeb\xfe", 2, { .imm_at = 1, .imm_len = 1, .imm = -2, .imm_relative = true } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct vp_insn_fields *w = &cases[i].f;
		struct vp_insn_fields f;

		assert_int_equal(vp_insn_get_fields((const uint8_t *)cases[i].bytes,
						    (size_t)cases[i].len, VP_GVA(0), &f, NULL),
				 cases[i].len);
		assert_true(f.disp_at == w->disp_at && f.disp_len == w->disp_len &&
			    f.disp == w->disp && f.rip_relative == w->rip_relative);
		assert_true(f.imm_at == w->imm_at && f.imm_len == w->imm_len && f.imm == w->imm &&
			    f.imm_relative == w->imm_relative);
		assert_int_equal(vp_insn_get_fields((const uint8_t *)cases[i].bytes,
						    (size_t)cases[i].len - 1, VP_GVA(0), &f, NULL),
				 -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_bytes),	 cmocka_unit_test(golden_bytes_cut),
		cmocka_unit_test(invalid_bytes), cmocka_unit_test(ambiguous_branches),
		cmocka_unit_test(random_bytes),	 cmocka_unit_test(fields),
		cmocka_unit_test(format),	 cmocka_unit_test(format_att),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
