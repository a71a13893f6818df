/* SPDX-License-Identifier: Apache-2.0 */
/* What a table of symbols tells beside vmpoke/symbol.h. */
#ifndef VP_ELF_SYMTAB_H
#define VP_ELF_SYMTAB_H

#include <vmpoke/symbol.h>

/*
 * Where what vp_symtab_nearest() names at @addr ends: by its size, if @addr lies within that; where
 * no size is known, at the next symbol. False: that cannot be told.
 */
bool vp_symtab_end(const struct vp_symtab *tab, vp_gva addr, vp_gva *end);

#endif /* VP_ELF_SYMTAB_H */
