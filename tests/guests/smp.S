/* SPDX-License-Identifier: Apache-2.0 */
/* vCPU 0 waits until all that were started at boot are there, prints, and exits with 7. */
#include "guest.inc"

start:
	lock incl present(%rip)
	test	%rdi, %rdi
	jnz	2f
	mov	12(%rsi), %ecx
1:	pause
	cmp	%ecx, present(%rip)
	jb	1b
	print	"all here\n"
	exit	7
2:	pause
	jmp	2b

	.section .bss
	.balign	4
present: .skip	4
