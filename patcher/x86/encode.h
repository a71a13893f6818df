/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction encoding: what a patcher writes. Each returns the length written, or -errno. */
#ifndef VP_X86_ENCODE_H
#define VP_X86_ENCODE_H

#include <vmpoke/types.h>

/* A single nop instruction of @len bytes, 1..15 (SDM vol. 2, NOP; longer ones by prefixes).
 * -EINVAL. */
int vp_encode_nop(uint8_t *out, size_t len);

/* jmp at @at to @to: @len 2 (rel8) or 5 (rel32). -ERANGE if out of reach, -EINVAL. */
int vp_encode_jmp(uint8_t *out, size_t len, vp_gva at, vp_gva to);

/* call rel32 at @at to @to, 5 bytes. -ERANGE. */
int vp_encode_call(uint8_t *out, vp_gva at, vp_gva to);

#endif /* VP_X86_ENCODE_H */
