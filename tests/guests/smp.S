/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every vCPU counts its starts in starts[number], then watches its give_up byte. vCPU 0 waits
 * until all that were started at boot are there, prints, and exits with 7 if told to stay_not.
 */
#include "guest.inc"

start:
	lea	starts(%rip), %rbx
	lock incl (%rbx,%rdi,4)
	lock incl present(%rip)
	test	%rdi, %rdi
	jnz	watch
	cmpl	$1, (%rbx)
	jne	watch
	mov	12(%rsi), %ecx
1:	pause
	cmp	%ecx, present(%rip)
	jb	1b
	mov	%rsi, %r12
	print	"all here\n"
	mov	%r12, %rsi
watch:
	pause
	cmpb	$0, leave(%rip)
	jne	3f
	cmpb	$0, 96(%rsi,%rdi)
	je	watch
	lock decl present(%rip)
	mov	$VP_PORT_GIVE_UP, %edx
	out	%al, %dx
	ud2			/* never reached */
3:	exit	7

	.section .data
	.globl	starts, present, leave
	.balign	4
starts:	.fill	64, 4, 0
present: .long	0
leave:	.byte	0
