/* SPDX-License-Identifier: Apache-2.0 */
/* The sites of bench.h. */

#include "guest/bench.h"

	.text
	.balign	4096
	.globl	tb_code
tb_code:
	.rept	TB_BLOCKS
	.rept	TB_BLOCK_SITES
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00
	.byte	0x0f, 0x1f, 0x00
	.endr
	ret
	.balign	TB_SITE_STRIDE
	.endr

	.section .note.GNU-stack, "", @progbits
