/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of a guest kernel, from its ELF file.
 *
 * Threads: a loaded table is read only and may be used by many threads.
 */
#ifndef VMPOKE_SYMBOL_H
#define VMPOKE_SYMBOL_H

#include <vmpoke/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vp_symtab;

/*
 * Read the symbol table of an ELF64 x86-64 image in memory (@image is borrowed
 * during the call only). An image without symbols gives an empty table.
 * @what names the image in error texts. -ENOEXEC: not such an image, or damaged. -ENOMEM.
 */
int vp_symtab_load(const void *image, size_t len, const char *what, struct vp_symtab **out,
		   struct vp_err *err);
void vp_symtab_free(struct vp_symtab *tab);

/* One symbol of a table that is made by hand. */
struct vp_symbol {
	const char *name;
	vp_gva addr;
};

/* A table of @n symbols, which are copied. Several may have one name or one address. -ENOMEM. */
int vp_symtab_make(const struct vp_symbol *symbols, size_t n, struct vp_symtab **out,
		   struct vp_err *err);

/*
 * A table of the symbols of both, which are copied. @aliases (NULL: none), owned by the result
 * then, has more names that are found, but neither listed nor counted. -ENOMEM.
 */
int vp_symtab_merge(const struct vp_symtab *a, const struct vp_symtab *b, struct vp_symtab *aliases,
		    struct vp_symtab **out, struct vp_err *err);

/* The address of a symbol. -ENOENT; -EEXIST if several have the name and differ. */
int vp_symtab_find(const struct vp_symtab *tab, const char *name, vp_gva *out, struct vp_err *err);

/* The nearest symbol at or below @addr and the distance to it, or NULL. */
const char *vp_symtab_nearest(const struct vp_symtab *tab, vp_gva addr, uint64_t *offset);

/* Call @fn for each symbol, by address, until it returns non-zero; return that. */
int vp_symtab_each(const struct vp_symtab *tab, int (*fn)(void *arg, const char *name, vp_gva addr),
		   void *arg);

/* How many symbols it has. */
size_t vp_symtab_count(const struct vp_symtab *tab);

/*
 * Parse "0x1234", "symbol", "symbol+0x10", "symbol-4". Numbers are decimal, or hexadecimal with 0x;
 * 16 digits are a hexadecimal address without it, too. @tab may be NULL: numbers only. -EINVAL,
 * -ENOENT, -EEXIST, -ERANGE.
 */
int vp_symtab_parse(const struct vp_symtab *tab, const char *text, vp_gva *out, struct vp_err *err);

#ifdef __cplusplus
}
#endif

#endif /* VMPOKE_SYMBOL_H */
