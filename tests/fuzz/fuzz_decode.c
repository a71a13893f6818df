/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and encoding: what the one says must agree with the other, and with itself. */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "x86/decode.h"
#include "x86/encode.h"
#include "x86/trap.h"

#define ELSEWHERE 0x123456789ull

static void check_shorter(const uint8_t *bytes, const struct vp_insn *insn, vp_gva at)
{
	struct vp_insn other;
	struct vp_err err;

	for (size_t n = 0; n < insn->len; n++) {
		err.text[0] = 0;
		FUZZ_CHECK(vp_insn_decode(bytes, n, at, &other, &err) == -EINVAL && err.text[0]);
	}
	FUZZ_CHECK(!vp_insn_decode(bytes, insn->len, at, &other, NULL));
	FUZZ_CHECK(other.len == insn->len && other.kind == insn->kind &&
		   other.target.v == insn->target.v && other.imm == insn->imm);
}

/* The immediate of a mov, read once more by hand: 8 bytes, or 4 that REX.W extends by their sign.
 */
static void check_mov(const uint8_t *bytes, const struct vp_insn *insn)
{
	const uint8_t *end = bytes + insn->len;
	bool b8 = (end[-5] & 0xf8) == 0xb8;
	size_t opcode = insn->len - (b8 ? 5u : 6u);
	uint64_t imm64;
	int32_t imm;

	if (insn->len >= 10 && (end[-9] & 0xf8) == 0xb8 && (end[-10] & 0xf8) == 0x48) {
		memcpy(&imm64, end - 8, sizeof(imm64));
		FUZZ_CHECK(insn->imm == imm64);
		return;
	}
	FUZZ_CHECK(b8 || (end[-6] == 0xc7 && (end[-5] & 0xf8) == 0xc0));
	memcpy(&imm, end - 4, sizeof(imm));
	if (opcode && (bytes[opcode - 1] & 0xf8) == 0x48)
		FUZZ_CHECK(insn->imm == (uint64_t)(int64_t)imm);
	else
		FUZZ_CHECK(insn->imm == (uint32_t)imm);
}

/* What it is does not depend on where it stands, but for the target of a branch. */
static void check_elsewhere(const uint8_t *bytes, const struct vp_insn *insn, vp_gva at)
{
	bool branch = insn->kind == VP_INSN_JMP_REL || insn->kind == VP_INSN_CALL_REL ||
		      insn->kind == VP_INSN_JCC_REL;
	struct vp_insn moved;

	FUZZ_CHECK(!vp_insn_decode(bytes, insn->len, VP_GVA(at.v + ELSEWHERE), &moved, NULL));
	FUZZ_CHECK(moved.len == insn->len && moved.kind == insn->kind && moved.imm == insn->imm &&
		   moved.cc == insn->cc && moved.reg == insn->reg);
	FUZZ_CHECK(moved.target.v == insn->target.v + (branch ? ELSEWHERE : 0));
	FUZZ_CHECK(vp_int3_length(bytes, insn->len) != insn->len || insn->kind == VP_INSN_INT3);
	FUZZ_CHECK(insn->kind != VP_INSN_MOV_IMM || insn->reg < VP_GPR_COUNT);
}

/* The text fits into any buffer, and is cut, not changed, in a smaller one. */
static void check_text(const uint8_t *bytes, size_t n, vp_gva at, enum vp_insn_syntax syntax,
		       const struct vp_insn *insn)
{
	char whole[256], *cut;
	int len = vp_insn_format(bytes, n, at, syntax, whole, sizeof(whole));
	size_t size = 1 + n % 40;

	FUZZ_CHECK(len == -EINVAL || (len >= 1 && (size_t)len <= n && len <= VP_INSN_MAX));
	FUZZ_CHECK(!insn || len == insn->len); /* the decoder refuses more, never less */
	if (len < 0)
		return;
	FUZZ_CHECK(whole[0]);
	cut = malloc(size);
	FUZZ_CHECK(cut && vp_insn_format(bytes, n, at, syntax, cut, size) == len);
	FUZZ_CHECK(strlen(cut) < size && !strncmp(cut, whole, strlen(cut)));
	free(cut);
	FUZZ_CHECK(vp_insn_format(bytes, n, at, syntax, NULL, 0) == len);
}

/* A jmp that can be encoded is decoded as a jmp to there; and so on. */
static void check_encode(vp_gva at, vp_gva to)
{
	uint8_t out[VP_INSN_MAX];
	struct vp_insn insn;

	for (size_t len = 0; len <= VP_INSN_MAX + 1; len++) {
		int made = vp_encode_nop(out, len);

		FUZZ_CHECK(made == (len < 1 || len > VP_INSN_MAX ? -EINVAL : (int)len));
		FUZZ_CHECK(made < 0 || (!vp_insn_decode(out, len, at, &insn, NULL) &&
					insn.len == len && insn.kind == VP_INSN_NOP));
		made = vp_encode_jmp(out, len, at, to);
		FUZZ_CHECK(made < 0 ||
			   (!vp_insn_decode(out, len, at, &insn, NULL) && insn.len == len &&
			    insn.kind == VP_INSN_JMP_REL && insn.target.v == to.v));
	}
	if (vp_encode_call(out, at, to) == 5)
		FUZZ_CHECK(!vp_insn_decode(out, 5, at, &insn, NULL) && insn.len == 5 &&
			   insn.kind == VP_INSN_CALL_REL && insn.target.v == to.v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	vp_gva at = VP_GVA(fuzz_take(&in, 8));
	vp_gva to = VP_GVA(at.v + (uint64_t)(int64_t)(int32_t)fuzz_take(&in, 4));
	struct vp_err err = { "" };
	struct vp_insn insn;
	int rc = vp_insn_decode(in.at, in.left, at, &insn, &err);

	if (rc) {
		FUZZ_CHECK(rc == -EINVAL && err.text[0]);
	} else {
		FUZZ_CHECK(insn.len >= 1 && insn.len <= VP_INSN_MAX && insn.len <= in.left);
		check_shorter(in.at, &insn, at);
		check_elsewhere(in.at, &insn, at);
		if (insn.kind == VP_INSN_MOV_IMM)
			check_mov(in.at, &insn);
	}
	check_text(in.at, in.left, at, VP_SYNTAX_INTEL, rc ? NULL : &insn);
	check_text(in.at, in.left, at, VP_SYNTAX_ATT, rc ? NULL : &insn);
	check_encode(at, to);
	return 0;
}
