/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest whose vCPU 0 sets and removes an int3 of the guest's own, as kprobes do, while all others run
 * through it. Of their #BP exits some come late: by the time the host looks, the int3 is gone.
 *
 * At times they also run an int3 with a prefix, which stays.
 *
 * Asked to give up vCPU 0, it exits with 33; with 1 if no #BP of either kind reached the guest's
 * handler; with 2 as soon as one comes with another RIP than the one after the int3.
 */
#include "../../guests/guest.inc"

#define BP_VECTOR  3
#define DIRECT_MAP 24 /* offsets in struct vp_boot_info */
#define GIVE_UP	   96

start:
	mov	%rsp, %r15
	lea	on_bp(%rip), %rax
	lea	idt + 16 * BP_VECTOR(%rip), %rbx
	mov	%ax, (%rbx)
	movw	$VP_GUEST_CS, 2(%rbx)
	movw	$0x8e00, 4(%rbx)
	shr	$16, %rax
	mov	%ax, 6(%rbx)
	shr	$16, %rax
	mov	%eax, 8(%rbx)
	lidt	idtr(%rip)
	sti
	test	%rdi, %rdi
	jnz	runner

	mov	%rsi, %rbp
	print	"late: up\n"
	/* Text is writable through the direct map only; see guest.ld. */
	mov	$site - 0xffffffff80000000, %rbx
	add	DIRECT_MAP(%rbp), %rbx
writer:
	movb	$0xcc, (%rbx)
	call	rest
	movb	$0x90, (%rbx)
	call	rest
	cmpb	$0, GIVE_UP(%rbp)
	je	writer
	cmpl	$0, seen(%rip)
	je	1f
	cmpl	$0, seen_prefixed(%rip)
	je	1f
	exit	33
1:	exit	1

rest:
	mov	$2000, %ecx
1:	dec	%ecx
	jnz	1b
	ret

runner:
	inc	%r14b
	jnz	site
	.byte	0xf3, 0xcc
after_prefixed:
	nop
site:
	nop
after:
	/* What vmpoke patches meanwhile. */
patched:
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	jmp	runner

on_bp:
	lea	after_prefixed(%rip), %rax
	cmp	%rax, (%rsp)
	jne	1f
	lock incl seen_prefixed(%rip)
	mov	%r15, %rsp
	sti
	jmp	after_prefixed
1:	lea	after(%rip), %rax
	cmp	%rax, (%rsp)
	jne	2f
	lock incl seen(%rip)
	mov	%r15, %rsp
	sti
	jmp	after
2:	exit	2

	.section .data
	.balign	16
idt:	.fill	32 * 16, 1, 0
idtr:	.word	32 * 16 - 1
	.quad	idt
seen:	.long	0
seen_prefixed: .long 0
