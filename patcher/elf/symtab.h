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

/*
 * As vp_symtab_make(); @global: as many, which of them are no source's own (NULL: none is known to
 * be).
 */
int vp_symtab_make_global(const struct vp_symbol *symbols, const bool *global, size_t n,
			  struct vp_symtab **out, struct vp_err *err);

/* As vp_symtab_find(), of those that are known to be global, aliases left out. */
int vp_symtab_find_global(const struct vp_symtab *tab, const char *name, vp_gva *out,
			  struct vp_err *err);

#endif /* VP_ELF_SYMTAB_H */
