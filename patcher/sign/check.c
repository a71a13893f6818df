/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/check.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "sign/terms.h"

static bool is_of_comment(const struct vp_signature *s, const struct vp_public_key *key)
{
	uint8_t both[VP_SIGNATURE_BYTES + VP_SIGN_COMMENT_MAX];
	size_t n = strlen(s->comment);

	memcpy(both, s->of_bytes, VP_SIGNATURE_BYTES);
	memcpy(both + VP_SIGNATURE_BYTES, s->comment, n);
	return !crypto_sign_verify_detached(s->of_comment, both, VP_SIGNATURE_BYTES + n, key->key);
}

static bool is_of_bytes(const struct vp_signature *s, const struct vp_public_key *key,
			const uint8_t *bytes, size_t len)
{
	uint8_t hash[crypto_generichash_BYTES_MAX];

	if (!s->prehashed)
		return !crypto_sign_verify_detached(s->of_bytes, bytes, len, key->key);
	crypto_generichash(hash, sizeof(hash), bytes, len, NULL, 0);
	return !crypto_sign_verify_detached(s->of_bytes, hash, sizeof(hash), key->key);
}

/* Was it made for a file of another name? Only to say so: what counts is what was signed. */
static bool is_named(const struct vp_terms *terms, const char *what)
{
	const char *slash = strrchr(what, '/'), *name = slash ? slash + 1 : what;

	return terms->file[0] && strcmp(terms->file, name) != 0;
}

/* By the key @k, which has the signature's number. */
static int check_by(const struct vp_keyring_key *k, const struct vp_signed *s,
		    const struct vp_signature *sig, int64_t now, struct vp_err *err)
{
	struct vp_terms terms;
	bool bytes = is_of_bytes(sig, &k->key, s->bytes, s->len);
	int rc;

	if (!is_of_comment(sig, &k->key))
		return vp_err_set(err, -EKEYREJECTED,
				  bytes ? "its trusted comment was altered: the key %.60s has not "
					  "signed it"
					: "its signature was altered, or is not of the key %.60s, "
					  "whose number it has",
				  k->file);
	rc = vp_terms_parse(sig->comment, &terms, err);
	if (rc)
		return rc;
	if (!bytes && is_named(&terms, s->what))
		return vp_err_set(err, -EKEYREJECTED, "its signature is of another object, %.80s",
				  terms.file);
	if (!bytes)
		return vp_err_set(err, -EKEYREJECTED,
				  "it was altered: these are not the bytes that %.80s has signed",
				  k->file);
	return vp_terms_check(&terms, now, err);
}

static int check_ring(const char *folder, const struct vp_signed *s, const struct vp_signature *sig,
		      int64_t now, struct vp_signer *out, struct vp_err *err)
{
	const struct vp_keyring_key *k;
	char number[VP_KEY_TEXT];
	struct vp_keyring *ring;
	int rc = vp_keyring_open(folder, &ring, err);

	if (rc)
		return rc;
	k = vp_keyring_find(ring, sig->number);
	rc = k ? check_by(k, s, sig, now, err)
	       : vp_err_set(err, -EKEYREJECTED,
			    "it is signed by the key %s, which is not in the keyring %.100s",
			    vp_key_text(sig->number, number), folder);
	if (!rc) {
		out->known = true;
		vp_key_text(sig->number, out->key);
		vp_text_copy(out->file, sizeof(out->file), k->file);
	}
	vp_keyring_close(ring);
	return rc;
}

/* Nothing there is the one thing that means that no keyring is configured. */
static bool has_system(const char *folder)
{
	struct stat st;

	return !lstat(folder, &st) || errno != ENOENT;
}

/* @rings: ends with NULL; one at least. */
static int check_rings(const char *const *rings, const struct vp_signed *s, int64_t now,
		       struct vp_signer *out, struct vp_err *err)
{
	struct vp_signature sig;
	int rc = 0;

	if (!s->signature)
		return vp_err_set(err, -EKEYREJECTED,
				  "it is not signed, and the keyring %.100s wants that: `vmpoke "
				  "hotfix sign`",
				  *rings);
	if (sodium_init() < 0)
		return vp_err_set(err, -EKEYREJECTED, "libsodium cannot be used here");
	rc = vp_signature_parse(s->signature, s->signature_len, &sig, err);
	for (; *rings && !rc; rings++)
		rc = check_ring(*rings, s, &sig, now, out, err);
	if (!rc) {
		snprintf(out->comment, sizeof(out->comment), "%s", sig.comment);
		for (char *c = out->comment; (c = strchr(c, '\t'));)
			*c = ' ';
		vp_text_clean(out->comment);
	}
	return rc;
}

int vp_keyrings_check(const struct vp_keyrings *keyrings, const struct vp_signed *s, int64_t now,
		      struct vp_signer *out, struct vp_err *err)
{
	const char *system = keyrings->system ? keyrings->system : VP_SYSTEM_KEYRING;
	const char *rings[3] = { NULL };
	size_t n = 0;
	int rc;

	*out = (struct vp_signer){ 0 };
	if (has_system(system))
		rings[n++] = system;
	if (keyrings->own)
		rings[n++] = keyrings->own;
	rc = n ? check_rings(rings, s, now, out, err) : 0;
	if (!rc)
		return 0;
	*out = (struct vp_signer){ 0 };
	return rc == -ENOMEM ? rc : -EKEYREJECTED;
}
