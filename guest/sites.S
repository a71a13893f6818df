/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The patchable sites of the test guest.
 *
 * Each site is one instruction in a function of its own, which a worker calls:
 *
 *	tg_NAME:	mov $START, %eax	(5 bytes)
 *	tg_NAME_site:	version 0
 *	tg_NAME_after:	...; ret
 *
 * A torn instruction, that is any other mix of the bytes of two versions, must
 * not pass for a version. The means to that end:
 *  - Between the functions stand TRAP bytes, each an instruction that raises #UD.
 *  - Immediates differ in every byte, so that each mix is a value of its own.
 *  - EAX at the site holds a small number, an address that is not mapped: the
 *    left-over tail "00 00" or "NN 00" of a nop or jump faults, as it means [rax].
 *  - rel32: the low displacement bytes are 0xc8 and 0xcf, bswap after the 0f of
 *    the nop; with the bytes 1f and 44 of the nop a torn jump goes to TRAP bytes
 *    close by, or beyond the end of the text (testguest.ld checks the distance).
 *  - jmp2: displacement 06 is TRAP after the 66 of the nop; 90 goes back into TRAP bytes.
 * Some mixes of prefixes are a longer way to write the old or the new version: those pass.
 */

#define TRAP 0x06 /* push %es: #UD in 64-bit mode */

	.macro	nop5
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	.endm

/* What follows is the function's start value, in EAX when the site is reached. */
	.macro	tg_fn name, start
tg_\name:
	.byte	0xb8
	.long	\start
	.globl	tg_\name\()_site
tg_\name\()_site:
	.endm

/* Place the next function so that its site starts \before bytes below a multiple of \align. */
	.macro	tg_place align, before
	.fill	128, 1, TRAP
	.balign	\align, TRAP
	.fill	\align - \before - 5, 1, TRAP
	.endm

/* A row of tg_sites; exactly three tg_version follow, versions - 1 and the last alike if there are two. */
	.macro	tg_site name, len, versions
	.pushsection .tg_sites, "a", @progbits
7701:	.ascii	"\name"
	.fill	16 - (. - 7701b), 1, 0
	.quad	tg_\name, tg_\name\()_site
	.byte	\len, \versions
	.fill	6, 1, 0
	.popsection
	.endm

/*
 * One version: \code emits its bytes; \same, if they depend on their address,
 * does the same from elsewhere.
 */
	.macro	tg_version name, code, emulate, result, same
	.pushsection .tg_sites, "a", @progbits
7702:	\code
	.fill	15 - (. - 7702b), 1, 0
	.byte	\emulate
	.quad	\result, 7703f
	.popsection
	.pushsection .text.fixup, "ax", @progbits
7703:
	.ifb	\same
	\code
	.else
	\same
	.endif
	jmp	tg_\name\()_after
	.popsection
	.endm

/* --- mov with an immediate: the result is the immediate --- */

	.macro	tg_mov name, len, code0, result0, code1, result1, code2, result2
	tg_fn	\name, 0x01010101
	\code0
tg_\name\()_after:
	ret
	tg_site	\name, \len, 3
	tg_version \name, "\code0", 1, \result0
	tg_version \name, "\code1", 1, \result1
	tg_version \name, "\code2", 1, \result2
	.endm

	.macro	tg_mov5 name, align, before
	tg_place \align, \before
	tg_mov	\name, 5, ".byte 0xb8; .long 0x51525354", 0x51525354, \
		".byte 0xb8; .long 0x61626364", 0x61626364, \
		".byte 0xb8; .long 0x71727374", 0x71727374
	.endm

	.macro	tg_mov7 name, align, before
	tg_place \align, \before
	tg_mov	\name, 7, ".byte 0x48, 0xc7, 0xc0; .long 0x51525354", 0x51525354, \
		".byte 0x48, 0xc7, 0xc0; .long 0x61626364", 0x61626364, \
		".byte 0x48, 0xc7, 0xc0; .long 0x71727374", 0x71727374
	.endm

	.macro	tg_mov10 name, align, before
	tg_place \align, \before
	tg_mov	\name, 10, ".byte 0x48, 0xb8; .quad 0x5152535455565758", 0x5152535455565758, \
		".byte 0x48, 0xb8; .quad 0x6162636465666768", 0x6162636465666768, \
		".byte 0x48, 0xb8; .quad 0x7172737475767778", 0x7172737475767778
	.endm

/*
 * Version 0 is a nop and gives the start value. The low bytes of the others, run
 * as code behind the prefixes of the nop, are TRAP, bswap, TRAP, TRAP (0x16: push %ss).
 */
	.macro	tg_mov15 name, align, before
	tg_place \align, \before
	tg_mov	\name, 15, \
		".fill 6, 1, 0x66; .byte 0x2e, 0x0f, 0x1f, 0x84; .fill 5, 1, 0", 0x01010101, \
		".fill 5, 1, 0x2e; .byte 0x48, 0xb8; .quad 0x515253540606c806", 0x515253540606c806, \
		".fill 5, 1, 0x2e; .byte 0x48, 0xb8; .quad 0x616263641616c916", 0x616263641616c916
	.endm

/* --- nop <-> jmp: the jump leaves out the mov behind the site --- */

	.macro	tg_jmp2 name, align, before, id
	tg_place \align, \before
	tg_fn	\name, 0x02000000 + \id
	.byte	0x66, 0x90
tg_\name\()_after:
	mov	$0x03000000 + \id, %eax
	ret
