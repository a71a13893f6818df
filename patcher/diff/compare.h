/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two compilations of one source, item by item. What is compared is content: bytes, and what
 * relocations mean; so it does not count where something lies, what number the compiler gave to a
 * local symbol or a text, or on which line a WARN stands.
 */
#ifndef VP_DIFF_COMPARE_H
#define VP_DIFF_COMPARE_H

#include "diff/unit.h"

/*
 * Lines of the source that only moved: a constant @from in the old code that is @to in the new one
 * is a __LINE__, if this says so. NULL: no constant is.
 */
struct vp_moved_lines {
	bool (*moved)(void *arg, int64_t from, int64_t to);
	void *arg;
};

struct vp_compare {
	struct vp_unit *old, *new;
	size_t *to_new; /* by the number of the old item: its partner; VP_NO_ITEM */
	size_t *to_old;
	struct vp_moved_lines lines;
};

/* Where two items first differ. */
enum vp_differs {
	VP_SAME,
	VP_DIFFERS_SIZE,
	VP_DIFFERS_BYTES,
	VP_DIFFERS_REF,	  /* what a relocation means */
	VP_DIFFERS_TABLE, /* what a table says of the code: a static key, a fault, an alternative */
};

struct vp_difference {
	enum vp_differs what;
	uint64_t at;	   /* byte of the item; SIZE: of the first byte that differs */
	const char *table; /* TABLE: the section */
};

/* Find partners. Both units must outlive @out. -ENOMEM. */
int vp_compare_open(struct vp_unit *old, struct vp_unit *new, struct vp_compare *out,
		    struct vp_err *err);
void vp_compare_close(struct vp_compare *c);

/* An old item and a new one. foo.cold is an item of its own. */
struct vp_difference vp_compare_items(const struct vp_compare *c, size_t old, size_t new);

/* Do two references mean the same? @code: a branch or an address in code asks. */
bool vp_compare_refs(const struct vp_compare *c, const struct vp_ref *old,
		     const struct vp_ref *new);

/* --- tables that speak of code ------------------------------------------------------------- */

struct vp_table {
	const char *section;
	uint64_t size;	 /* of an entry; 0: the number of relocations tells */
	unsigned int of; /* relocations of an entry */
};

extern const struct vp_table vp_tables_of_code[]; /* ends with a section of NULL */

/* The section of @table in @u and the size of its entries; false: it has none. */
bool vp_table_find(const struct vp_unit *u, const struct vp_table *table, size_t *section,
		   uint64_t *size);

/*
 * The next entry of a table, from byte *@at on, that speaks of @item: *@at gets where it begins.
 */
bool vp_table_next(struct vp_unit *u, size_t section, uint64_t size, size_t item, uint64_t *at);

#endif /* VP_DIFF_COMPARE_H */
