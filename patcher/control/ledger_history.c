/* SPDX-License-Identifier: Apache-2.0 */
/* All that a ledger ever said, from all its files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "control/ledger_internal.h"

struct history {
	json_t *lines;
	const char *path; /* of the file in hand */
	size_t number;
};

/* The lines of one open file. */
static int add_lines(struct history *h, FILE *file)
{
	char *text = NULL;
	size_t room = 0, number = 0;
	ssize_t len;

	while ((len = getline(&text, &room, file)) > 0 && text[len - 1] == '\n') {
		struct vp_ledger_line line;
		json_t *json = json_loadb(text, (size_t)len - 1, JSON_REJECT_DUPLICATES, NULL);

		number++;
		if (!json || vp_ledger_line_from(json, &line, NULL)) {
			json_decref(json);
			json = json_pack("{s:o}", "damaged",
					 json_sprintf("%s: line %zu", h->path, number));
		}
		if (json_object_get(json, "when"))
			vp_json_set_time(json, "time", vp_ledger_int(json, "when"));
		json_array_append_new(h->lines, json);
	}
	free(text);
	return ferror(file) ? -EIO : 0;
}

/* 1: there is no such file. */
static int add_file(struct history *h, char *path, struct vp_err *err)
{
	FILE *file = path ? fopen(path, "re") : NULL;
	int rc = !path ? -ENOMEM : file ? 0 : errno == ENOENT ? 1 : -errno;

	h->path = path;
	if (!rc)
		rc = add_lines(h, file);
	if (file)
		fclose(file);
	if (rc < 0)
		vp_err_set(err, rc, "%.180s: %s", path ? path : "", strerror(-rc));
	free(path);
	return rc;
}

/* PATH.INFIX1, PATH.INFIX2, ... */
static int add_files(struct history *h, const struct vp_ledger *l, const char *infix,
		     struct vp_err *err)
{
	int rc = 0;

	for (unsigned int n = 1; !rc; n++) {
		char *path;

		if (asprintf(&path, "%s.%s%u", l->path, infix, n) < 0)
			path = NULL;
		rc = add_file(h, path, err);
	}
	return rc == 1 ? 0 : rc;
}

static int by_seq(const void *a, const void *b)
{
	json_int_t x = vp_ledger_int(*(json_t *const *)a, "seq");
	json_int_t y = vp_ledger_int(*(json_t *const *)b, "seq");

	return (x > y) - (x < y);
}

/* Each once: what was taken over stands in two files. */
static json_t *in_order(const json_t *lines)
{
	size_t n = json_array_size(lines);
	json_t **sorted = calloc(n + 1, sizeof(json_t *));
	json_t *list = sorted ? json_array() : NULL;

	for (size_t i = 0; list && i < n; i++)
		sorted[i] = json_array_get(lines, i);
	if (list)
		qsort(sorted, n, sizeof(json_t *), by_seq);
	for (size_t i = 0; list && i < n; i++)
		if (!i || !vp_ledger_int(sorted[i], "seq") || by_seq(&sorted[i - 1], &sorted[i]))
			json_array_append(list, sorted[i]);
	free(sorted);
	return list;
}

json_t *vp_ledger_history(const struct vp_ledger *l, struct vp_err *err)
{
	struct history h = { .lines = json_array() };
	json_t *list = NULL;
	int rc = add_files(&h, l, "", err);

	if (!rc)
		rc = add_files(&h, l, "damaged-", err);
	if (!rc)
		rc = add_file(&h, strdup(l->path), err);
	if (rc >= 0) {
		list = in_order(h.lines);
		if (!list)
			vp_err_set(err, -ENOMEM, "out of memory");
	}
	json_decref(h.lines);
	return list;
}

json_t *vp_ledger_history_at(const char *path)
{
	struct vp_ledger *l;
	json_t *lines;

	if (vp_ledger_open_to_look(path, &l, NULL))
		return NULL;
	lines = vp_ledger_history(l, NULL);
	vp_ledger_close(l);
	return lines;
}
