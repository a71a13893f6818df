/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A diff, and the file that it is of: up to a line "====" the one, behind it the other. Whatever
 * they are, the diff is refused with a reason or read; what is read leads nowhere but into the
 * tree, has the lines that its numbers say, and if it applies it does so the same way twice, with
 * as many lines more as it says.
 */
#include <errno.h>
#include <string.h>

#include "build/lines.h"
#include "build/patch.h"
#include "tests/fuzz/fuzz.h"

static size_t count_lines(const char *text, size_t len)
{
	size_t n = len && text[len - 1] != '\n';

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static void check_file(const struct vp_patch *p, const struct vp_patch_file *f)
{
	FUZZ_CHECK(f->path[0] && f->path[0] != '/' && !strstr(f->path, "/../") &&
		   strncmp(f->path, "../", 3) && strcmp(f->path, ".."));
	FUZZ_CHECK(f->n && f->first + f->n <= p->nhunks);
	for (size_t i = f->first; i < f->first + f->n; i++) {
		const struct vp_patch_hunk *h = &p->hunks[i];
		size_t old = 0, new = 0;

		FUZZ_CHECK(h->first + h->n <= p->nlines);
		for (size_t j = h->first; j < h->first + h->n; j++) {
			const struct vp_patch_line *l = &p->lines[j];

			old += l->op != '+';
			new += l->op != '-';
			FUZZ_CHECK(!memchr(l->text, '\n', l->len));
		}
		FUZZ_CHECK(old == h->old_count && new == h->new_count);
	}
}

static void check_apply(const struct vp_patch *p, const struct vp_patch_file *f, const char *old,
			size_t len)
{
	struct vp_err err = { "" };
	char *out, *again;
	size_t n, m, more = 0, less = 0;
	struct vp_lines lines;
	int rc = vp_patch_apply(p, f, old, len, &out, &n, NULL, &err);

	FUZZ_CHECK(rc ? rc == -ENOEXEC && err.text[0] && !out : !!out);
	if (rc)
		return;
	FUZZ_CHECK(!vp_patch_apply(p, f, old, len, &again, &m, NULL, &err));
	FUZZ_CHECK(n == m && !memcmp(out, again, n));
	for (size_t i = f->first; i < f->first + f->n; i++) {
		more += p->hunks[i].new_count;
		less += p->hunks[i].old_count;
	}
	/* An open line in the middle takes the next one in. */
	FUZZ_CHECK(count_lines(out, n) + less <= count_lines(old, len) + more);
	FUZZ_CHECK(!vp_lines_make(&lines, p, f, old, len, &err));
	for (int64_t i = -1; i < 40; i++)
		vp_lines_moved(&lines, i, i + 1);
	vp_lines_free(&lines);
	free(out);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n====\n";
	const uint8_t *file = memmem(data, size, mark, strlen(mark));
	size_t len = file ? (size_t)(file - data) + 1 : size;
	struct vp_err err = { "" };
	struct vp_patch p;
	int rc = vp_patch_parse((const char *)data, len, "fuzz", &p, &err);

	FUZZ_CHECK(rc ? rc == -ENOEXEC && err.text[0] : p.nfiles > 0);
	if (rc)
		return 0;
	file = file ? file + strlen(mark) : data + size;
	for (size_t i = 0; i < p.nfiles; i++) {
		check_file(&p, &p.files[i]);
		check_apply(&p, &p.files[i], (const char *)file, (size_t)(data + size - file));
	}
	vp_patch_free(&p);
	return 0;
}
