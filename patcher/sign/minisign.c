/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/minisign.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define UNTRUSTED "untrusted comment: "
#define TRUSTED	  "trusted comment: "

/* --- lines -------------------------------------------------------------------------- */

bool vp_sign_line(struct vp_sign_text *text, const char **line, size_t *len)
{
	const char *end = text->left ? memchr(text->at, '\n', text->left) : NULL;

	*line = text->at;
	*len = end ? (size_t)(end - text->at) : text->left;
	if (!text->left)
		return false;
	text->at += *len + !!end;
	text->left -= *len + !!end;
	return true;
}

bool vp_sign_base64(struct vp_sign_text *text, uint8_t *out, size_t want)
{
	const char *line, *end;
	size_t len, n;

	return vp_sign_line(text, &line, &len) &&
	       !sodium_base642bin(out, want, line, len, NULL, &n, &end,
				  sodium_base64_VARIANT_ORIGINAL) &&
	       n == want && end == line + len;
}

static bool begins(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && !memcmp(line, with, strlen(with));
}

/* Nobody believes it; but a file without it is something else. */
static bool skip_untrusted(struct vp_sign_text *text)
{
	const char *line;
	size_t len;

	return vp_sign_line(text, &line, &len) && begins(line, len, UNTRUSTED);
}

/* --- public keys ----------------------------------------------------------------------- */

struct raw_key {
	char algorithm[2];
	uint8_t number[VP_KEY_NUMBER];
	uint8_t key[VP_KEY_PUBLIC];
};

int vp_public_key_parse(const char *text, size_t len, struct vp_public_key *out, struct vp_err *err)
{
	struct vp_sign_text t = { text, len };
	struct raw_key raw;

	if (len > VP_SIGN_FILE_MAX || !skip_untrusted(&t) ||
	    !vp_sign_base64(&t, (uint8_t *)&raw, sizeof(raw)) || t.left)
		return vp_err_set(err, -ENOEXEC, "it is no public key of minisign");
	if (memcmp(raw.algorithm, "Ed", 2) != 0)
		return vp_err_set(err, -ENOEXEC, "it is a key of an unknown algorithm");
	memcpy(out->number, raw.number, sizeof(raw.number));
	memcpy(out->key, raw.key, sizeof(raw.key));
	return 0;
}

const char *vp_key_text(const uint8_t number[VP_KEY_NUMBER], char text[VP_KEY_TEXT])
{
	for (size_t i = 0; i < VP_KEY_NUMBER; i++) /* little endian */
		snprintf(text + 2 * i, 3, "%02X", number[VP_KEY_NUMBER - 1 - i]);
	return text;
}

size_t vp_public_key_format(const struct vp_public_key *key, char *text)
{
	char base64[sodium_base64_ENCODED_LEN(sizeof(struct raw_key),
					      sodium_base64_VARIANT_ORIGINAL)];
	struct raw_key raw = { .algorithm = "Ed" };
	char number[VP_KEY_TEXT];

	memcpy(raw.number, key->number, sizeof(raw.number));
	memcpy(raw.key, key->key, sizeof(raw.key));
	sodium_bin2base64(base64, sizeof(base64), (const uint8_t *)&raw, sizeof(raw),
			  sodium_base64_VARIANT_ORIGINAL);
	return (size_t)snprintf(text, VP_SIGN_FILE_MAX, UNTRUSTED "minisign public key %s\n%s\n",
				vp_key_text(key->number, number), base64);
}

/* --- signatures -------------------------------------------------------------------------- */

struct raw_signature {
	char algorithm[2];
	uint8_t number[VP_KEY_NUMBER];
	uint8_t bytes[VP_SIGNATURE_BYTES];
};

static int parse_comment(struct vp_sign_text *t, struct vp_signature *out, struct vp_err *err)
{
	const char *line;
	size_t len;

	if (!vp_sign_line(t, &line, &len) || !begins(line, len, TRUSTED))
		return vp_err_set(err, -ENOEXEC, "its signature has no trusted comment");
	line += strlen(TRUSTED);
	len -= strlen(TRUSTED);
	if (len > VP_SIGN_COMMENT_MAX)
		return vp_err_set(err, -ENOEXEC, "its trusted comment has more than %u bytes",
				  VP_SIGN_COMMENT_MAX);
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
			return vp_err_set(err, -ENOEXEC,
					  "its trusted comment has control characters");
	memcpy(out->comment, line, len);
	out->comment[len] = '\0';
	return 0;
}

int vp_signature_parse(const char *text, size_t len, struct vp_signature *out, struct vp_err *err)
{
	struct vp_sign_text t = { text, len };
	struct raw_signature raw;
	int rc;

	if (len > VP_SIGN_FILE_MAX || !skip_untrusted(&t) ||
	    !vp_sign_base64(&t, (uint8_t *)&raw, sizeof(raw)))
		return vp_err_set(err, -ENOEXEC, "what is to be its signature is none of minisign");
	if (memcmp(raw.algorithm, "ED", 2) != 0 && memcmp(raw.algorithm, "Ed", 2) != 0)
		return vp_err_set(err, -ENOEXEC, "its signature is of an unknown algorithm");
	rc = parse_comment(&t, out, err);
	if (rc)
		return rc;
	if (!vp_sign_base64(&t, out->of_comment, sizeof(out->of_comment)) || t.left)
		return vp_err_set(err, -ENOEXEC, "its signature is damaged at its end");
	out->prehashed = raw.algorithm[1] == 'D';
	memcpy(out->number, raw.number, sizeof(raw.number));
	memcpy(out->of_bytes, raw.bytes, sizeof(raw.bytes));
	return 0;
}

size_t vp_signature_format(const struct vp_signature *s, char *text)
{
	char first[sodium_base64_ENCODED_LEN(sizeof(struct raw_signature),
					     sodium_base64_VARIANT_ORIGINAL)];
	char second[sodium_base64_ENCODED_LEN(VP_SIGNATURE_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	struct raw_signature raw = { .algorithm = { 'E', s->prehashed ? 'D' : 'd' } };
	char number[VP_KEY_TEXT];

	memcpy(raw.number, s->number, sizeof(raw.number));
	memcpy(raw.bytes, s->of_bytes, sizeof(raw.bytes));
	sodium_bin2base64(first, sizeof(first), (const uint8_t *)&raw, sizeof(raw),
			  sodium_base64_VARIANT_ORIGINAL);
	sodium_bin2base64(second, sizeof(second), s->of_comment, sizeof(s->of_comment),
			  sodium_base64_VARIANT_ORIGINAL);
	return (size_t)snprintf(text, VP_SIGN_FILE_MAX,
				UNTRUSTED "signature by the key %s\n%s\n" TRUSTED "%s\n%s\n",
				vp_key_text(s->number, number), first, s->comment, second);
}
