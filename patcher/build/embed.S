/* SPDX-License-Identifier: Apache-2.0 */
/* The table of embed.h. The paths are from the root of the tree. */

	.macro	embed name, path
	.pushsection .rodata.embedded_text, "a", @progbits
7001:	.asciz	"\name"
7002:	.incbin	"\path"
7003:	.byte	0
	.popsection
	.quad	7001b, 7002b, 7003b
	.endm

	/* Pointers: where the program is position-independent they are set at its start. */
	.section .data.rel.ro, "aw", @progbits
	.balign	8
	.globl	vp_embedded_headers
	.hidden	vp_embedded_headers
vp_embedded_headers:
	embed	"include/vmpoke/hotfix.h", "include/vmpoke/hotfix.h"
	embed	"kernel/asm/alternative.h", "patcher/build/kernel/asm/alternative.h"
	embed	"kernel/asm/bug.h", "patcher/build/kernel/asm/bug.h"
	embed	"kernel/asm/cpufeature.h", "patcher/build/kernel/asm/cpufeature.h"
	embed	"kernel/asm/jump_label.h", "patcher/build/kernel/asm/jump_label.h"
	embed	"kernel/linux/dynamic_debug.h", "patcher/build/kernel/linux/dynamic_debug.h"
	embed	"kernel/linux/static_call_types.h", "patcher/build/kernel/linux/static_call_types.h"
	.quad	0, 0, 0

	.section .note.GNU-stack, "", @progbits
