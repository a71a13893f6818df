/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest of a function's code that is the same wherever the kernel stands and however it has
 * patched itself since it started: what a hotfix expects of the code that it replaces.
 *
 * It is the SHA-256 of "vmpoke-code-1" with its NUL, the size as 8 bytes, and for each instruction
 * its length, its kind and its bytes. Of these are taken as zero
 *
 * - all, of what the kernel rewrites, in any of its states (kind 1): nop,
 *   jmp rel8 of 2 bytes; nop, jmp rel32, call rel32, jmp rel8 and a nop, `ret` and four int3, the
 *   `xor %eax,%eax` of a static call of 5; an indirect branch with all that may stand around it
 *   instead of a call or jmp to a thunk, 5 or 6; popcnt for a call and the ways to read the TSC, 5;
 *   stac, clac or a nop, 3; endbr64 or a nop of 4 at the very beginning;
 * - of others (kind 0) a displacement that counts from RIP; a rel32 that leaves the function; a
 *   displacement or immediate of 4 or 8 bytes that is an address of the kernel or a module, or can
 *   only be how far it has moved; the end of user space.
 *
 * So two functions that differ only in where they jump or whom they call have one digest: it tells
 * another version of the code, not a forged one. With Debian's 6.1 it is the same for all but some
 * 30 of 46,950 functions, whatever CPU, mitigations and KASLR base a guest has. What is left has
 * alternatives for kinds of CPUs: saving of FPU state, cache lines, the x2APIC.
 */
#ifndef VP_HOTFIX_DIGEST_H
#define VP_HOTFIX_DIGEST_H

#include <vmpoke/types.h>

#include "base/sha256.h"

/* @code (@size bytes) stands at @addr. -EINVAL: not a row of whole instructions, or empty. */
int vp_code_digest(const uint8_t *code, size_t size, vp_gva addr, uint8_t out[VP_SHA256_SIZE],
		   struct vp_err *err);

#endif /* VP_HOTFIX_DIGEST_H */
