/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the tables that speak of kept code. */
#include <string.h>

#include "diff/keep_internal.h"

void vp_keep_each_entry(struct vp_keep *k, const char *name, size_t item, vp_keep_see_entry see,
			void *arg)
{
	struct vp_unit *u = k->source->code;
	const struct vp_table *t = vp_tables_of_code;
	uint64_t size, at = 0;
	size_t section, n;

	while (t->section && strcmp(t->section, name))
		t++;
	if (!t->section || !vp_table_find(u, t, &section, &size))
		return;
	for (; vp_table_next(u, section, size, item, &at); at += size) {
		const struct vp_elf_reloc *r = vp_unit_relocs(u, section, at, size, &n);

		if (n == t->of)
			see(arg, item, u->sections[section].data + at, size, r);
		else
			vp_blockers_add(k->blockers, "%.100s: section %.60s is of an unknown form",
					vp_unit_name(u, item), name);
	}
}

bool vp_keep_replacement(struct vp_unit *u, const uint8_t *entry, uint64_t size,
			 const struct vp_elf_reloc *relocs, size_t *section, uint64_t *at)
{
	const struct vp_elf_object_symbol *s = &u->symbols[relocs[1].symbol];
	uint64_t len = entry[size - 1];

	if (!len || !s->section || s->section >= u->nsections)
		return false;
	*section = s->section;
	*at = s->value + (uint64_t)relocs[1].addend;
	return *at <= u->sections[s->section].size && len <= u->sections[s->section].size - *at &&
	       u->sections[s->section].data;
}
