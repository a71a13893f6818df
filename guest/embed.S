/* SPDX-License-Identifier: Apache-2.0 */
/* The test guest's ELF file as data of the vmpoke binary; see patcher/cli/demo.c. */

	.section .rodata
	.balign	16
	.globl	vp_testguest_start
	.globl	vp_testguest_end
vp_testguest_start:
	.incbin	TESTGUEST_ELF
vp_testguest_end:

	.section .note.GNU-stack, "", @progbits
