/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "base/sha256.h"

/* @text of @bytes, added in pieces of @piece. */
static void is(const void *bytes, size_t n, size_t piece, const char *text)
{
	uint8_t out[VP_SHA256_SIZE];
	char hex[2 * VP_SHA256_SIZE + 1];
	struct vp_sha256 sha;

	vp_sha256_init(&sha);
	for (size_t at = 0; at < n; at += piece)
		vp_sha256_add(&sha, (const uint8_t *)bytes + at, n - at < piece ? n - at : piece);
	vp_sha256_end(&sha, out);
	for (size_t i = 0; i < sizeof(out); i++)
		snprintf(hex + 2 * i, 3, "%02x", out[i]);
	assert_string_equal(hex, text);
}

/* The examples of FIPS 180-4, and a million of one letter. */
static void examples(void **state)
{
	static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	char *million = malloc(1000000);

	(void)state;
	is("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	is("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	for (size_t piece = 1; piece < sizeof(two); piece++)
		is(two, sizeof(two) - 1, piece,
		   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_non_null(million);
	memset(million, 'a', 1000000);
	for (size_t piece = 63; piece < 66; piece++)
		is(million, 1000000, piece,
		   "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(examples) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
