/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/decode.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Prefixes that keep an instruction from being what its opcode says.
 *
 * Branches: 66 (Intel ignores it, AMD makes the displacement 16 bits), 67, fs and gs, lock,
 * bnd/xacquire/xrelease. What remains, REX and the four null segment prefixes, is ignored (cs
 * and ds are hints on jcc; compilers pad branches with cs).
 *
 * The others: f3 makes a pause of a nop; f2 and lock are reserved. 66 is looked at by width.
 */
static const uint8_t branch_spoilers[] = { 0x66, 0x67, 0x64, 0x65, 0xf0, 0xf2, 0xf3 };
static const uint8_t plain_spoilers[] = { 0xf0, 0xf2, 0xf3 };

static bool has_prefix(const ZydisDecodedInstruction *in, const uint8_t *set, size_t n)
{
	for (size_t i = 0; i < in->raw.prefix_count; i++)
		if (memchr(set, in->raw.prefixes[i].value, n))
			return true;
	return false;
}

static enum vp_insn_kind branch_kind(const ZydisDecodedInstruction *in)
{
	if (has_prefix(in, branch_spoilers, sizeof(branch_spoilers)))
		return VP_INSN_OTHER;
	if (in->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return (in->opcode & 0xf0) == 0x80 ? VP_INSN_JCC_REL : VP_INSN_OTHER;

	switch (in->opcode) {
	case 0xe9:
	case 0xeb:
		return VP_INSN_JMP_REL;
	case 0xe8:
		return VP_INSN_CALL_REL;
	case 0xc2:
	case 0xc3:
		return VP_INSN_RET;
	default:
		return (in->opcode & 0xf0) == 0x70 ? VP_INSN_JCC_REL : VP_INSN_OTHER;
	}
}

static enum vp_insn_kind plain_kind(const ZydisDecodedInstruction *in)
{
	bool b8 = (in->opcode & 0xf8) == 0xb8;
	bool c7 = in->opcode == 0xc7 && in->raw.modrm.mod == 3 && in->raw.modrm.reg == 0;

	if (has_prefix(in, plain_spoilers, sizeof(plain_spoilers)))
		return VP_INSN_OTHER;
	if (in->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return in->opcode == 0x1f && in->raw.modrm.reg == 0 ? VP_INSN_NOP : VP_INSN_OTHER;
	if (in->opcode == 0x90) /* 41 90 is xchg */
		return in->mnemonic == ZYDIS_MNEMONIC_NOP ? VP_INSN_NOP : VP_INSN_OTHER;
	return (b8 || c7) && in->operand_width >= 32 ? VP_INSN_MOV_IMM : VP_INSN_OTHER;
}

/* Prefixes do not matter to it. */
static bool is_int3(const ZydisDecodedInstruction *in)
{
	return in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       (in->opcode == 0xcc || (in->opcode == 0xcd && in->raw.imm[0].value.u == 3));
}

static enum vp_insn_kind classify(const ZydisDecodedInstruction *in)
{
	enum vp_insn_kind kind;

	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    (in->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT && in->opcode_map != ZYDIS_OPCODE_MAP_0F))
		return VP_INSN_OTHER;
	if (is_int3(in))
		return VP_INSN_INT3;
	kind = branch_kind(in);
	return kind != VP_INSN_OTHER ? kind : plain_kind(in);
}

static void fill_mov(const ZydisDecodedInstruction *in, struct vp_insn *out)
{
	unsigned int low = in->opcode == 0xc7 ? in->raw.modrm.rm : in->opcode & 7u;
	uint64_t imm = in->raw.imm[0].value.u;

	out->reg = (uint8_t)(low | (in->raw.rex.B ? 8u : 0));
	if (in->operand_width == 32) /* a 32-bit write clears the upper half */
		out->imm = (uint32_t)imm;
	else if (in->raw.imm[0].size == 32) /* c7 with REX.W extends the sign */
		out->imm = (uint64_t)(int64_t)(int32_t)imm;
	else
		out->imm = imm;
}

static int refuse(struct vp_err *err, ZyanStatus st, const uint8_t *bytes, size_t n, vp_gva addr)
{
	char hex[2 * VP_INSN_MAX + 1] = "";

	for (size_t i = 0; i < n && i < VP_INSN_MAX; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	if (st == ZYDIS_STATUS_NO_MORE_DATA)
		return vp_err_set(err, -EINVAL,
				  "bytes 0x%s at 0x%llx: the instruction does not end within "
				  "the %zu bytes given",
				  hex, (unsigned long long)addr.v, n);
	return vp_err_set(err, -EINVAL, "bytes 0x%s at 0x%llx are not a valid 64-bit instruction",
			  hex, (unsigned long long)addr.v);
}

static int decode(const uint8_t *bytes, size_t n, vp_gva addr, ZydisDecodedInstruction *out,
		  struct vp_err *err)
{
	ZydisDecoder decoder;
	ZyanStatus st =
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);

	*out = (ZydisDecodedInstruction){ 0 };
	if (ZYAN_SUCCESS(st))
		st = ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, n, out);
	return ZYAN_SUCCESS(st) ? 0 : refuse(err, st, bytes, n, addr);
}

