/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of guest memory or of a file, copied, and the one checked accessor to it. Whoever made
 * the bytes may be hostile: nothing here reads outside, and every number is little endian.
 */
#ifndef VP_LINUX_BLOB_H
#define VP_LINUX_BLOB_H

#include <vmpoke/types.h>
#include <string.h>

struct vp_blob {
	const uint8_t *data;
	size_t len;
	uint64_t base; /* the guest-virtual address of data[0]; 0: none */
};

/* @n bytes at offset @off, or NULL: they are not all there. */
static inline const uint8_t *vp_blob_at(const struct vp_blob *b, uint64_t off, uint64_t n)
{
	return off <= b->len && n <= b->len - off ? b->data + off : NULL;
}

/* The numbers at @off. False: they are not all there; @out is untouched. */
static inline bool vp_blob_u8(const struct vp_blob *b, uint64_t off, uint8_t *out)
{
	const uint8_t *p = vp_blob_at(b, off, 1);

	if (p)
		*out = *p;
	return p;
}

static inline bool vp_blob_u16(const struct vp_blob *b, uint64_t off, uint16_t *out)
{
	const uint8_t *p = vp_blob_at(b, off, 2);

	if (p)
		*out = (uint16_t)(p[0] | p[1] << 8);
	return p;
}

static inline bool vp_blob_u32(const struct vp_blob *b, uint64_t off, uint32_t *out)
{
	const uint8_t *p = vp_blob_at(b, off, 4);

	if (p)
		*out = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return p;
}

static inline bool vp_blob_u64(const struct vp_blob *b, uint64_t off, uint64_t *out)
{
	uint32_t low, high;

	if (!vp_blob_at(b, off, 8) || !vp_blob_u32(b, off, &low) || !vp_blob_u32(b, off + 4, &high))
		return false;
	*out = low | (uint64_t)high << 32;
	return true;
}

/* The text at @off, or NULL: its NUL does not come within @max bytes, or within the blob. */
static inline const char *vp_blob_text(const struct vp_blob *b, uint64_t off, size_t max)
{
	const uint8_t *p = vp_blob_at(b, off, 1);

	if (!p)
		return NULL;
	if (max > b->len - off)
		max = b->len - off;
	return memchr(p, 0, max) ? (const char *)p : NULL;
}

/* The part of a blob that is left after @off; empty if nothing is. */
static inline struct vp_blob vp_blob_from(const struct vp_blob *b, uint64_t off)
{
	if (off > b->len)
		off = b->len;
	return (struct vp_blob){ b->data + off, b->len - (size_t)off, b->base + off };
}

#endif /* VP_LINUX_BLOB_H */
