/* SPDX-License-Identifier: Apache-2.0 */
/* May this object be used? What is not signed by a key of every keyring that is configured is not.
 */
#ifndef VP_SIGN_CHECK_H
#define VP_SIGN_CHECK_H

#include "sign/keyring.h"

/*
 * The keyrings: folders of public keys. Whose folder is given is asked; one key has to be in all of
 * them, so that nothing that a user says takes away from what the system wants.
 */
struct vp_keyrings {
	const char *own;    /* NULL: none. One that is not there refuses all */
	const char *system; /* NULL: VP_SYSTEM_KEYRING. One that is not there asks for nothing */
};
#define VP_SYSTEM_KEYRING "/etc/vmpoke/keyring"

/* Borrowed. */
struct vp_signed {
	const char *what; /* the object's path: its last part is its name */
	const uint8_t *bytes;
	size_t len;
	const char *signature; /* the text of a .minisig; NULL: there is none */
	size_t signature_len;
};

struct vp_signer {
	bool known; /* else nobody asked, and nothing was checked */
	char key[VP_KEY_TEXT];
	char file[256];			       /* of the keyring; printable */
	char comment[VP_SIGN_COMMENT_MAX + 1]; /* the trusted one; printable */
};

/*
 * Hold @s against the keyrings, at @now (seconds since 1970). -EKEYREJECTED: refused, for whatever
 * reason, which is one line in @err, without the object's name; -ENOMEM.
 */
int vp_keyrings_check(const struct vp_keyrings *keyrings, const struct vp_signed *s, int64_t now,
		      struct vp_signer *out, struct vp_err *err);

#endif /* VP_SIGN_CHECK_H */
