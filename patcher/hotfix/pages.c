/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/pages.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096ull

static int read_table(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_pages *p = arg;
	uint64_t base = gpa.v & ~(PAGE - 1);
	size_t i;
	int rc;

	for (i = 0; i < p->n && p->table[i].gpa != base; i++)
		;
	if (i == p->n) {
		i = p->next++ % VP_PAGES_TABLES;
		p->table[i].gpa = UINT64_MAX;
		rc = p->t->ops->read(p->t, VP_GPA(base), p->table[i].entry, PAGE, err);
		if (rc)
			return rc;
		p->table[i].gpa = base;
		p->n = p->n < VP_PAGES_TABLES ? p->n + 1 : VP_PAGES_TABLES;
	}
	if (len > PAGE - (gpa.v - base))
		return -EINVAL;
	memcpy(buf, (uint8_t *)p->table[i].entry + (gpa.v - base), len);
	return 0;
}

int vp_pages_walk(struct vp_pages *p, const struct vp_paging *space, vp_gva at, struct vp_map *out,
		  struct vp_err *err)
{
	const struct vp_phys_reader mem = { read_table, p };

	return vp_walk(space, &mem, at, out, err);
}
