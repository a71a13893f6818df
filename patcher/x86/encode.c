/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/encode.h"

#include <errno.h>
#include <string.h>

#define NOP_TABLE_MAX 9

/* SDM vol. 2, NOP, "Recommended Multi-Byte Sequence of NOP Instruction". */
static const uint8_t nops[NOP_TABLE_MAX][NOP_TABLE_MAX] = {
	{ 0x90 },
	{ 0x66, 0x90 },
	{ 0x0f, 0x1f, 0x00 },
	{ 0x0f, 0x1f, 0x40, 0x00 },
	{ 0x0f, 0x1f, 0x44, 0x00, 0x00 },
	{ 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
	{ 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
	{ 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	{ 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
};

int vp_encode_nop(uint8_t *out, size_t len)
{
	size_t pad;

	if (len < 1 || len > VP_INSN_MAX)
		return -EINVAL;
	if (len <= NOP_TABLE_MAX) {
		memcpy(out, nops[len - 1], len);
		return (int)len;
	}
	/* As assemblers do it: data16 prefixes, then cs, then the 8-byte nop. */
	pad = len - 8;
	memset(out, 0x66, pad - 1);
	out[pad - 1] = 0x2e;
	memcpy(out + pad, nops[7], 8);
	return (int)len;
}

/* opcode and displacement of a direct branch: 2 bytes (rel8) or 5 (rel32), little endian */
static int encode_rel(uint8_t *out, uint8_t opcode, size_t len, vp_gva at, vp_gva to)
{
	int64_t disp = (int64_t)(to.v - (at.v + len));

	if (len == 2 ? disp != (int8_t)disp : disp != (int32_t)disp)
		return -ERANGE;
	out[0] = opcode;
	for (size_t i = 1; i < len; i++)
		out[i] = (uint8_t)((uint64_t)disp >> (8 * (i - 1)));
	return (int)len;
}

int vp_encode_jmp(uint8_t *out, size_t len, vp_gva at, vp_gva to)
{
	switch (len) {
	case 2:
		return encode_rel(out, 0xeb, len, at, to);
	case 5:
		return encode_rel(out, 0xe9, len, at, to);
	default:
		return -EINVAL;
	}
}

int vp_encode_call(uint8_t *out, vp_gva at, vp_gva to)
{
	return encode_rel(out, 0xe8, 5, at, to);
}
