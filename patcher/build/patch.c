/* SPDX-License-Identifier: Apache-2.0 */
#include "build/patch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "build/scratch.h"

/* Where the reader is. */
struct reader {
	struct vp_patch *p;
	const char *what, *at, *end;
	size_t line; /* of the diff, for texts */
	/* Of the file whose header has been read, up to its first hunk. */
	char old[VP_PATCH_PATH], new[VP_PATCH_PATH];
	struct vp_err *err;
};

struct line {
	const char *text;
	size_t len;
};

static bool next_line(struct reader *r, struct line *out)
{
	const char *end;

	if (r->at == r->end)
		return false;
	end = memchr(r->at, '\n', (size_t)(r->end - r->at));
	out->text = r->at;
	out->len = (size_t)((end ? end : r->end) - r->at);
	r->at = end ? end + 1 : r->end;
	r->line++;
	return true;
}

static bool begins(const struct line *l, const char *with)
{
	return l->len >= strlen(with) && !memcmp(l->text, with, strlen(with));
}

static int refuse(const struct reader *r, const char *why)
{
	return vp_err_set(r->err, -ENOEXEC, "%.80s, line %zu: %s", r->what, r->line, why);
}

static int no_memory(const struct reader *r)
{
	return vp_err_set(r->err, -ENOMEM, "out of memory");
}

/* Room for one more in a list that grows by doubling: @n is how many there are. */
static bool grow(void *list, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1))
		return true;
	more = reallocarray(*(void **)list, n ? 2 * n : 1, size);
	if (!more)
		return false;
	*(void **)list = more;
	return true;
}

/* --- paths --------------------------------------------------------------------------------- */

static bool leaves_tree(const char *path)
{
	if (path[0] == '/')
		return true;
	for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
		if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/'))
			return true;
	return false;
}

/* "--- a/net/core/sock.c	2024-01-01": the path without its first part; "" for /dev/null. */
static int read_path(struct reader *r, const struct line *l, char *out)
{
	const char *text = l->text + 4, *slash;
	size_t len = l->len - 4;
	char path[VP_PATCH_PATH];

	for (size_t i = 0; i < len; i++)
		if (text[i] == '\t' || text[i] == '\r' || text[i] == ' ')
			len = i;
	if (len >= sizeof(path) || !len)
		return refuse(r, "a path is missing, or too long");
	memcpy(path, text, len);
	path[len] = '\0';
	out[0] = '\0';
	if (!strcmp(path, "/dev/null"))
		return 0;
	if (leaves_tree(path))
		return refuse(r, "a path leads out of the source tree");
	slash = strchr(path, '/');
	if (!slash || !vp_scratch_is_plain(slash + 1) || slash[1] == '/' || slash[1] == '-')
		return refuse(r, "not a path of a source tree, after a/ or b/");
	snprintf(out, VP_PATCH_PATH, "%s", slash + 1);
	return 0;
}

/* --- hunks ------------------------------------------------------------------------------- */

static bool number(const char **at, const char *end, size_t *out)
{
	size_t v = 0, digits = 0;

	for (; *at < end && isdigit((unsigned char)**at); (*at)++, digits++) {
		v = v * 10 + (size_t)(**at - '0');
		if (v > VP_PATCH_LINE_LAST)
			return false;
	}
	*out = v;
	return digits > 0;
}

/* "12,7": the second is 1 where it is not told. */
static bool range(const char **at, const char *end, size_t *start, size_t *count)
{
	*count = 1;
	if (!number(at, end, start))
		return false;
	if (*at == end || **at != ',')
		return true;
	(*at)++;
	return number(at, end, count);
}

static bool read_numbers(const struct line *l, struct vp_patch_hunk *h)
{
	const char *at = l->text + 4, *end = l->text + l->len;

	if (!range(&at, end, &h->old_start, &h->old_count) || end - at < 2 || memcmp(at, " +", 2))
		return false;
	at += 2;
	if (!range(&at, end, &h->new_start, &h->new_count) || end - at < 3 || memcmp(at, " @@", 3))
		return false;
	/* Nothing before the first line but the line 0. */
	return (h->old_start || !h->old_count) && (h->new_start || !h->new_count);
}

static int add_line(struct reader *r, char op, const struct line *l)
{
	struct vp_patch *p = r->p;

	if (!grow(&p->lines, p->nlines, sizeof(*p->lines)))
		return no_memory(r);
	p->lines[p->nlines++] = (struct vp_patch_line){
		.op = op,
		.text = l->len ? l->text + 1 : l->text,
		.len = l->len ? l->len - 1 : 0,
	};
	return 0;
}

/* "\ No newline at end of file" speaks of the line before it. */
static void look_for_open_end(struct reader *r)
{
	struct line l;

	if (r->at == r->end || *r->at != '\\' || !next_line(r, &l))
		return;
	r->p->lines[r->p->nlines - 1].open = true;
}

