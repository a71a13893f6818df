/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from others when hotfixes are signed: public keys, secret keys, signatures, their
 * comments, objects with a signature in them. Whatever it is, it is refused with a reason, or it
 * says the same when it is written and read again.
 */
#include <errno.h>
#include <string.h>

#include "sign/embedded.h"
#include "sign/secret.h"
#include "sign/terms.h"
#include "tests/fuzz/fuzz.h"

static char text[VP_SIGN_FILE_MAX];

static void try_public(const char *data, size_t size)
{
	struct vp_public_key key, again;
	struct vp_err err = { "" };
	int rc = vp_public_key_parse(data, size, &key, &err);

	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0]));
	if (rc)
		return;
	FUZZ_CHECK(!vp_public_key_parse(text, vp_public_key_format(&key, text), &again, &err));
	FUZZ_CHECK(!memcmp(&key, &again, sizeof(key)));
}

static void try_terms(const char *comment)
{
	struct vp_err err = { "" };
	struct vp_terms t;
	int rc = vp_terms_parse(comment, &t, &err);

	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0]));
	if (rc)
		return;
	FUZZ_CHECK(t.made >= 0 && t.ends >= 0 && !t.ends == !t.ends_text[0]);
	/* Who wants an end gets one. */
	FUZZ_CHECK(strncmp(comment, "expires:", 8) || t.ends);
	FUZZ_CHECK(!t.ends || vp_terms_check(&t, t.ends, &err) == -EKEYREJECTED);
}

static void try_signature(const char *data, size_t size)
{
	struct vp_signature s, again;
	struct vp_err err = { "" };
	int rc = vp_signature_parse(data, size, &s, &err);

	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0]));
	if (rc)
		return;
	FUZZ_CHECK(strlen(s.comment) <= VP_SIGN_COMMENT_MAX && !strchr(s.comment, '\n'));
	try_terms(s.comment);
	FUZZ_CHECK(!vp_signature_parse(text, vp_signature_format(&s, text), &again, &err));
	FUZZ_CHECK(s.prehashed == again.prehashed && !strcmp(s.comment, again.comment));
	FUZZ_CHECK(!memcmp(s.of_bytes, again.of_bytes, sizeof(s.of_bytes)));
	FUZZ_CHECK(!memcmp(s.of_comment, again.of_comment, sizeof(s.of_comment)));
	FUZZ_CHECK(!memcmp(s.number, again.number, sizeof(s.number)));
}

/* One that has a password is not tried: that takes long, and is not ours. */
static void try_secret(const char *data, size_t size)
{
	struct vp_secret_key key;
	struct vp_err err = { "" };
	bool locked;
	int rc = vp_secret_key_is_locked(data, size, &locked, &err);

	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0]));
	if (rc || locked)
		return;
	rc = vp_secret_key_parse(data, size, NULL, &key, &err);
	FUZZ_CHECK(!rc || (rc == -EKEYREJECTED && err.text[0]));
	if (rc)
		return;
	FUZZ_CHECK(!vp_secret_key_format(&key, NULL, &vp_secret_cost, text, &err));
}

static void try_embedded(const uint8_t *data, size_t size)
{
	struct vp_embedded parts;
	struct vp_err err = { "" };
	int rc = vp_embedded_split(data, size, &parts, &err);

	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0]));
	if (rc || !parts.signature)
		return;
	FUZZ_CHECK(parts.len < size && parts.signature == (const char *)data + parts.len);
	FUZZ_CHECK(parts.signature_len <= VP_SIGN_FILE_MAX &&
		   parts.signature_len < size - parts.len);
	try_signature(parts.signature, parts.signature_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *comment = malloc(size + 1);

	if (!comment)
		return 0;
	memcpy(comment, data, size);
	comment[size] = '\0';
	try_public(comment, size);
	try_secret(comment, size);
	try_signature(comment, size);
	try_terms(comment);
	try_embedded(data, size);
	free(comment);
	return 0;
}
