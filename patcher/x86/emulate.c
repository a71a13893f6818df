/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/emulate.h"

#include <errno.h>

#define FLAG_CF (1ull << 0)
#define FLAG_PF (1ull << 2)
#define FLAG_ZF (1ull << 6)
#define FLAG_SF (1ull << 7)
#define FLAG_TF (1ull << 8)
#define FLAG_OF (1ull << 11)
#define FLAG_RF (1ull << 16)

bool vp_can_emulate(const struct vp_insn *insn)
{
	switch (insn->kind) {
	case VP_INSN_NOP:
	case VP_INSN_JMP_REL:
	case VP_INSN_CALL_REL:
	case VP_INSN_JCC_REL:
	case VP_INSN_RET:
	case VP_INSN_MOV_IMM:
		return true;
	default:
		return false;
	}
}

/* SDM vol. 1, appendix B: three bits choose the condition, the lowest negates it. */
static bool condition_holds(uint8_t cc, uint64_t f)
{
	bool less = !(f & FLAG_SF) != !(f & FLAG_OF);
	bool yes;

	switch (cc >> 1 & 7) {
	case 0:
		yes = f & FLAG_OF;
		break;
	case 1:
		yes = f & FLAG_CF;
		break;
	case 2:
		yes = f & FLAG_ZF;
		break;
	case 3:
		yes = f & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		yes = f & FLAG_SF;
		break;
	case 5:
		yes = f & FLAG_PF;
		break;
	case 6:
		yes = less;
		break;
	default:
		yes = less || (f & FLAG_ZF);
		break;
	}
	return yes != (cc & 1);
}

/* 48 bits, also under 5-level paging: who is refused here runs the real instruction instead. */
static bool canonical(uint64_t rip)
{
	return rip + (1ull << 47) < 1ull << 48;
}

int vp_emulate(const struct vp_insn *insn, struct vp_regs *regs, const struct vp_stack_ops *stack)
{
	struct vp_regs r = *regs;
	uint64_t next = regs->rip + insn->len;

	if (!vp_can_emulate(insn) || r.rflags & FLAG_TF)
		return -EOPNOTSUPP;

	r.rip = next;
	r.rflags &= ~FLAG_RF; /* as after any instruction (SDM vol. 3, section 17.3.1.1) */
	switch (insn->kind) {
	case VP_INSN_CALL_REL:
		r.gpr[VP_RSP] -= 8;
		/* fall through */
	case VP_INSN_JMP_REL:
		r.rip = insn->target.v;
		break;
	case VP_INSN_JCC_REL:
		if (condition_holds(insn->cc, r.rflags))
			r.rip = insn->target.v;
		break;
	case VP_INSN_RET:
		if (stack->load(stack->arg, VP_GVA(r.gpr[VP_RSP]), &r.rip))
			return -EFAULT;
		r.gpr[VP_RSP] += 8 + insn->imm;
		break;
	case VP_INSN_MOV_IMM:
		r.gpr[insn->reg] = insn->imm;
		break;
	default:
		break;
	}

	/* The fault that follows is the real CPU's to raise. Nothing was stored so far. */
	if (!canonical(r.rip))
		return -EOPNOTSUPP;
	if (insn->kind == VP_INSN_CALL_REL && stack->store(stack->arg, VP_GVA(r.gpr[VP_RSP]), next))
		return -EFAULT;
	*regs = r;
	return 0;
}
