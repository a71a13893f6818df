/* SPDX-License-Identifier: Apache-2.0 */
/* A keyring: a folder of public keys of minisign, each in a file NAME.pub. */
#ifndef VP_SIGN_KEYRING_H
#define VP_SIGN_KEYRING_H

#include "sign/minisign.h"

#define VP_KEYRING_MAX 256u /* keys */

struct vp_keyring_key {
	char file[256]; /* its name in the folder */
	struct vp_public_key key;
};

struct vp_keyring;

/*
 * Read all of it. Nothing is made of a part: -EKEYREJECTED if the folder or a key cannot be read,
 * if others than root and this user can write there, if there is no key, or two of one number.
 * Files of other names are left alone. -ENOMEM.
 */
int vp_keyring_open(const char *folder, struct vp_keyring **out, struct vp_err *err);
void vp_keyring_close(struct vp_keyring *ring);

/* NULL: it is not in it. */
const struct vp_keyring_key *vp_keyring_find(const struct vp_keyring *ring,
					     const uint8_t number[VP_KEY_NUMBER]);

#endif /* VP_SIGN_KEYRING_H */
