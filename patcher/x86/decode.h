/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction decoding: lengths, branch targets, text. decode.c is the only user of Zydis. */
#ifndef VP_X86_DECODE_H
#define VP_X86_DECODE_H

#include <vmpoke/types.h>

enum vp_insn_kind {
	VP_INSN_OTHER,
	VP_INSN_NOP,
	VP_INSN_INT3,	  /* 0xCC, with prefixes or without, and CD 03: they raise #BP */
	VP_INSN_JMP_REL,  /* jmp rel8, rel32 */
	VP_INSN_CALL_REL, /* call rel32 */
	VP_INSN_JCC_REL,  /* jcc rel8, rel32 (not jcxz, loop) */
	VP_INSN_RET,	  /* near ret, with or without imm16 */
	VP_INSN_MOV_IMM,  /* mov r32/r64, imm (b8+r, c7 /0 with a register, movabs) */
};

struct vp_insn {
	uint8_t len;
	enum vp_insn_kind kind;
	vp_gva target; /* JMP_REL, CALL_REL, JCC_REL */
	uint8_t cc;    /* JCC_REL: the low four opcode bits */
	uint8_t reg;   /* MOV_IMM: enum vp_gpr */
	uint64_t imm; /* MOV_IMM: the value the 64-bit register has afterwards; RET: bytes popped */
};

/* Does it have a target? */
static inline bool vp_insn_leads(const struct vp_insn *i)
{
	return i->kind == VP_INSN_JMP_REL || i->kind == VP_INSN_CALL_REL ||
	       i->kind == VP_INSN_JCC_REL;
}

/*
 * Is there nothing in it for which a hypervisor emulates instructions? It does so for what touches
 * memory (MMIO, a write to page tables that it shadows), calls and returns for their stack's sake,
 * and what is privileged: none of these kinds is. docs/serialization.md says what is left.
 */
static inline bool vp_insn_is_never_emulated(const struct vp_insn *i)
{
	return i->kind == VP_INSN_NOP || i->kind == VP_INSN_JMP_REL || i->kind == VP_INSN_JCC_REL ||
	       i->kind == VP_INSN_MOV_IMM;
}

/*
 * Decode the 64-bit mode instruction at the start of @bytes (@n given), as if it stood at @addr.
 * -EINVAL: no valid instruction, or it does not end within @n bytes, or CPUs disagree about it (the
 * text says which).
 */
int vp_insn_decode(const uint8_t *bytes, size_t n, vp_gva addr, struct vp_insn *out,
		   struct vp_err *err);

/*
 * The same instruction with another immediate (S8): mov, add, sub, and, or, xor, cmp or test of a
 * constant. @out gets as many bytes as the instruction has, which is returned; @was, if not NULL,
 * the constant that stood there, its sign extended. -EINVAL: another instruction, or none;
 * -ERANGE: @value does not fit.
 */
int vp_insn_set_imm(const uint8_t *bytes, size_t n, vp_gva addr, int64_t value, uint8_t *out,
		    int64_t *was, struct vp_err *err);

/* The numbers that stand in an instruction, and where. A length of 0: it has none. */
struct vp_insn_fields {
	uint8_t disp_at, disp_len; /* bytes */
	int64_t disp;
	bool rip_relative;	 /* disp counts from the end of the instruction */
	uint8_t imm_at, imm_len; /* the first immediate; enter's second is not told */
	int64_t imm;		 /* its sign extended */
	bool imm_relative;	 /* a branch's: it counts from the end of the instruction */
};

/* -EINVAL as vp_insn_decode(). Returns the instruction's length. */
int vp_insn_get_fields(const uint8_t *bytes, size_t n, vp_gva addr, struct vp_insn_fields *out,
		       struct vp_err *err);

enum vp_insn_syntax {
	VP_SYNTAX_INTEL,
	VP_SYNTAX_ATT, /* as the Linux kernel's own sources, oopses and objdump have it */
};

/*
 * Text of the instruction, at most @size bytes with the NUL. Returns its length in bytes, or
 * -EINVAL.
 */
int vp_insn_format(const uint8_t *bytes, size_t n, vp_gva addr, enum vp_insn_syntax syntax,
		   char *text, size_t size);

#endif /* VP_X86_DECODE_H */
