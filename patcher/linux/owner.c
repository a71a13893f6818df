/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool vp_span_meets(uint64_t start, uint64_t len, const struct vp_site *s)
{
	return start - s->addr.v < s->len || s->addr.v - start < len;
}

int vp_spans_add(struct vp_spans *list, uint64_t start, uint32_t len, uint64_t who,
		 struct vp_err *err)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		void *p = reallocarray(list->s, cap, sizeof(*list->s));

		if (!p)
			return vp_err_set(err, -ENOMEM, "out of memory");
		list->s = p;
		list->cap = cap;
	}
	list->s[list->n++] = (struct vp_span){ .start = start, .who = who, .len = len };
	return 0;
}

const struct vp_span *vp_spans_find(const struct vp_spans *list, const struct vp_site *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (vp_span_meets(list->s[i].start, list->s[i].len, s))
			return &list->s[i];
	return NULL;
}

const char *vp_owner_name(const struct vp_linux *l, uint64_t addr, char *text, size_t size)
{
	uint64_t offset = 0;
	const char *name = vp_linux_nearest(l, VP_GVA(addr), &offset);

	if (name && offset)
		snprintf(text, size, "%.90s+0x%llx", name, (unsigned long long)offset);
	else if (name)
		snprintf(text, size, "%.90s", name);
	else
		snprintf(text, size, "0x%llx", (unsigned long long)addr);
	return text;
}
