/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every vCPU runs through 256 patchable nops, site_0 to site_255, until it is asked to give
 * itself up. What may be written there: any 5-byte instruction that changes EAX at most.
 */
#include "guest.inc"

#define GIVE_UP 96 /* offset of vp_boot_info.give_up */

start:
	mov	%rsi, %rbp
	test	%rdi, %rdi
	jnz	again
	print	"sites: up\n"
	xor	%edi, %edi
again:
	.altmacro
	.macro	site n
site_\n:
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	.endm
	.set	n, 0
	.rept	256
	site	%n
	.set	n, n + 1
	.endr
sites_end:
	cmpb	$0, GIVE_UP(%rbp,%rdi)
	je	again
	mov	$VP_PORT_GIVE_UP, %edx
	out	%al, %dx

	/* Never run. */
own_int3:
	int3
two_insns:
	xor	%eax, %eax
	inc	%eax
far_away:
	mov	$1, %eax
	ret

	.section .data
data:	.quad	1
