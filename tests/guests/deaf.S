/* SPDX-License-Identifier: Apache-2.0 */
/* No vCPU ever looks at its give_up byte. */
#include "guest.inc"

start:
	test	%rdi, %rdi
	jnz	1f
	print	"deaf\n"
1:	pause
	jmp	1b
