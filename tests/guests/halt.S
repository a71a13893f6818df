/* SPDX-License-Identifier: Apache-2.0 */
/* All vCPUs halt for ever. The last words have no newline. */
#include "guest.inc"

start:
	test	%rdi, %rdi
	jnz	1f
	print	"good night"
1:	hlt
	ud2			/* never reached */
