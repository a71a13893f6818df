/* SPDX-License-Identifier: Apache-2.0 */
/* Writing text through its own mapping is a page fault; through the direct map it is not. */
#include "guest.inc"

start:
	movabs	$(VP_GUEST_DIRECT_MAP + VP_GUEST_IMAGE_MIN), %r8
	mov	(%r8), %al
	mov	%al, (%r8)
	print	"direct map written\n"
	.globl	wr
wr:	movb	$0x90, start(%rip)
	exit	0
