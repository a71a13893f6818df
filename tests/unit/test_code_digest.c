/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "hotfix/digest.h"

#define AT 0xffffffff81000000ull

struct piece {
	const char *bytes;
	size_t len;
};

#define PIECE(text)                    \
	{                              \
		text, sizeof(text) - 1 \
	}

/* The digest of @piece with a `push %rbx` before it and 16 bytes of `pop` behind it. */
static void digest_at(const struct piece *piece, bool first, uint64_t at, uint8_t *out)
{
	struct vp_err err = { "" };
	uint8_t code[64];
	size_t n = 0;

	if (!first)
		code[n++] = 0x53;
	memcpy(code + n, piece->bytes, piece->len);
	memset(code + n + piece->len, 0x5b, 16);
	if (vp_code_digest(code, n + piece->len + 16, VP_GVA(at), out, &err))
		fail_msg("%s", err.text);
}

static bool same(const struct piece *a, const struct piece *b, bool first)
{
	uint8_t x[VP_SHA256_SIZE], y[VP_SHA256_SIZE];

	digest_at(a, first, AT, x);
	digest_at(b, first, AT + 0x1234000, y);
	return !memcmp(x, y, sizeof(x));
}

static const struct pair {
	struct piece a, b;
} equal[] = {
	/* What the kernel rewrites: tracer, static keys, static calls, returns. */
	{ PIECE("\x0f\x1f\x44\x00\x00"), PIECE("\xe8\x01\x02\x03\x04") },
	{ PIECE("\x66\x66\x66\x66\x90"), PIECE("\xe9\x01\x02\x03\x04") },
	{ PIECE("\x0f\x1f\x44\x00\x00"), PIECE("\x2e\x2e\x2e\x31\xc0") },
	{ PIECE("\xe8\x01\x02\x03\x04"), PIECE("\x67\x48\x0f\xb9\x3a") },
	{ PIECE("\xe9\x01\x02\x03\x04"), PIECE("\xc3\xcc\xcc\xcc\xcc") },
	{ PIECE("\x66\x90"), PIECE("\xeb\x05") },
	/* What it rewrites once, for its CPU: features, thunks, popcnt, SMAP, the TSC. */
	{ PIECE("\xeb\x3f\x0f\x1f\x00"), PIECE("\x0f\x1f\x44\x00\x00") },
	{ PIECE("\xeb\x3f\x0f\x1f\x00"), PIECE("\xeb\x3f\x0f\x01\xcb") },
	{ PIECE("\xe8\x01\x02\x03\x04"), PIECE("\xff\xd0\x0f\x1f\x00") },
	{ PIECE("\xe8\x01\x02\x03\x04"), PIECE("\x0f\xae\xe8\xff\xd3") },
	{ PIECE("\xe8\x01\x02\x03\x04"), PIECE("\x41\xff\xd3\x66\x90") },
	{ PIECE("\x2e\xe8\x01\x02\x03\x04"), PIECE("\x41\xff\xd3\x0f\x1f\x00") },
	{ PIECE("\x2e\xe8\x01\x02\x03\x04"), PIECE("\x0f\xae\xe8\x41\xff\xd3") },
	{ PIECE("\xe9\x01\x02\x03\x04"), PIECE("\xff\xe0\xcc\x66\x90") },
	{ PIECE("\xe9\x01\x02\x03\x04"), PIECE("\x0f\xae\xe8\xff\xe3") },
	{ PIECE("\x2e\xe9\x01\x02\x03\x04"), PIECE("\x41\xff\xe3\xcc\x66\x90") },
	{ PIECE("\xe8\x01\x02\x03\x04"), PIECE("\xf3\x48\x0f\xb8\xc7") },
	{ PIECE("\xe8\x01\x02\x03\x04"), PIECE("\xf3\x0f\xb8\xc7\x90") },
	{ PIECE("\x0f\x1f\x00"), PIECE("\x0f\x01\xcb") },
	{ PIECE("\x0f\x1f\x00"), PIECE("\x0f\x01\xca") },
	{ PIECE("\x0f\xae\xe8\x0f\x31"), PIECE("\x0f\x01\xf9\x66\x90") },
	{ PIECE("\x0f\xae\xe8\x0f\x31"), PIECE("\x0f\x31\x0f\x1f\x00") },
	{ PIECE("\x48\xba\x00\xf0\xff\xff\xff\x7f\x00\x00"),
	  PIECE("\x48\xba\x00\xf0\xff\xff\xff\xff\xff\x00") },
	/* How far the kernel has moved. */
	{ PIECE("\x48\xba\x00\x00\x91\x08\x00\x00\x00\x00"),
	  PIECE("\x48\xba\x00\x00\xf1\x31\x00\x00\x00\x00") },
	{ PIECE("\x48\xc7\xc3\x00\x00\x60\x05"), PIECE("\x48\xc7\xc3\x00\x00\xc0\x2e") },
	/* Addresses: relative to RIP, whole, sign extended, of 64 bits; a jcc out of the function. */
	{ PIECE("\x48\x8b\x05\x01\x02\x03\x04"), PIECE("\x48\x8b\x05\x05\x06\x07\x08") },
	{ PIECE("\x83\x3d\x01\x02\x03\x04\x07"), PIECE("\x83\x3d\x11\x12\x13\x14\x07") },
	{ PIECE("\x48\xc7\xc7\x00\x00\x00\x81"), PIECE("\x48\xc7\xc7\x00\x40\x23\x82") },
	{ PIECE("\xbf\x00\x00\x00\x81"), PIECE("\xbf\x00\x40\x23\xc2") },
	{ PIECE("\x48\x8b\x04\xc5\x00\x00\x00\x81"), PIECE("\x48\x8b\x04\xc5\x00\x40\x23\xa2") },
	{ PIECE("\x48\xb8\x00\x00\x00\x81\xff\xff\xff\xff"),
	  PIECE("\x48\xb8\x00\x00\x00\xc1\xff\xff\xff\xff") },
	{ PIECE("\x0f\x84\x00\x10\x00\x00"), PIECE("\x0f\x84\x00\x20\x00\x00") },
}, different[] = {
	{ PIECE("\x0f\x84\x01\x00\x00\x00"), PIECE("\x0f\x84\x02\x00\x00\x00") }, /* inside */
	{ PIECE("\x0f\x84\x00\x10\x00\x00"), PIECE("\x0f\x85\x00\x10\x00\x00") },
	{ PIECE("\x74\x01"), PIECE("\x74\x02") },
	{ PIECE("\x66\x90"), PIECE("\x90\x90") },
	{ PIECE("\x0f\x1f\x00"), PIECE("\x90\x66\x90") }, /* nops of other lengths are code */
	{ PIECE("\xc3\xcc"), PIECE("\xc3\x90") },
	{ PIECE("\xff\xd0"), PIECE("\xff\xd1") }, /* an indirect branch of the code's own */
	{ PIECE("\xff\xe0\xcc"), PIECE("\xff\xe1\xcc") },
	{ PIECE("\xff\x10\x0f\x1f\x00"), PIECE("\xff\x13\x0f\x1f\x00") },
	{ PIECE("\x0f\xae\xe8"), PIECE("\x0f\xae\xf0") },
	{ PIECE("\xf3\x48\x0f\xb8\xc6"), PIECE("\xf3\x48\x0f\xb8\xc7") },
	{ PIECE("\x48\xc7\xc0\xff\xff\xff\xff"), PIECE("\x48\xc7\xc0\xfe\xff\xff\xff") },
	{ PIECE("\x48\xc7\x03\x01\x00\x00\x00"), PIECE("\x48\xc7\x03\x02\x00\x00\x00") },
	{ PIECE("\xb8\x01\x00\x00\x00"), PIECE("\xb8\x02\x00\x00\x00") },
	{ PIECE("\xb8\xff\xff\xff\xff"), PIECE("\xb8\xfe\xff\xff\xff") },
	{ PIECE("\x48\x8b\x85\x00\xff\xff\xff"), PIECE("\x48\x8b\x85\x08\xff\xff\xff") },
	{ PIECE("\x65\x48\x8b\x04\x25\x40\xc3\x01\x00"),
	  PIECE("\x65\x48\x8b\x04\x25\x48\xc3\x01\x00") },
	{ PIECE("\x48\x8b\x05\x01\x02\x03\x04"), PIECE("\x48\x8b\x0d\x01\x02\x03\x04") },
	{ PIECE("\x83\x3d\x01\x02\x03\x04\x07"), PIECE("\x83\x3d\x01\x02\x03\x04\x08") },
	{ PIECE("\xf3\x0f\x1e\xfa"), PIECE("\x0f\x1f\x40\x00") }, /* not at the beginning */
	{ PIECE("\x90"), PIECE("\x90\x90") },
};

