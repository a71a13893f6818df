/* SPDX-License-Identifier: Apache-2.0 */
/* Do one instruction on the registers of a vCPU that is out of the guest. Pure. */
#ifndef VP_X86_EMULATE_H
#define VP_X86_EMULATE_H

#include "x86/decode.h"

/* The guest's stack, for call and ret: 8 bytes at a guest-virtual address. 0 or -errno. */
struct vp_stack_ops {
	int (*load)(void *arg, vp_gva addr, uint64_t *value);
	int (*store)(void *arg, vp_gva addr, uint64_t value);
	void *arg;
};

/* Is this an instruction that vp_emulate() knows? */
bool vp_can_emulate(const struct vp_insn *insn);

/*
 * Do @insn, which stands at regs->rip. On error @regs is unchanged:
 *  -EOPNOTSUPP  not such an instruction, or RFLAGS.TF is set (the #DB after it cannot be emulated)
 *  -EFAULT      the stack cannot be reached
 */
int vp_emulate(const struct vp_insn *insn, struct vp_regs *regs, const struct vp_stack_ops *stack);

#endif /* VP_X86_EMULATE_H */
