/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a, 64 bits: tells what was damaged or differs, not what was forged. */
#ifndef VP_BASE_DIGEST_H
#define VP_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define VP_DIGEST_INIT 0xcbf29ce484222325ull

/* @digest with @n more bytes. */
static inline uint64_t vp_digest(uint64_t digest, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		digest = (digest ^ p[i]) * 0x100000001b3ull;
	return digest;
}

#endif /* VP_BASE_DIGEST_H */
