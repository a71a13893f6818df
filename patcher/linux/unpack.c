/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* Offsets in the setup header, "The Real-Mode Kernel Header" of boot.rst. */
#define HDR_SETUP_SECTS	   0x1f1u
#define HDR_MAGIC	   0x202u
#define HDR_VERSION	   0x206u
#define HDR_PAYLOAD_OFFSET 0x248u
#define HDR_PAYLOAD_LENGTH 0x24cu

#define VERSION_WITH_PAYLOAD 0x208u
#define SECTOR		     512u
#define SIZE_BYTES	     4u /* of the unpacked length, behind the packed bytes */
#define LZMA_MEMORY_MAX	     ((uint64_t)512 << 20)

/* The blocks of the lz4 tool's legacy format ("lz4 -l"). */
#define LZ4_BLOCK_MAX ((size_t)8 << 20)

bool vp_is_bzimage(const struct vp_blob *file)
{
	const uint8_t *p = vp_blob_at(file, HDR_MAGIC, 4);

	return p && !memcmp(p, "HdrS", 4);
}

/* --- one function a format: fill all of @out, or fail -------------------------- */

static bool unpack_gzip(const struct vp_blob *in, uint8_t *out, size_t len)
{
	z_stream z = {
		.next_in = (uint8_t *)(uintptr_t)in->data, /* zlib does not write there */
		.avail_in = (uInt)in->len,
		.next_out = out,
		.avail_out = (uInt)len,
	};
	int rc;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return false;
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return rc == Z_STREAM_END && !z.avail_out;
}

static bool run_lzma(lzma_stream *s, const struct vp_blob *in, uint8_t *out, size_t len)
{
	lzma_ret rc;

	s->next_in = in->data;
	s->avail_in = in->len;
	s->next_out = out;
	s->avail_out = len;
	rc = lzma_code(s, LZMA_FINISH);
	lzma_end(s);
	return (rc == LZMA_STREAM_END || rc == LZMA_OK) && !s->avail_out;
}

static bool unpack_xz(const struct vp_blob *in, uint8_t *out, size_t len)
{
	lzma_stream s = LZMA_STREAM_INIT;

	return lzma_stream_decoder(&s, LZMA_MEMORY_MAX, 0) == LZMA_OK && run_lzma(&s, in, out, len);
}

static bool unpack_lzma(const struct vp_blob *in, uint8_t *out, size_t len)
{
	lzma_stream s = LZMA_STREAM_INIT;

	return lzma_alone_decoder(&s, LZMA_MEMORY_MAX) == LZMA_OK && run_lzma(&s, in, out, len);
}

static bool unpack_zstd(const struct vp_blob *in, uint8_t *out, size_t len)
{
	size_t frame = ZSTD_findFrameCompressedSize(in->data, in->len);

	return !ZSTD_isError(frame) && ZSTD_decompress(out, len, in->data, frame) == len;
}

static bool unpack_lz4(const struct vp_blob *in, uint8_t *out, size_t len)
{
	uint64_t off = 4; /* the magic */
	size_t done = 0;

	while (done < len) {
		size_t room = len - done < LZ4_BLOCK_MAX ? len - done : LZ4_BLOCK_MAX;
		const uint8_t *block;
		uint32_t packed;
		int n;

		if (!vp_blob_u32(in, off, &packed) || packed > INT32_MAX ||
		    !(block = vp_blob_at(in, off + 4, packed)))
			return false;
		n = LZ4_decompress_safe((const char *)block, (char *)out + done, (int)packed,
					(int)room);
		if (n <= 0)
			return false;
		done += (size_t)n;
		off += 4ull + packed;
	}
	return true;
}

static const struct format {
	const char *name;
	uint8_t magic[6];
	uint8_t magic_len;
	bool (*unpack)(const struct vp_blob *in, uint8_t *out, size_t len); /* NULL: cannot */
} formats[] = {
	{ "gzip", { 0x1f, 0x8b }, 2, unpack_gzip },
	{ "xz", { 0xfd, '7', 'z', 'X', 'Z' }, 5, unpack_xz },
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, unpack_zstd },
	{ "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, unpack_lz4 },
	{ "lzma", { 0x5d, 0x00, 0x00 }, 3, unpack_lzma },
	{ "bzip2", { 'B', 'Z', 'h' }, 3, NULL },
	{ "lzo", { 0x89, 'L', 'Z', 'O' }, 4, NULL },
};

/* --- the image ------------------------------------------------------------------ */

static const struct format *find_format(const struct vp_blob *payload)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		const struct format *f = &formats[i];
		const uint8_t *p = vp_blob_at(payload, 0, f->magic_len);

		if (p && !memcmp(p, f->magic, f->magic_len))
			return f;
	}
	return NULL;
}

/* Where the packed kernel is, and how long it is unpacked. False: damaged, or too old to tell. */
static bool find_payload(const struct vp_blob *file, struct vp_blob *payload, uint32_t *unpacked)
{
	uint32_t offset, length;
	uint16_t version;
	uint8_t sectors;
	uint64_t start;

	if (!vp_blob_u16(file, HDR_VERSION, &version) || version < VERSION_WITH_PAYLOAD ||
	    !vp_blob_u8(file, HDR_SETUP_SECTS, &sectors) ||
	    !vp_blob_u32(file, HDR_PAYLOAD_OFFSET, &offset) ||
	    !vp_blob_u32(file, HDR_PAYLOAD_LENGTH, &length))
		return false;
	start = ((sectors ? sectors : 4u) + 1ull) * SECTOR + offset;
	if (length <= SIZE_BYTES || !vp_blob_at(file, start, length))
		return false;
	*payload = (struct vp_blob){ file->data + start, length, 0 };
	return vp_blob_u32(payload, length - SIZE_BYTES, unpacked) && *unpacked &&
	       *unpacked <= VP_UNPACKED_MAX;
}

int vp_bzimage_unpack(const struct vp_blob *file, const char *what, uint8_t **out, size_t *len,
		      struct vp_err *err)
{
	const struct format *f;
	struct vp_blob payload;
	uint32_t unpacked;
	uint8_t *bytes;

	if (!find_payload(file, &payload, &unpacked))
		return vp_err_set(err, -ENOEXEC,
				  "%s: damaged bzImage: its header and its length disagree", what);
	f = find_format(&payload);
	if (!f || !f->unpack)
		return vp_err_set(err, -ENOEXEC,
				  "%s: the kernel in it is packed with %s, which vmpoke cannot "
				  "unpack: give the vmlinux or System.map",
				  what, f ? f->name : "something unknown");
	/* Only gzip has the length as its own last bytes. */
	if (f->unpack != unpack_gzip)
		payload.len -= SIZE_BYTES;
	bytes = malloc(unpacked);
	if (!bytes)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", what);
	if (!f->unpack(&payload, bytes, unpacked)) {
		free(bytes);
		return vp_err_set(err, -ENOEXEC, "%s: damaged bzImage: the %s data does not unpack",
				  what, f->name);
	}
	*out = bytes;
	*len = unpacked;
	return 0;
}