tg_\name\()_target:
	ret
	tg_site	\name, 2, 2
	tg_version \name, ".byte 0x66, 0x90", 1, 0x03000000 + \id
	tg_version \name, ".byte 0xeb, 0x06", 1, 0x02000000 + \id, "jmp tg_\name\()_target"
	tg_version \name, ".byte 0xeb, 0x06", 1, 0x02000000 + \id, "jmp tg_\name\()_target"
	.endm

	.macro	tg_jmp5_tables name, id
	tg_site	\name, 5, 2
	tg_version \name, "nop5", 1, 0x03000000 + \id
	tg_version \name, ".byte 0xe9; .long 0x1c8", 1, 0x02000000 + \id, "jmp tg_\name\()_target"
	tg_version \name, ".byte 0xe9; .long 0x1c8", 1, 0x02000000 + \id, "jmp tg_\name\()_target"
	.endm

	.macro	tg_jmp5 name, align, before, id
	tg_place \align, \before
	tg_fn	\name, 0x02000000 + \id
	nop5
tg_\name\()_after:
	mov	$0x03000000 + \id, %eax
	ret
	.fill	0x1c8 - 6, 1, TRAP
tg_\name\()_target:
	ret
	tg_jmp5_tables \name, \id
	.endm

/* --- nop <-> call A <-> call B --- */

	.macro	tg_call5 name, align, before, id
	tg_place \align, \before
	tg_fn	\name, 0x02000000 + \id
	nop5
tg_\name\()_after:
	ret
	.fill	0x1c8 - 1, 1, TRAP
tg_\name\()_a:
	mov	$0x03000000 + \id, %eax
	ret
	.fill	0x2cf - 0x1c8 - 6, 1, TRAP
tg_\name\()_b:
	mov	$0x04000000 + \id, %eax
	ret
	tg_site	\name, 5, 3
	tg_version \name, "nop5", 1, 0x02000000 + \id
	tg_version \name, ".byte 0xe8; .long 0x1c8", 1, 0x03000000 + \id, "call tg_\name\()_a"
	tg_version \name, ".byte 0xe8; .long 0x2cf", 1, 0x04000000 + \id, "call tg_\name\()_b"
	.endm

	.section .sites, "ax", @progbits

/* One byte: the carry flag, which is clear before. */
	.fill	128, 1, TRAP
tg_flag1:
	mov	$0x05000000, %eax
	test	%eax, %eax
	.globl	tg_flag1_site
tg_flag1_site:
	nop
tg_flag1_after:
	adc	$0, %eax
	ret
	tg_site	flag1, 1, 3
	tg_version flag1, "nop", 1, 0x05000000
	tg_version flag1, "stc", 0, 0x05000001
	tg_version flag1, "clc", 0, 0x05000000

/* One byte: return, or not. */
	.fill	128, 1, TRAP
	tg_fn	ret1, 0x05000002
	nop
tg_ret1_after:
	mov	$0x05000003, %eax
	ret
	tg_site	ret1, 1, 2
	tg_version ret1, "nop", 1, 0x05000003
	tg_version ret1, "ret", 1, 0x05000002
	tg_version ret1, "ret", 1, 0x05000002

/* Each other kind within a cache line, straddling one, straddling a page. */
	tg_jmp2	jmp2, 64, 59, 1
	tg_jmp2	jmp2_line, 64, 1, 2
	tg_jmp2	jmp2_page, 4096, 1, 3
	tg_mov5	mov5, 64, 59
	tg_mov5	mov5_line, 64, 3
	tg_mov5	mov5_page, 4096, 3
	tg_mov7	mov7, 64, 59
	tg_mov7	mov7_line, 64, 4
	tg_mov7	mov7_page, 4096, 5
	tg_mov10 mov10, 64, 59
	tg_mov10 mov10_line, 64, 6
	tg_mov10 mov10_page, 4096, 4
	tg_mov15 mov15, 64, 59
	tg_mov15 mov15_line, 64, 9
	tg_mov15 mov15_page, 4096, 8

/* "rel32": last in the text, see testguest.ld. */
	.section .sites.rel32, "ax", @progbits
	tg_jmp5	jmp5, 64, 59, 4
	tg_jmp5	jmp5_line, 64, 2, 5
	tg_call5 call5, 64, 59, 6
	tg_call5 call5_line, 64, 1, 7
	tg_jmp5	jmp5_page, 4096, 1, 8
	tg_call5 call5_page, 4096, 3, 9
	.fill	128, 1, TRAP

/*
 * Two sites across three virtual pages whose guest-physical pages are not
 * neighbours, so the linker cannot be left to place them: each section is one page.
 */
	.section .split0, "ax", @progbits
	.fill	4096 - 10, 1, TRAP
	tg_fn	mov10_split, 0x01010101
	.byte	0x48, 0xb8, 0x58, 0x57, 0x56

	.section .split1, "ax", @progbits
	.byte	0x55, 0x54, 0x53, 0x52, 0x51
tg_mov10_split_after:
	ret
	.fill	4096 - 6 - 8, 1, TRAP
	tg_fn	jmp5_split, 0x0200000a
	.byte	0x0f, 0x1f, 0x44

	.section .split2, "ax", @progbits
	.byte	0x00, 0x00
tg_jmp5_split_after:
	mov	$0x0300000a, %eax
	ret
	.fill	0x1c8 - 6, 1, TRAP
tg_jmp5_split_target:
	ret
	.fill	4096 - 2 - 0x1c8 - 1, 1, TRAP

	tg_site	mov10_split, 10, 3
	tg_version mov10_split, ".byte 0x48, 0xb8; .quad 0x5152535455565758", 1, 0x5152535455565758
	tg_version mov10_split, ".byte 0x48, 0xb8; .quad 0x6162636465666768", 1, 0x6162636465666768
	tg_version mov10_split, ".byte 0x48, 0xb8; .quad 0x7172737475767778", 1, 0x7172737475767778
	tg_jmp5_tables jmp5_split, 10

	.section .note.GNU-stack, "", @progbits
