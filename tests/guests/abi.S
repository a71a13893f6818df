/* SPDX-License-Identifier: Apache-2.0 */
/* Every promise of "State at entry", looked at from inside. Exit code: how many do not hold. */
#include "guest.inc"

	.macro	expect name, value
	movabs	$\value, %rcx
	cmp	%rcx, %rax
	je	98f
	print	"bad: \name\n"
	inc	%ebx
98:
	.endm

start:
	pushfq
	mov	%rdi, %r12
	mov	%rsi, %r13
	lea	8(%rsp), %r14
	mov	%rbx, %rax
	or	%rcx, %rax
	or	%rdx, %rax
	or	%rbp, %rax
	or	%r8, %rax
	or	%r9, %rax
	or	%r15, %rax
	xor	%ebx, %ebx
	expect	"other registers", 0
	pop	%rax
	expect	"RFLAGS", 2
	mov	%r14, %rax
	expect	"RSP", (VP_GUEST_DIRECT_MAP + VP_GUEST_STACKS + VP_GUEST_STACK_SIZE - 8)
	mov	%r12, %rax
	expect	"RDI", 0
	mov	%r13, %rax
	expect	"RSI", (VP_GUEST_DIRECT_MAP + VP_GUEST_BOOT_INFO)
	mov	%cr0, %rax
	expect	"CR0", 0x80010033
	mov	%cr4, %rax
	expect	"CR4", 0x620
	mov	$0xc0000080, %ecx
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	expect	"EFER", 0xd01
	mov	%cs, %eax
	expect	"CS", VP_GUEST_CS
	mov	%ss, %eax
	expect	"SS", VP_GUEST_DS
	mov	%ds, %eax
	expect	"DS", VP_GUEST_DS
	mov	%es, %eax
	expect	"ES", VP_GUEST_DS
	mov	%fs, %eax
	expect	"FS", 0
	mov	%gs, %eax
	expect	"GS", 0
	mov	(%r13), %rax
	expect	"magic", VP_BOOT_MAGIC
	mov	8(%r13), %eax
	expect	"version", VP_BOOT_VERSION
	mov	12(%r13), %eax
	expect	"vcpus", 1
	mov	16(%r13), %rax
	expect	"ram_bytes", 0x4000000
	mov	24(%r13), %rax
	expect	"direct_map", VP_GUEST_DIRECT_MAP
	movzbl	32(%r13), %eax
	expect	"online[0]", 1
	movzbl	33(%r13), %eax
	expect	"online[1]", 0
	movzbl	96(%r13), %eax
	expect	"give_up[0]", 0

	/* The TSS descriptor in the GDT: present, 64-bit TSS, busy. */
	movabs	$(VP_GUEST_DIRECT_MAP + VP_GUEST_GDT), %r8
	movzbl	VP_GUEST_TR + 5(%r8), %eax
	expect	"TSS descriptor", 0x8b

	/* Ports. */
	mov	$0x3fd, %edx
	in	%dx, %al
	movzbl	%al, %eax
	expect	"line status", 0x60
	mov	$0x3ff, %edx
	mov	$0x5a, %eax
	out	%al, %dx
	in	%dx, %al
	movzbl	%al, %eax
	expect	"scratch register", 0x5a
	mov	$0x1234, %edx
	in	%dx, %eax
	expect	"unknown port", 0xffffffff

	/* The direct map shows the image, and the image's data is zeroed behind its file part. */
	movabs	$(VP_GUEST_DIRECT_MAP + VP_GUEST_IMAGE_MIN), %r8
	mov	(%r8), %rax
	sub	text_start(%rip), %rax
	expect	"direct map", 0
	mov	zeroes(%rip), %rax
	expect	"bss", 0

	/* Setting the baud rate, as a driver would, prints nothing. */
	mov	$0x3fb, %edx
	mov	$0x80, %al
	out	%al, %dx
	mov	$0x3f8, %edx
	mov	$'X', %al
	out	%al, %dx
	mov	$0x3fb, %edx
	mov	$0x03, %al
	out	%al, %dx

	/* A string instruction. */
	lea	text(%rip), %rsi
	mov	$(text_end - text), %ecx
	mov	$VP_PORT_CONSOLE, %edx
	rep outsb

	mov	%ebx, %eax
	mov	$VP_PORT_EXIT, %edx
	out	%al, %dx

	.set	text_start, puts
	.section .data
text:	.ascii	"abi checked\n"
text_end:
	.section .bss
	.balign	4096
	.skip	4096
zeroes:	.skip	4096
