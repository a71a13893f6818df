/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by livepatch.c, _funcs.c, _reach.c, _write.c. */
#ifndef VP_HOTFIX_LIVEPATCH_INTERNAL_H
#define VP_HOTFIX_LIVEPATCH_INTERNAL_H

#include <vmpoke/hotfix.h>

#include "hotfix/livepatch.h"
#include "hotfix/object.h"

#define VP_LP_OBJECTS 64u /* that one module patches */

/* A function that the module replaces. */
struct vp_lp_func {
	const char *name;   /* of the old one */
	const char *object; /* the module that has it; NULL: the kernel */
	uint64_t sympos;    /* from 1, among those of that name; 0: it is the only one */
	struct vp_hotfix_place to;
};

/* A stretch of code that is taken or left as one: a function, or a section without any. */
struct vp_lp_item {
	size_t section;
	uint64_t at, size;
	const char *name;
	bool taken;
};

struct vp_lp_range {
	size_t section;
	uint64_t at, size;
};

/* An entry of .altinstructions. */
struct vp_lp_alternative {
	uint64_t at, size;		   /* the entry in its table */
	struct vp_hotfix_place site, from; /* the code, and what may replace it */
	const struct vp_elf_reloc *relocs[2];
	uint8_t from_length;
	bool taken;
};

struct vp_lp {
	const struct vp_elf_object *elf;
	const struct vp_elf_section *sections;
	const struct vp_elf_object_symbol *symbols;
	size_t nsections, nsymbols;
	const struct vp_klp_layout *layout;
	const char *name, *version, *description;
	char release[VMPOKE_FOR_MAX + 1];
	struct vp_lp_func funcs[VMPOKE_FUNCTION_COUNT];
	size_t nfuncs;
	/* Where its struct klp_patch, klp_object, klp_func are: nobody needs them here. */
	struct vp_lp_range own[VP_LP_OBJECTS + 2];
	size_t nown;
	struct vp_lp_item *items;
	size_t nitems;
	bool *whole; /* by section: data that is taken */
	struct vp_lp_alternative *alternatives;
	size_t nalternatives, alternatives_in; /* the section */
	struct vp_blockers *b;
	bool no_memory;
};

/* The only section of that name that has bytes; 0: none, or (a blocker) several. */
size_t vp_lp_section(struct vp_lp *lp, const char *name);

/* Which functions it replaces. */
void vp_lp_read_funcs(struct vp_lp *lp);

/* What these reach: taken. */
void vp_lp_reach(struct vp_lp *lp);

/* The item that is taken and has this byte; NULL. */
const struct vp_lp_item *vp_lp_taken(const struct vp_lp *lp, size_t section, uint64_t offset);

/* Is it in one of the ranges of lp->own? */
bool vp_lp_is_own(const struct vp_lp *lp, size_t section, uint64_t offset);

/* The object. -ENOMEM; a name with two meanings is a blocker. */
int vp_lp_write(struct vp_lp *lp, void **image, size_t *len, struct vp_err *err);

#endif /* VP_HOTFIX_LIVEPATCH_INTERNAL_H */
