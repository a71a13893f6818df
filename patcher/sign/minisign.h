/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of minisign: public keys and signatures, read with suspicion, and written. Pure.
 *
 * A public key:  a line of comment, then base64 of "Ed", the key's number (8 bytes), the key (32).
 * A signature:   a line of comment; base64 of the algorithm, the key's number, the signature (64);
 *                "trusted comment: ..."; base64 of the signature (64) of signature and comment.
 * The algorithm: "ED": what is signed is BLAKE2b-512 of the bytes; "Ed", older: the bytes.
 */
#ifndef VP_SIGN_MINISIGN_H
#define VP_SIGN_MINISIGN_H

#include <vmpoke/types.h>

#define VP_KEY_NUMBER	   8u
#define VP_KEY_PUBLIC	   32u
#define VP_SIGNATURE_BYTES 64u

/* The bytes of such files, and of a trusted comment, at the most. */
#define VP_SIGN_FILE_MAX    4096u
#define VP_SIGN_COMMENT_MAX 1024u

struct vp_public_key {
	uint8_t number[VP_KEY_NUMBER];
	uint8_t key[VP_KEY_PUBLIC];
};

struct vp_signature {
	bool prehashed;
	uint8_t number[VP_KEY_NUMBER]; /* of the key */
	uint8_t of_bytes[VP_SIGNATURE_BYTES];
	uint8_t of_comment[VP_SIGNATURE_BYTES];
	char comment[VP_SIGN_COMMENT_MAX + 1]; /* the trusted one; no control character but tabs */
};

/* -ENOEXEC: it is none; @err: why. */
int vp_public_key_parse(const char *text, size_t len, struct vp_public_key *out,
			struct vp_err *err);
int vp_signature_parse(const char *text, size_t len, struct vp_signature *out, struct vp_err *err);

/* As files; @text has VP_SIGN_FILE_MAX bytes and gets a NUL. The length. */
size_t vp_public_key_format(const struct vp_public_key *key, char *text);
size_t vp_signature_format(const struct vp_signature *s, char *text);

/* A key's number as minisign shows it. */
#define VP_KEY_TEXT 17u
const char *vp_key_text(const uint8_t number[VP_KEY_NUMBER], char text[VP_KEY_TEXT]);

/* --- lines and base64, for secret keys, too ------------------------------------------- */

/* Text that is taken apart from its begin. */
struct vp_sign_text {
	const char *at;
	size_t left;
};

/* The next line, without its end. False: there is none. */
bool vp_sign_line(struct vp_sign_text *text, const char **line, size_t *len);

/* The next line is base64 of exactly @want bytes? */
bool vp_sign_base64(struct vp_sign_text *text, uint8_t *out, size_t want);

#endif /* VP_SIGN_MINISIGN_H */
