/* SPDX-License-Identifier: Apache-2.0 */
/* Another entry for the guests of tests/guests: see ../vmx.sh. */
	.section .text
	.globl	rig_start
rig_start:
	sti
	jmp	start
	.section .note.GNU-stack, "", @progbits
