/* SPDX-License-Identifier: Apache-2.0 */
/* One relocation: its name, the size of its field, its value (System V ABI for x86-64, 4.4.1). */
#ifndef VP_HOTFIX_RELOC_H
#define VP_HOTFIX_RELOC_H

#include <vmpoke/types.h>

/* "R_X86_64_PC32", or "unknown". */
const char *vp_reloc_name(uint32_t type);

/* The field's bytes: 0 for R_X86_64_NONE, 4 or 8; -EOPNOTSUPP: kernel code has none of these. */
int vp_reloc_size(uint32_t type);

/*
 * Write the field, which stands at @at in the guest. @value is symbol plus addend. -ERANGE: it does
 * not fit; -EOPNOTSUPP. Then nothing is written.
 */
int vp_reloc_apply(uint8_t *field, uint32_t type, uint64_t value, vp_gva at);

#endif /* VP_HOTFIX_RELOC_H */
