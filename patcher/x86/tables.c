/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/tables.h"

#include <string.h>

void vp_tables_init(struct vp_tables *tab, struct vp_phys_reader mem)
{
	tab->mem = mem;
	tab->reads = tab->next = 0;
	tab->lost = false;
	for (unsigned int i = 0; i < VP_TABLES_MAX; i++)
		tab->gpa[i] = UINT64_MAX;
}

int vp_tables_read(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	uint64_t page = gpa.v & ~(uint64_t)(VP_TABLE_SIZE - 1);
	struct vp_tables *tab = arg;
	unsigned int i = 0;
	int rc;

	tab->reads++;
	tab->lost = true;
	while (i < VP_TABLES_MAX && tab->gpa[i] != page)
		i++;
	if (i == VP_TABLES_MAX) {
		i = tab->next % VP_TABLES_MAX;
		tab->gpa[i] = UINT64_MAX;
		rc = tab->mem.read(tab->mem.arg, VP_GPA(page), tab->page[i], VP_TABLE_SIZE, err);
		if (rc)
			return rc;
		tab->gpa[i] = page;
		tab->next++;
	}
	memcpy(buf, tab->page[i] + (gpa.v - page), len);
	tab->lost = false;
	return 0;
}

int vp_tables_walk(struct vp_tables *tab, const struct vp_paging *p, vp_gva addr,
		   struct vp_map *map, struct vp_err *err)
{
	const struct vp_phys_reader reader = { vp_tables_read, tab };

	tab->reads = 0;
	tab->lost = false;
	return vp_walk(p, &reader, addr, map, err);
}
