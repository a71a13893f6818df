/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's ELF file, GUEST_ELF, as data of a program, between GUEST_START and GUEST_END. */

	.section .rodata
	.balign	16
	.globl	GUEST_START
	.globl	GUEST_END
GUEST_START:
	.incbin	GUEST_ELF
GUEST_END:

	.section .note.GNU-stack, "", @progbits
