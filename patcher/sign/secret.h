/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret keys as minisign keeps them, and what is done with one. Whoever has a struct
 * vp_secret_key wipes it when it has been used.
 */
#ifndef VP_SIGN_SECRET_H
#define VP_SIGN_SECRET_H

#include "sign/minisign.h"

#define VP_KEY_SECRET 64u

struct vp_secret_key {
	uint8_t number[VP_KEY_NUMBER];
	uint8_t key[VP_KEY_SECRET];
};

/* What it takes to try a password: of scrypt. */
struct vp_secret_cost {
	uint64_t operations, bytes;
};
extern const struct vp_secret_cost vp_secret_cost; /* as minisign: 1 GB, seconds */

/* A new one, with its public half. -ENODEV: no random numbers. */
int vp_secret_key_make(struct vp_secret_key *key, struct vp_public_key *public, struct vp_err *err);

void vp_secret_wipe(void *data, size_t len);

/*
 * As a file; @text has VP_SIGN_FILE_MAX bytes and gets a NUL; to be wiped. @password NULL: it is
 * not encrypted. -ENOMEM: scrypt did not get its memory.
 */
int vp_secret_key_format(const struct vp_secret_key *key, const char *password,
			 const struct vp_secret_cost *cost, char *text, struct vp_err *err);

/* Does the key in this file want a password? -ENOEXEC: it is none that is known. */
int vp_secret_key_is_locked(const char *text, size_t len, bool *locked, struct vp_err *err);

/* Read it. -ENOEXEC: it is none; -EKEYREJECTED: wrong password, or damaged; -ENOMEM. */
int vp_secret_key_parse(const char *text, size_t len, const char *password,
			struct vp_secret_key *out, struct vp_err *err);

/* Sign @bytes, prehashed, with s->comment, which is filled in before; the rest of @s is set. */
int vp_secret_key_sign(const struct vp_secret_key *key, const uint8_t *bytes, size_t len,
		       struct vp_signature *s, struct vp_err *err);

#endif /* VP_SIGN_SECRET_H */
