/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest of a function's code that is the same wherever the kernel stands and however it has
 * patched itself since it started: what a hotfix expects of the code that it replaces.
 *
 * It is the SHA-256 of "vmpoke-code-1" with its NUL, the size as 8 bytes, and for each instruction
 * its length, its kind and its bytes. Of these are taken as zero
 *
 * - all, of what the kernel rewrites, in any of its states (kind 1): nop, jmp rel8 of 2 bytes; nop,
 *   jmp rel32, call rel32, `ret` and four int3, the `xor %eax,%eax` of a static call of 5; endbr64
 *   and a nop of 4 at the very beginning;
 * - of others (kind 0) a displacement that counts from RIP; a rel32 that leaves the function; a
 *   displacement or immediate of 4 or 8 bytes that is an address of the kernel or a module.
 *
 * So two functions that differ only in where they jump or whom they call have one digest: it tells
 * another version of the code, not a forged one. Code with alternatives has one for each kind of
 * CPU.
 */
#ifndef VP_HOTFIX_DIGEST_H
#define VP_HOTFIX_DIGEST_H

#include <vmpoke/types.h>

#include "base/sha256.h"

/* @code (@size bytes) stands at @addr. -EINVAL: not a row of whole instructions, or empty. */
int vp_code_digest(const uint8_t *code, size_t size, vp_gva addr, uint8_t out[VP_SHA256_SIZE],
		   struct vp_err *err);

#endif /* VP_HOTFIX_DIGEST_H */
