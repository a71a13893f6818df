/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signature in the file that it is of: behind the object's bytes stand those of its .minisig, and
 * then one line, "vmpoke-signed-object NNNNNNNNNN", with how many bytes the object has. Pure.
 */
#ifndef VP_SIGN_EMBEDDED_H
#define VP_SIGN_EMBEDDED_H

#include <vmpoke/types.h>

/* A file's two parts, both of which lie in it. */
struct vp_embedded {
	size_t len;	       /* of the object, which is at its begin */
	const char *signature; /* NULL: there is none in it */
	size_t signature_len;
};

/* -ENOEXEC: there is a last line of that kind, but it cannot be right. */
int vp_embedded_split(const uint8_t *file, size_t len, struct vp_embedded *out, struct vp_err *err);

/* The file of both, malloc()ed; NULL: no memory. */
uint8_t *vp_embedded_join(const uint8_t *object, size_t len, const char *signature,
			  size_t signature_len, size_t *out_len);

#endif /* VP_SIGN_EMBEDDED_H */
