/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the linker: link.c, sections.c, fixups.c, alternatives.c. */
#ifndef VP_HOTFIX_LINK_INTERNAL_H
#define VP_HOTFIX_LINK_INTERNAL_H

#include "hotfix/link.h"

/* A relocation that is still to be done, its symbol resolved. */
struct fixup {
	uint64_t offset; /* in its section */
	uint32_t type;	 /* of a known size; R_X86_64_NONE: it was taken out */
	size_t section;	 /* what it refers to; 0: value is an address of the guest */
	uint64_t value;	 /* in that section */
	int64_t addend;
	const char *name; /* of what it refers to, for texts */
};

/* A section that is kept. */
struct part {
	bool kept;
	enum vp_hotfix_area area;
	uint64_t at;	      /* in its area */
	uint8_t *bytes;	      /* its bytes now; NULL: zeroes */
	const uint8_t *was;   /* as the object has them */
	struct fixup *fixups; /* sorted by nothing */
	size_t nfixups, room;
};

struct vp_hotfix_link {
	const struct vp_hotfix_object *object;
	const struct vp_elf_object *elf;
	const struct vp_hotfix_world *world; /* while it is opened */
	struct vp_blockers *b;		     /* likewise */
	const struct vp_elf_section *sections;
	const struct vp_elf_object_symbol *symbols;
	size_t nsections, nsymbols;
	struct part *parts; /* by section */
	struct vp_gva_known {
		int state; /* 0: not asked; 1: known; -1: it cannot be had */
		vp_gva at;
	} * known;     /* by symbol */
	vp_gva *old;   /* by function of the object */
	vp_gva *calls; /* by call */
	size_t size[VP_AREA_COUNT];
	bool no_memory;
};

/* The function of the object around this place, for texts: "" if none. */
const char *vp_link_function(const struct vp_hotfix_link *l, size_t section, uint64_t offset);

/* Which sections are kept, and where; copies their bytes. */
void vp_link_sections(struct vp_hotfix_link *l);

/* What one relocation of section @from means. False: a blocker tells why not. */
bool vp_link_fixup(struct vp_hotfix_link *l, size_t from, const struct vp_elf_reloc *reloc,
		   struct fixup *out);

/* Add one to a kept section. */
void vp_link_add(struct vp_hotfix_link *l, size_t section, const struct fixup *f);

/* The fixup whose field begins there; NULL. */
struct fixup *vp_link_fixup_at(struct vp_hotfix_link *l, size_t section, uint64_t offset);

/* All relocations of kept sections; the old functions; the calls. */
void vp_link_fixups(struct vp_hotfix_link *l);

/* After vp_link_fixups(): change the text as the guest's start-up would. */
void vp_link_alternatives(struct vp_hotfix_link *l);

#endif /* VP_HOTFIX_LINK_INTERNAL_H */