static int read_hunk(struct reader *r, const struct line *header)
{
	struct vp_patch *p = r->p;
	struct vp_patch_hunk h = { .first = p->nlines };
	size_t old = 0, new = 0;
	bool changes = false;
	struct line l;
	int rc = 0;

	if (!read_numbers(header, &h))
		return refuse(r, "the numbers of a hunk make no sense");
	while (!rc && (old < h.old_count || new < h.new_count)) {
		char op;

		if (!next_line(r, &l))
			return refuse(r, "the diff ends in the middle of a hunk");
		op = ' '; /* where mailers cut blanks off */
		if (l.len)
			op = *l.text;
		if (op != ' ' && op != '-' && op != '+')
			return refuse(r, "a line of a hunk begins neither with a blank, - nor +");
		old += op != '+';
		new += op != '-';
		changes |= op != ' ';
		rc = add_line(r, op, &l);
		if (!rc)
			look_for_open_end(r);
	}
	if (!rc && (old != h.old_count || new != h.new_count))
		rc = refuse(r, "a hunk has other lines than its numbers say");
	if (!rc && !changes)
		rc = refuse(r, "a hunk changes nothing");
	h.n = p->nlines - h.first;
	if (!rc && !grow(&p->hunks, p->nhunks, sizeof(*p->hunks)))
		rc = no_memory(r);
	if (!rc)
		p->hunks[p->nhunks++] = h;
	return rc;
}

/* --- files --------------------------------------------------------------------------------- */

static int begin_file(struct reader *r)
{
	struct vp_patch *p = r->p;
	struct vp_patch_file *f;

	if (strcmp(r->old, r->new) && *r->old && *r->new)
		return refuse(r, "it renames a file, which is not taken");
	if (!*r->old && !*r->new)
		return refuse(r, "it names no file");
	if (p->nfiles == VP_PATCH_FILES)
		return refuse(r, "too many files");
	if (!grow(&p->files, p->nfiles, sizeof(*p->files)))
		return no_memory(r);
	f = &p->files[p->nfiles];
	*f = (struct vp_patch_file){ .is_new = !*r->old, .is_gone = !*r->new, .first = p->nhunks };
	snprintf(f->path, sizeof(f->path), "%s", *r->new ? r->new : r->old);
	for (size_t i = 0; i < p->nfiles; i++)
		if (!strcmp(p->files[i].path, f->path))
			return refuse(r, "it has one file twice");
	p->nfiles++;
	return 0;
}

static int read_file(struct reader *r, const struct line *first)
{
	struct line l;
	int rc = read_path(r, first, r->old);

	if (rc)
		return rc;
	if (!next_line(r, &l) || !begins(&l, "+++ "))
		return refuse(r, "behind a line --- comes none that begins with +++");
	rc = read_path(r, &l, r->new);
	if (!rc)
		rc = begin_file(r);
	while (!rc && r->end - r->at >= 4 && !memcmp(r->at, "@@ -", 4) && next_line(r, &l)) {
		rc = read_hunk(r, &l);
		r->p->files[r->p->nfiles - 1].n++;
	}
	if (!rc && !r->p->files[r->p->nfiles - 1].n)
		rc = refuse(r, "a file has no hunk");
	return rc;
}

/* "Subject: [PATCH 5.10 3/7] net: ...": what comes behind the brackets. */
static void read_subject(struct reader *r, const struct line *l)
{
	char text[sizeof(r->p->subject)], *from = text;
	size_t len = l->len - strlen("Subject:");

	if (r->p->subject[0])
		return;
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, l->text + strlen("Subject:"), len);
	text[len] = '\0';
	while (*from == ' ' || *from == '[') {
		const char *end = *from == '[' ? strchr(from, ']') : from;

		if (!end)
			break;
		from += end - from + 1;
	}
	from[strcspn(from, "\r")] = '\0';
	vp_text_copy(r->p->subject, sizeof(r->p->subject), from);
}

/* What stands between files: headers of git and of mails, the words of who wrote it. */
static int read_other(struct reader *r, const struct line *l)
{
	static const struct {
		const char *begins, *why;
	} refused[] = {
		{ "GIT binary patch", "a binary change is not taken" },
		{ "Binary files ", "a binary change is not taken" },
		{ "rename from ", "it renames a file, which is not taken" },
		{ "copy from ", "it copies a file, which is not taken" },
		{ "@@ -", "a hunk without a file" },
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (begins(l, refused[i].begins))
			return refuse(r, refused[i].why);
	if (begins(l, "Subject:") && !r->p->nfiles)
		read_subject(r, l);
	return 0;
}

static int read_all(struct reader *r)
{
	struct line l;
	int rc = 0;

	while (!rc && next_line(r, &l)) {
		/* "---" alone ends the words of a mail. */
		if (begins(&l, "--- ") && r->end - r->at >= 4 && !memcmp(r->at, "+++ ", 4))
			rc = read_file(r, &l);
		else
			rc = read_other(r, &l);
	}
	if (!rc && !r->p->nfiles)
		rc = vp_err_set(r->err, -ENOEXEC, "%.80s: not a unified diff: no file in it",
				r->what);
	return rc;
}

int vp_patch_parse(const char *text, size_t len, const char *what, struct vp_patch *out,
		   struct vp_err *err)
{
	struct reader r = { .p = out, .what = what, .err = err };
	int rc;

	*out = (struct vp_patch){ 0 };
	if (len > VP_PATCH_MAX)
		return vp_err_set(err, -ENOEXEC, "%.80s: a diff of more than %u bytes", what,
				  VP_PATCH_MAX);
	if (memchr(text, '\0', len))
		return vp_err_set(err, -ENOEXEC, "%.80s: not text", what);
	out->text = malloc(len + 1);
	if (!out->text)
		return no_memory(&r);
	memcpy(out->text, text, len);
	out->text[len] = '\0';
	r.at = out->text;
	r.end = out->text + len;
	rc = read_all(&r);
	if (rc)
		vp_patch_free(out);
	return rc;
}

void vp_patch_free(struct vp_patch *p)
{
	free(p->text);
	free(p->files);
	free(p->hunks);
	free(p->lines);
	*p = (struct vp_patch){ 0 };
}
