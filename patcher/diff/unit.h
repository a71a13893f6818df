/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One compiled source as rows of items: its functions and variables, each with where it lies, and
 * what each relocation means in terms of them. The object was compiled with a section for each
 * function and variable, but more than one item in a section is fine.
 */
#ifndef VP_DIFF_UNIT_H
#define VP_DIFF_UNIT_H

#include <vmpoke/types.h>

#include "elf/object.h"

#define VP_NO_ITEM SIZE_MAX

struct vp_item {
	const char *name; /* its symbol; "" if it has none: then it is all of its section */
	size_t section;
	uint64_t offset, size;
	bool code, global;
	bool early; /* in code that is thrown away after start-up, or at the end */
	size_t of;  /* the function that foo.cold belongs to; else itself */
};

struct vp_unit {
	const struct vp_elf_object *elf;
	const struct vp_elf_section *sections;
	size_t nsections;
	const struct vp_elf_object_symbol *symbols;
	size_t nsymbols;
	struct vp_item *items; /* by section and offset */
	size_t nitems;
	struct vp_unit_relocs {
		struct vp_elf_reloc *list; /* by offset */
		size_t n;
	} * relocs;
	/* The instruction that was decoded last: relocations are asked for in their order. */
	size_t cursor_item;
	uint64_t cursor_at, cursor_len;
};

enum vp_ref_kind {
	VP_REF_NONE,  /* nothing that can be told */
	VP_REF_NAME,  /* a symbol that is not of this source */
	VP_REF_ITEM,  /* an item of it */
	VP_REF_BYTES, /* a text or constant that the linker may merge with its like */
};

struct vp_ref {
	enum vp_ref_kind kind;
	const char *name; /* NAME */
	size_t item;	  /* ITEM */
	/* ITEM, NAME: what the relocation adds to it. BYTES: what is added to where the bytes are.
	 */
	int64_t addend;
	int64_t into;	/* ITEM: how far behind its beginning the place is that is meant */
	size_t section; /* BYTES */
	uint64_t at, size;
	bool branch; /* a call or jump goes there */
};

/* @elf must outlive @out. -ENOEXEC: not what a compiler makes; -ENOMEM. */
int vp_unit_open(const struct vp_elf_object *elf, struct vp_unit *out, struct vp_err *err);
void vp_unit_close(struct vp_unit *u);

/* The item that byte @offset of @section belongs to, or VP_NO_ITEM. */
size_t vp_unit_at(const struct vp_unit *u, size_t section, uint64_t offset);

/* The item that a symbol @name stands at the beginning of, whatever its own name; VP_NO_ITEM. */
size_t vp_unit_named(const struct vp_unit *u, const char *name);

/* What @r of @section means. */
struct vp_ref vp_unit_ref(struct vp_unit *u, size_t section, const struct vp_elf_reloc *r);

/* The relocations of @size bytes at @offset. */
const struct vp_elf_reloc *vp_unit_relocs(const struct vp_unit *u, size_t section, uint64_t offset,
					  uint64_t size, size_t *n);

/* A text for users: the item's name, or its section's. */
const char *vp_unit_name(const struct vp_unit *u, size_t item);

/* --- names --------------------------------------------------------------------------------- */

/* "key.12", "__UNIQUE_ID_x34": how long it is without the number, if the compiler numbered it. */
size_t vp_name_base(const char *name, bool *numbered);

/* foo.isra.0, foo.constprop.0, foo.part.0: not the function that the source has. */
bool vp_name_is_clone(const char *name);

/* Statics that macros make, one for each use: nobody looks at another's. */
bool vp_name_is_private(const char *name);

#endif /* VP_DIFF_UNIT_H */