static void pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(equal) / sizeof(*equal); i++)
		if (!same(&equal[i].a, &equal[i].b, i % 2))
			fail_msg("pair %zu differs", i);
	for (size_t i = 0; i < sizeof(different) / sizeof(*different); i++)
		if (same(&different[i].a, &different[i].b, false))
			fail_msg("different pair %zu is the same", i);
	assert_true(same(&(struct piece)PIECE("\xf3\x0f\x1e\xfa"),
			 &(struct piece)PIECE("\x0f\x1f\x40\x00"), true));
}

/* The format is kept: an object that was made long ago says what it expects. */
static void golden(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x1f, 0x44, 0, 0, 0x53, 0x48, 0x8b,
					0x05, 1,    2,	  3, 4, 0x5b, 0xc3 };
	/* sha256 of: "vmpoke-code-1\0", 15 as 8 bytes, and 5 1 0*5 | 1 0 53 | 7 0 488b05 0*4 |
	 * 1 0 5b | 1 0 c3 */
	uint8_t text[14 + 8 + 7 + 3 + 9 + 3 + 3] = "vmpoke-code-1", *p = text + 14;
	uint8_t out[VP_SHA256_SIZE], expected[VP_SHA256_SIZE];
	struct vp_sha256 sha;

	(void)state;
	p[0] = 15;
	memcpy(p + 8, "\x05\x01\0\0\0\0\0\x01\0\x53\x07\0\x48\x8b\x05\0\0\0\0\x01\0\x5b\x01\0\xc3",
	       25);
	vp_sha256_init(&sha);
	vp_sha256_add(&sha, text, sizeof(text));
	vp_sha256_end(&sha, expected);
	assert_int_equal(vp_code_digest(code, sizeof(code), VP_GVA(AT), out, NULL), 0);
	assert_memory_equal(out, expected, sizeof(out));
}

static void refused(void **state)
{
	struct vp_err err = { "" };
	uint8_t out[VP_SHA256_SIZE];

	(void)state;
	assert_int_equal(vp_code_digest((const uint8_t *)"", 0, VP_GVA(AT), out, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no code"));
	assert_int_equal(vp_code_digest((const uint8_t *)"\x90\xe8\0\0", 4, VP_GVA(AT), out, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "does not end"));
	assert_int_equal(vp_code_digest((const uint8_t *)"\x06", 1, VP_GVA(AT), out, &err),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs),
		cmocka_unit_test(golden),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
