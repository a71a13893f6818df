/* SPDX-License-Identifier: Apache-2.0 */
/* An exception with no IDT, on vCPU 1: a triple fault. */
#include "guest.inc"

start:
	test	%rdi, %rdi
	jnz	2f
1:	pause
	jmp	1b
2:	print	"about to die\n"
	movabs	$0x1122334455667788, %r15
	.globl	the_end
the_end:
	nop
	ud2
