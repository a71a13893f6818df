/* SPDX-License-Identifier: Apache-2.0 */
/* The exception entries of our guests. The guest's entry itself is C: tg_main(). */

#include "guest/user.h"

	.text

/* The CPU pushes an error code for vectors 8, 10-14, 17 and 21 (SDM vol. 3, section 6.13). */

/* One entry each 16 bytes, so that C can compute their addresses. */
	.balign	16
	.globl	tg_trap_entries
tg_trap_entries:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

/* Offsets in struct tg_frame of machine.h. */
#define F_RAX    0x70
#define F_RIP    0x88
#define F_RFLAGS 0x98
#define F_RSP    0xa0

trap_common:
#if TG_USER
	/* The trap route of tests/cores. Going on here, the int3 is the guest's own. */
	cmpq	$3, (%rsp)
	jne	1f
	out	%al, $TG_PORT_BP
1:
#endif
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	call	tg_trap

#if TG_USER
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp /* vector, error code */
	out	%al, $TG_PORT_IRET
#else
	/*
	 * Return without iretq, which a KVM that emulates kernel mode in software
	 * may lack. RIP, RFLAGS and RAX go below the stack pointer to return to; at
	 * most the CPU's part of the frame lies there, and that has been read by then.
	 */
	mov	F_RSP(%rsp), %rax
	mov	F_RIP(%rsp), %rcx
	mov	F_RFLAGS(%rsp), %rdx
	mov	F_RAX(%rsp), %rbx
	mov	%rcx, -8(%rax)
	mov	%rdx, -16(%rax)
	mov	%rbx, -24(%rax)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	lea	-24(%rax), %rsp
	pop	%rax
	popfq
	ret
#endif

	.section .note.GNU-stack, "", @progbits
