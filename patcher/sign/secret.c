/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define UNTRUSTED "untrusted comment: "

const struct vp_secret_cost vp_secret_cost = {
	crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE,
	crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE,
};

/* What a password hides: all of it is XORed with what scrypt makes. */
struct hidden {
	uint8_t number[VP_KEY_NUMBER];
	uint8_t key[VP_KEY_SECRET];
	uint8_t check[32]; /* BLAKE2b-256 of algorithm, number and key */
};

struct raw {
	char algorithm[2]; /* "Ed" */
	char derived[2];   /* "Sc": by scrypt; two zeros: not encrypted */
	char checked[2];   /* "B2" */
	uint8_t salt[crypto_pwhash_scryptsalsa208sha256_SALTBYTES];
	uint8_t operations[8], bytes[8]; /* little endian */
	struct hidden hidden;
};

/* --- parts ---------------------------------------------------------------------------- */

static int begin(struct vp_err *err)
{
	return sodium_init() < 0 ? vp_err_set(err, -ENODEV, "libsodium cannot be used here") : 0;
}

void vp_secret_wipe(void *data, size_t len)
{
	sodium_memzero(data, len);
}

static void put_number(uint8_t to[8], uint64_t value)
{
	for (size_t i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t from[8])
{
	uint64_t value = 0;

	for (size_t i = 8; i--;)
		value = value << 8 | from[i];
	return value;
}

static void digest(const struct raw *raw, uint8_t out[32])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, 32);
	crypto_generichash_update(&state, (const uint8_t *)raw->algorithm, 2);
	crypto_generichash_update(&state, raw->hidden.number, sizeof(raw->hidden.number));
	crypto_generichash_update(&state, raw->hidden.key, sizeof(raw->hidden.key));
	crypto_generichash_final(&state, out, 32);
	sodium_memzero(&state, sizeof(state));
}

/* Hide what is open, or open what is hidden. */
static int apply_password(struct raw *raw, const char *password, struct vp_err *err)
{
	uint8_t stream[sizeof(raw->hidden)], *hidden = (uint8_t *)&raw->hidden;
	int rc;

	rc = crypto_pwhash_scryptsalsa208sha256(stream, sizeof(stream), password, strlen(password),
						raw->salt, get_number(raw->operations),
						(size_t)get_number(raw->bytes));
	for (size_t i = 0; !rc && i < sizeof(stream); i++)
		hidden[i] ^= stream[i];
	sodium_memzero(stream, sizeof(stream));
	return rc ? vp_err_set(err, -ENOMEM,
			       "the password cannot be tried: that takes %llu MB of memory",
			       (unsigned long long)get_number(raw->bytes) >> 20)
		  : 0;
}

/* --- making ----------------------------------------------------------------------------- */

int vp_secret_key_make(struct vp_secret_key *key, struct vp_public_key *public, struct vp_err *err)
{
	int rc = begin(err);

	if (rc)
		return rc;
	randombytes_buf(key->number, sizeof(key->number));
	memcpy(public->number, key->number, sizeof(public->number));
	crypto_sign_keypair(public->key, key->key);
	return 0;
}

int vp_secret_key_format(const struct vp_secret_key *key, const char *password,
			 const struct vp_secret_cost *cost, char *text, struct vp_err *err)
{
	char base64[sodium_base64_ENCODED_LEN(sizeof(struct raw), sodium_base64_VARIANT_ORIGINAL)];
	struct raw raw = { .algorithm = "Ed", .checked = "B2" };
	int rc = begin(err);

	if (rc)
		return rc;
	memcpy(raw.hidden.number, key->number, sizeof(key->number));
	memcpy(raw.hidden.key, key->key, sizeof(key->key));
	digest(&raw, raw.hidden.check);
	if (password) {
		memcpy(raw.derived, "Sc", 2);
		randombytes_buf(raw.salt, sizeof(raw.salt));
		put_number(raw.operations, cost->operations);
		put_number(raw.bytes, cost->bytes);
		rc = apply_password(&raw, password, err);
	}
	if (!rc) {
		sodium_bin2base64(base64, sizeof(base64), (const uint8_t *)&raw, sizeof(raw),
				  sodium_base64_VARIANT_ORIGINAL);
		snprintf(text, VP_SIGN_FILE_MAX, UNTRUSTED "minisign %s secret key\n%s\n",
			 password ? "encrypted" : "unencrypted", base64);
	}
	sodium_memzero(base64, sizeof(base64));
	sodium_memzero(&raw, sizeof(raw));
	return rc;
}

