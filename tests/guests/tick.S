/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: vCPU 0 is woken from hlt by the PIT (through the PIC), vCPU 1 by its local APIC's
 * timer (x2APIC). Three times each; the handlers do not return, they go back to the loop.
 */
#include "guest.inc"

#define PIT_VECTOR 0x20
#define TIMER_VECTOR 0x40
#define TICKS 3

	.section .note.vmpoke, "a", @note
	.balign	4
	.long	7, 4, VP_NOTE_FLAGS
	.asciz	"vmpoke"
	.balign	4
	.long	VP_NOTE_IRQCHIP

	.section .text
	.macro	gate vector, handler
	lea	\handler(%rip), %rax
	lea	idt + 16 * \vector(%rip), %rbx
	mov	%ax, (%rbx)
	movw	$VP_GUEST_CS, 2(%rbx)
	movw	$0x8e00, 4(%rbx)
	shr	$16, %rax
	mov	%ax, 6(%rbx)
	shr	$16, %rax
	mov	%eax, 8(%rbx)
	.endm

	.macro	outb value, port
	mov	$\value, %al
	mov	$\port, %edx
	out	%al, %dx
	.endm

	.macro	write_msr msr, value
	mov	$\msr, %ecx
	mov	$\value, %eax
	xor	%edx, %edx
	wrmsr
	.endm

start:
	mov	%rsp, %r15
	xor	%r14d, %r14d
	/* Every vCPU writes the same gates. */
	gate	PIT_VECTOR, on_pit
	gate	TIMER_VECTOR, on_timer
	lidt	idtr(%rip)
	test	%rdi, %rdi
	jnz	timer

	outb	0x11, 0x20	/* PIC: ICW1-4, vectors from PIT_VECTOR, only line 0 */
	outb	PIT_VECTOR, 0x21
	outb	0x04, 0x21
	outb	0x01, 0x21
	outb	0xfe, 0x21
	outb	0x34, 0x43	/* PIT: channel 0, rate generator, 100 Hz */
	outb	0x9c, 0x40
	outb	0x2e, 0x40
wait_pit:
	sti
	hlt
	jmp	wait_pit
on_pit:
	outb	0x20, 0x20	/* end of interrupt */
	mov	%r15, %rsp
	inc	%r14d
	cmp	$TICKS, %r14d
	jne	wait_pit
	print	"PIT ticked\n"
	jmp	done

timer:
	mov	$0x1b, %ecx	/* APIC base: enable, x2APIC */
	rdmsr
	or	$0xc00, %eax
	wrmsr
	write_msr 0x80f, 0x1ff	/* spurious vector, software enable */
	write_msr 0x83e, 0xb	/* divide by 1 */
	write_msr 0x832, (0x20000 | TIMER_VECTOR) /* periodic */
	write_msr 0x838, 10000000
wait_timer:
	sti
	hlt
	jmp	wait_timer
on_timer:
	write_msr 0x80b, 0
	mov	%r15, %rsp
	inc	%r14d
	cmp	$TICKS, %r14d
	jne	wait_timer
2:	pause			/* the lines one after the other */
	cmpl	$1, finished(%rip)
	jne	2b
	print	"APIC timer ticked\n"

done:
	lock incl finished(%rip)
1:	pause
	cmpl	$2, finished(%rip)
	jb	1b
	exit	33

	.section .data
	.balign	16
idt:	.fill	256 * 16, 1, 0
idtr:	.word	256 * 16 - 1
	.quad	idt
finished: .long	0
