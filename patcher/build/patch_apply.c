/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/patch.h"

/* The lines of a file. */
struct lines {
	const char **at; /* n + 1 of them: the last is the end */
	size_t n;
	bool open; /* the last has no end of the line */
};

static int split(const char *text, size_t len, struct lines *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	out->open = len && text[len - 1] != '\n';
	out->n = n + out->open;
	out->at = reallocarray(NULL, out->n + 1, sizeof(*out->at));
	if (!out->at)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < len; i++)
		if (!i || text[i - 1] == '\n')
			out->at[n++] = text + i;
	out->at[out->n] = text + len;
	return 0;
}

static bool same_line(const struct lines *l, size_t i, const struct vp_patch_line *want)
{
	bool open = l->open && i == l->n - 1;
	size_t len = (size_t)(l->at[i + 1] - l->at[i]) - !open;

	return len == want->len && open == want->open && !memcmp(l->at[i], want->text, len);
}

/* Does @h stand at line @at, from 0? */
static bool fits(const struct vp_patch *p, const struct vp_patch_hunk *h, const struct lines *l,
		 size_t at)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct vp_patch_line *want = &p->lines[h->first + i];

		if (want->op == '+')
			continue;
		if (at >= l->n || !same_line(l, at, want))
			return false;
		at++;
	}
	return true;
}

/*
 * Where @h is, not before line @from. @moved: how far the hunk before was from where it says. A
 * hunk that only adds lines has no lines to find: its numbers must do.
 */
static int find(const struct vp_patch *p, const struct vp_patch_hunk *h, const struct lines *l,
		size_t from, long moved, size_t *out)
{
	long wanted = (long)h->old_start - (h->old_count ? 1 : 0) + moved;
	size_t places = 0;

	if (wanted >= (long)from && (size_t)wanted <= l->n && fits(p, h, l, (size_t)wanted)) {
		*out = (size_t)wanted;
		return 0;
	}
	if (!h->old_count)
		return -ENOENT;
	for (size_t at = from; at + h->old_count <= l->n; at++) {
		if (!fits(p, h, l, at))
			continue;
		*out = at;
		places++;
	}
	return places == 1 ? 0 : places ? -EEXIST : -ENOENT;
}

static void put_lines(FILE *to, const struct lines *l, size_t from, size_t end)
{
	if (end > from)
		fwrite(l->at[from], 1, (size_t)(l->at[end] - l->at[from]), to);
}

static void put_hunk(FILE *to, const struct vp_patch *p, const struct vp_patch_hunk *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct vp_patch_line *line = &p->lines[h->first + i];

		if (line->op == '-')
			continue;
		fwrite(line->text, 1, line->len, to);
		if (!line->open)
			fputc('\n', to);
	}
}

static int put_all(FILE *to, const struct vp_patch *p, const struct vp_patch_file *f,
		   const struct lines *l, size_t *starts, struct vp_err *err)
{
	size_t done = 0, at = 0;
	long moved = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct vp_patch_hunk *h = &p->hunks[f->first + i];
		int rc = find(p, h, l, done, moved, &at);

		if (rc == -EEXIST)
			return vp_err_set(err, -ENOEXEC,
					  "the diff does not apply: %.120s: hunk %zu is not at "
					  "line %zu and fits at several others",
					  f->path, i + 1, h->old_start);
		if (rc)
			return vp_err_set(err, -ENOEXEC,
					  "the diff does not apply: %.120s: hunk %zu (line %zu) "
					  "is not found in this source",
					  f->path, i + 1, h->old_start);
		moved = (long)at - ((long)h->old_start - (h->old_count ? 1 : 0));
		put_lines(to, l, done, at);
		put_hunk(to, p, h);
		if (starts)
			starts[i] = at + 1;
		done = at + h->old_count;
	}
	put_lines(to, l, done, l->n);
	return 0;
}

int vp_patch_apply(const struct vp_patch *p, const struct vp_patch_file *f, const char *old,
		   size_t old_len, char **out, size_t *out_len, size_t *starts, struct vp_err *err)
{
	struct lines l = { 0 };
	FILE *to = NULL;
	int rc = split(old, old_len, &l);

	*out = NULL;
	if (!rc)
		to = open_memstream(out, out_len);
	if (to)
		rc = put_all(to, p, f, &l, starts, err);
	else
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	if (to && fclose(to) && !rc)
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	free(l.at);
	if (rc) {
		free(*out);
		*out = NULL;
	}
	return rc;
}