/* --- reading ------------------------------------------------------------------------------ */

/* Wipe @raw in any case. */
static int parse(const char *text, size_t len, struct raw *raw, bool *locked, struct vp_err *err)
{
	struct vp_sign_text t = { text, len };
	static const char none[2];
	const char *line;
	size_t n;

	*locked = false;
	if (len > VP_SIGN_FILE_MAX || !vp_sign_line(&t, &line, &n) || n < strlen(UNTRUSTED) ||
	    memcmp(line, UNTRUSTED, strlen(UNTRUSTED)) != 0 ||
	    !vp_sign_base64(&t, (uint8_t *)raw, sizeof(*raw)) || t.left)
		return vp_err_set(err, -ENOEXEC, "it is no secret key of minisign");
	*locked = memcmp(raw->derived, "Sc", 2) == 0;
	if (memcmp(raw->algorithm, "Ed", 2) != 0 || memcmp(raw->checked, "B2", 2) != 0 ||
	    (!*locked && memcmp(raw->derived, none, 2) != 0))
		return vp_err_set(err, -ENOEXEC, "it is a key of an unknown algorithm");
	if (*locked && (get_number(raw->operations) > vp_secret_cost.operations ||
			get_number(raw->bytes) > vp_secret_cost.bytes))
		return vp_err_set(err, -ENOEXEC, "its password would take more than %llu MB",
				  (unsigned long long)vp_secret_cost.bytes >> 20);
	return 0;
}

int vp_secret_key_is_locked(const char *text, size_t len, bool *locked, struct vp_err *err)
{
	struct raw raw;
	int rc = parse(text, len, &raw, locked, err);

	sodium_memzero(&raw, sizeof(raw));
	return rc;
}

/*
 * Is it whole? minisign 0.11 leaves the digest of a key without a password zero; but the key's
 * second half is its public one, which follows from the first.
 */
static bool is_whole(const struct raw *raw, bool locked)
{
	uint8_t check[32], public[crypto_sign_PUBLICKEYBYTES], again[crypto_sign_SECRETKEYBYTES];
	bool whole;

	digest(raw, check);
	whole = !sodium_memcmp(check, raw->hidden.check, sizeof(check)) ||
		(!locked && sodium_is_zero(raw->hidden.check, sizeof(raw->hidden.check)));
	crypto_sign_seed_keypair(public, again, raw->hidden.key);
	whole &= !sodium_memcmp(again, raw->hidden.key, sizeof(again));
	sodium_memzero(again, sizeof(again));
	return whole;
}

int vp_secret_key_parse(const char *text, size_t len, const char *password,
			struct vp_secret_key *out, struct vp_err *err)
{
	struct raw raw;
	bool locked = false;
	int rc = begin(err);

	if (!rc)
		rc = parse(text, len, &raw, &locked, err);
	if (!rc && locked)
		rc = password ? apply_password(&raw, password, err)
			      : vp_err_set(err, -EKEYREJECTED, "its password is needed");
	if (!rc && !is_whole(&raw, locked))
		rc = vp_err_set(err, -EKEYREJECTED, "%s",
				locked ? "wrong password, or the key is damaged"
				       : "the key is damaged");
	if (!rc) {
		memcpy(out->number, raw.hidden.number, sizeof(out->number));
		memcpy(out->key, raw.hidden.key, sizeof(out->key));
	}
	sodium_memzero(&raw, sizeof(raw));
	return rc;
}

/* --- signing ------------------------------------------------------------------------------ */

int vp_secret_key_sign(const struct vp_secret_key *key, const uint8_t *bytes, size_t len,
		       struct vp_signature *s, struct vp_err *err)
{
	uint8_t hash[crypto_generichash_BYTES_MAX];
	uint8_t both[VP_SIGNATURE_BYTES + VP_SIGN_COMMENT_MAX];
	size_t n = strlen(s->comment);
	int rc = begin(err);

	if (rc)
		return rc;
	s->prehashed = true;
	memcpy(s->number, key->number, sizeof(s->number));
	crypto_generichash(hash, sizeof(hash), bytes, len, NULL, 0);
	crypto_sign_detached(s->of_bytes, NULL, hash, sizeof(hash), key->key);
	memcpy(both, s->of_bytes, VP_SIGNATURE_BYTES);
	memcpy(both + VP_SIGNATURE_BYTES, s->comment, n);
	crypto_sign_detached(s->of_comment, NULL, both, VP_SIGNATURE_BYTES + n, key->key);
	return 0;
}
