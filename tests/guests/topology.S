/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every vCPU counts its starts in starts[number], then watches its give_up byte. vCPU 0 prints
 * when all that were started at boot are there; asked to give up, it exits with how many are.
 */
#include "guest.inc"

start:
	lea	starts(%rip), %rbx
	lock incl (%rbx,%rdi,4)
	lock incl present(%rip)
	test	%rdi, %rdi
	jnz	watch
	mov	12(%rsi), %ecx
1:	pause
	cmp	%ecx, present(%rip)
	jb	1b
	mov	%rsi, %r12
	print	"all here\n"
	mov	%r12, %rsi
watch:
	pause
	cmpb	$0, 96(%rsi,%rdi)
	je	watch
	test	%rdi, %rdi
	jz	2f
	lock decl present(%rip)
	mov	$VP_PORT_GIVE_UP, %edx
	out	%al, %dx
	ud2			/* never reached */
2:	mov	present(%rip), %eax
	mov	$VP_PORT_EXIT, %edx
	out	%eax, %dx

	.section .data
	.globl	starts, present
	.balign	4
starts:	.fill	64, 4, 0
present: .long	0