int vp_insn_decode(const uint8_t *bytes, size_t n, vp_gva addr, struct vp_insn *out,
		   struct vp_err *err)
{
	ZydisDecodedInstruction in;
	int rc = decode(bytes, n, addr, &in, err);

	if (rc)
		return rc;

	if (in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && in.raw.imm[0].is_relative &&
	    has_prefix(&in, (const uint8_t[]){ 0x66 }, 1))
		return vp_err_set(err, -EINVAL,
				  "a branch with prefix 66 at 0x%llx: CPUs of different vendors "
				  "disagree about its length",
				  (unsigned long long)addr.v);
	*out = (struct vp_insn){ .len = in.length, .kind = classify(&in) };
	switch (out->kind) {
	case VP_INSN_JCC_REL:
		out->cc = in.opcode & 0xf;
		/* fall through */
	case VP_INSN_JMP_REL:
	case VP_INSN_CALL_REL:
		out->target = VP_GVA(addr.v + in.length + in.raw.imm[0].value.u);
		break;
	case VP_INSN_RET:
		out->imm = in.opcode == 0xc2 ? in.raw.imm[0].value.u : 0;
		break;
	case VP_INSN_MOV_IMM:
		fill_mov(&in, out);
		break;
	default:
		break;
	}
	return 0;
}

/* --- immediates --------------------------------------------------------------- */

static bool takes_imm(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_TEST:
		return in->raw.imm[0].size && !in->raw.imm[1].size && !in->raw.imm[0].is_relative;
	default:
		return false;
	}
}

/*
 * An immediate that is shorter than the operand has its sign extended (SDM vol. 1, 3.3.7), so it
 * stands for signed values only; one of the full length may be meant either way.
 */
static bool imm_fits(const ZydisDecodedInstruction *in, int64_t value)
{
	unsigned int size = in->raw.imm[0].size;
	int64_t low, high;

	if (size == 64)
		return true;
	low = -((int64_t)1 << (size - 1));
	high = size == in->operand_width ? ((int64_t)1 << size) - 1 : -low - 1;
	return value >= low && value <= high;
}

static int64_t imm_value(const ZydisDecodedInstruction *in)
{
	unsigned int shift = 64u - in->raw.imm[0].size;

	return (int64_t)(in->raw.imm[0].value.u << shift) >> shift;
}

int vp_insn_set_imm(const uint8_t *bytes, size_t n, vp_gva addr, int64_t value, uint8_t *out,
		    int64_t *was, struct vp_err *err)
{
	ZydisDecodedInstruction in;
	int rc = decode(bytes, n, addr, &in, err);

	if (rc)
		return rc;
	if (!takes_imm(&in))
		return vp_err_set(err, -EINVAL,
				  "the instruction at 0x%llx is not a mov, add, sub, and, or, xor, "
				  "cmp or test of a constant",
				  (unsigned long long)addr.v);
	if (!imm_fits(&in, value))
		return vp_err_set(err, -ERANGE,
				  "%lld does not fit into the %u-bit constant of the instruction "
				  "at 0x%llx",
				  (long long)value, in.raw.imm[0].size, (unsigned long long)addr.v);
	memcpy(out, bytes, in.length);
	for (unsigned int i = 0; i < in.raw.imm[0].size / 8u; i++)
		out[in.raw.imm[0].offset + i] = (uint8_t)((uint64_t)value >> (8 * i));
	if (was)
		*was = imm_value(&in);
	return in.length;
}

int vp_insn_get_fields(const uint8_t *bytes, size_t n, vp_gva addr, struct vp_insn_fields *out,
		       struct vp_err *err)
{
	ZydisDecodedInstruction in;
	int rc = decode(bytes, n, addr, &in, err);

	if (rc)
		return rc;
	*out = (struct vp_insn_fields){
		.disp_at = in.raw.disp.offset,
		.disp_len = in.raw.disp.size / 8,
		.disp = in.raw.disp.value,
		.rip_relative = (in.attributes & ZYDIS_ATTRIB_HAS_MODRM) && in.raw.modrm.mod == 0 &&
				in.raw.modrm.rm == 5,
		.imm_at = in.raw.imm[0].offset,
		.imm_len = in.raw.imm[0].size / 8,
		.imm = in.raw.imm[0].size ? imm_value(&in) : 0,
		.imm_relative = in.raw.imm[0].is_relative,
	};
	return in.length;
}

int vp_insn_format(const uint8_t *bytes, size_t n, vp_gva addr, enum vp_insn_syntax syntax,
		   char *text, size_t size)
{
	ZydisDisassembledInstruction dis;
	ZyanStatus st;
	int len;

	if (syntax == VP_SYNTAX_ATT)
		st = ZydisDisassembleATT(ZYDIS_MACHINE_MODE_LONG_64, addr.v, bytes, n, &dis);
	else
		st = ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, addr.v, bytes, n, &dis);
	if (!ZYAN_SUCCESS(st))
		return -EINVAL;
	len = dis.info.length;
	if (size)
		snprintf(text, size, "%s", dis.text);
	return len;
}
