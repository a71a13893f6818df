/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A static key is read where the kernel would patch a jump: nothing of ours is in its table of
 * jumps. As there: the jump is taken if (the key is on) XOR branch. Tracepoints rest on this.
 */
#ifndef VMPOKE_KERNEL_ASM_JUMP_LABEL_H
#define VMPOKE_KERNEL_ASM_JUMP_LABEL_H

#include_next <asm/jump_label.h>

#define VMPOKE_STATIC_BRANCH(key, branch) \
	((*(const volatile int *)&(key)->enabled.counter > 0) != !!(branch))
#define arch_static_branch(key, branch)	     VMPOKE_STATIC_BRANCH(key, branch)
#define arch_static_branch_jump(key, branch) VMPOKE_STATIC_BRANCH(key, branch)

#endif /* VMPOKE_KERNEL_ASM_JUMP_LABEL_H */
