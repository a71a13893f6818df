/* SPDX-License-Identifier: Apache-2.0 */
#include "build/lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The old lines from @from up to @end, all of which moved by as much. */
static void move(struct vp_lines *l, size_t from, size_t end, size_t *new)
{
	for (; from < end && from <= l->n; from++)
		l->to[from] = (uint32_t)(*new)++;
}

static void fill(struct vp_lines *l, const size_t *starts)
{
	size_t old = 1, new = 1;

	for (size_t i = 0; i < l->file->n; i++) {
		const struct vp_patch_hunk *h = &l->patch->hunks[l->file->first + i];

		move(l, old, starts[i], &new);
		old = starts[i];
		for (size_t j = 0; j < h->n; j++) {
			char op = l->patch->lines[h->first + j].op;

			if (op == ' ')
				move(l, old, old + 1, &new);
			else if (op == '+')
				new ++;
			old += op != '+';
		}
	}
	move(l, old, l->n + 1, &new);
}

int vp_lines_make(struct vp_lines *l, const struct vp_patch *patch,
		  const struct vp_patch_file *file, const char *old, size_t len, struct vp_err *err)
{
	size_t *starts = calloc(file->n + 1, sizeof(*starts)), ignored;
	char *text = NULL;
	int rc = 0;

	*l = (struct vp_lines){ .n = 1, .patch = patch, .file = file };
	for (size_t i = 0; i < len; i++)
		l->n += old[i] == '\n';
	l->to = calloc(l->n + 2, sizeof(*l->to));
	if (!starts || !l->to)
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = vp_patch_apply(patch, file, old, len, &text, &ignored, starts, err);
	if (!rc)
		fill(l, starts);
	free(text);
	free(starts);
	return rc;
}

void vp_lines_free(struct vp_lines *l)
{
	free(l->to);
	*l = (struct vp_lines){ .n = 0 };
}

/* Does a line hold this number, in any way to write it? */
static bool holds(const struct vp_patch_line *line, int64_t number)
{
	for (size_t i = 0; i < line->len; i++) {
		char digits[32], *end;
		size_t n = 0;

		if (!isdigit((unsigned char)line->text[i]) ||
		    (i && isalnum((unsigned char)line->text[i - 1])))
			continue;
		while (i + n < line->len && n < sizeof(digits) - 1 &&
		       isalnum((unsigned char)line->text[i + n])) {
			digits[n] = line->text[i + n];
			n++;
		}
		digits[n] = '\0';
		if (strtoll(digits, &end, 0) == number)
			return true;
	}
	return false;
}

bool vp_lines_moved(void *arg, int64_t from, int64_t to)
{
	const struct vp_lines *l = arg;

	if (from < 1 || (uint64_t)from > l->n || l->to[from] != to || to == from)
		return false;
	for (size_t i = 0; i < l->file->n; i++) {
		const struct vp_patch_hunk *h = &l->patch->hunks[l->file->first + i];

		for (size_t j = 0; j < h->n; j++)
			if (l->patch->lines[h->first + j].op != ' ' &&
			    holds(&l->patch->lines[h->first + j], to))
				return false;
	}
	return true;
}
