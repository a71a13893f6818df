/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4): where a digest is kept in a file of others and compared much later. */
#ifndef VP_BASE_SHA256_H
#define VP_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define VP_SHA256_SIZE 32

struct vp_sha256 {
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	uint8_t block[64];
};

void vp_sha256_init(struct vp_sha256 *sha);
void vp_sha256_add(struct vp_sha256 *sha, const void *bytes, size_t n);

/* The end: @sha cannot be added to any more. */
void vp_sha256_end(struct vp_sha256 *sha, uint8_t out[VP_SHA256_SIZE]);

#endif /* VP_BASE_SHA256_H */
