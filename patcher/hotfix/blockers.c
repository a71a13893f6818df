/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/blockers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

size_t vp_blockers_kept(const struct vp_blockers *b)
{
	if (!b->list)
		return 0;
	return b->n < VP_BLOCKERS_KEPT ? b->n : VP_BLOCKERS_KEPT;
}

void vp_blockers_add(struct vp_blockers *b, const char *fmt, ...)
{
	struct vp_err text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	vp_text_clean(text.text);
	b->added++;
	if (!b->list && !b->lost) {
		b->list = calloc(VP_BLOCKERS_KEPT, sizeof(*b->list));
		b->lost = !b->list;
	}
	for (size_t i = 0; i < vp_blockers_kept(b); i++)
		if (!strcmp(b->list[i].text, text.text))
			return;
	if (b->list && b->n < VP_BLOCKERS_KEPT)
		b->list[b->n] = text;
	b->n++;
}

void vp_blockers_free(struct vp_blockers *b)
{
	free(b->list);
	*b = (struct vp_blockers){ 0 };
}
