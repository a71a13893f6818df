/* SPDX-License-Identifier: Apache-2.0 */
/* An exception with no IDT: a triple fault. */
#include "guest.inc"

start:
	print	"about to die\n"
	movabs	$0x1122334455667788, %r15
	.globl	the_end
the_end:
	nop
	ud2
