/* SPDX-License-Identifier: Apache-2.0 */
/* Executing data is a page fault, which without an IDT is a triple fault there. */
#include "guest.inc"

start:
	print	"jumping into data\n"
	jmp	not_code

	.section .data
	.balign	16
	.globl	not_code
not_code:
	exit	0
