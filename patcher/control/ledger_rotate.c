/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledgers that have grown long are put away, damaged ones aside; never deleted. What can still be
 * asked for goes into the new file, as it stood, with the numbers it had.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "control/ledger_internal.h"
#include "target/folder.h"
#include "target/qmp_wire.h"

#define LONG_BYTES (1 << 20)
#define FILES_MAX  1000000u

/* --- what is taken over --------------------------------------------------------- */

/* By what it changes, and in which VM; of the same the newest first. */
static int by_content(const void *a, const void *b)
{
	const struct vp_ledger_line *const *x = a, *const *y = b;
	int by_process;

	if ((*x)->boot != (*y)->boot)
		return (*x)->boot > (*y)->boot ? 1 : -1;
	if ((*x)->digest != (*y)->digest)
		return (*x)->digest > (*y)->digest ? 1 : -1;
	by_process = strcmp((*x)->process, (*y)->process);
	if (by_process)
		return by_process;
	return (*x < *y) - (*x > *y);
}

static bool same_content(const struct vp_ledger_line *x, const struct vp_ledger_line *y)
{
	return x->boot == y->boot && x->digest == y->digest && !strcmp(x->process, y->process);
}

/* Numbers that are kept, and whether one is among them. */
struct numbers {
	int64_t *v;
	size_t n;
};

static int by_number(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool has(const struct numbers *list, int64_t v)
{
	return bsearch(&v, list->v, list->n, sizeof(v), by_number) != NULL;
}

struct keep {
	bool *line; /* for each: is it taken over? */
	struct numbers begins, ids;
};

/*
 * Of the batches that change the same bytes of the same VM, the newest, and the newest that was
 * applied; and what is unfinished.
 */
static int keep_begins(const struct vp_ledger *l, uint64_t boot, struct keep *k)
{
	const struct vp_ledger_line **sorted = calloc(l->n + 1, sizeof(*sorted));
	bool applied = false;
	size_t n = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		const struct vp_ledger_line *line = &l->lines[i];

		if ((line->event != LEDGER_BEGIN && line->event != LEDGER_OPERATION) ||
		    (boot && line->boot != boot))
			continue;
		if (line->end == LEDGER_BEGIN)
			k->line[i] = true;
		else if (line->event == LEDGER_BEGIN && !line->revert)
			sorted[n++] = line;
	}
	qsort(sorted, n, sizeof(*sorted), by_content);
	for (size_t i = 0; i < n; i++) {
		bool newest = !i || !same_content(sorted[i - 1], sorted[i]);
		bool is_applied = sorted[i]->end == LEDGER_APPLIED;

		if (newest || (is_applied && !applied))
			k->line[sorted[i] - l->lines] = true;
		applied = is_applied || (!newest && applied);
	}
	free(sorted);
	return 0;
}

static void add_number(struct numbers *list, int64_t v)
{
	list->v[list->n++] = v;
}

/* The numbers of the begins that are kept, and of the batches that they became. */
static void number_kept(const struct vp_ledger *l, struct keep *k)
{
	k->begins.n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (k->line[i] &&
		    (l->lines[i].event == LEDGER_BEGIN || l->lines[i].event == LEDGER_OPERATION))
			add_number(&k->begins, l->lines[i].seq);
	qsort(k->begins.v, k->begins.n, sizeof(int64_t), by_number);
	k->ids.n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (l->lines[i].event == LEDGER_APPLIED && has(&k->begins, l->lines[i].of))
			add_number(&k->ids, l->lines[i].id);
	qsort(k->ids.v, k->ids.n, sizeof(int64_t), by_number);
}

/* With them go their reverts, and the ends of all. */
static int choose(const struct vp_ledger *l, uint64_t boot, struct keep *k)
{
	int rc;

	k->line = calloc(l->n + 1, sizeof(*k->line));
	k->begins.v = calloc(l->n + 1, sizeof(int64_t));
	k->ids.v = calloc(l->n + 1, sizeof(int64_t));
	if (!k->line || !k->begins.v || !k->ids.v)
		return -ENOMEM;
	rc = keep_begins(l, boot, k);
	if (rc)
		return rc;
	number_kept(l, k);
	for (size_t i = 0; i < l->n; i++)
		if (l->lines[i].event == LEDGER_BEGIN && l->lines[i].revert &&
		    (!boot || l->lines[i].boot == boot) && has(&k->ids, l->lines[i].id))
			k->line[i] = true;
	number_kept(l, k);
	for (size_t i = 0; i < l->n; i++)
		if (l->lines[i].of && has(&k->begins, l->lines[i].of))
			k->line[i] = true;
	return 0;
}

static void keep_free(struct keep *k)
{
	free(k->line);
	free(k->begins.v);
	free(k->ids.v);
}

/* --- the new file ---------------------------------------------------------------- */

/* As it stands in the old one, byte for byte. */
static int copy_line(const struct vp_ledger *from, const struct vp_ledger_line *line,
		     struct vp_ledger *to)
{
	char *text = malloc(line->len + 1);
	struct vp_ledger_line copy = *line;
	int rc = text ? 0 : -ENOMEM;

	if (!rc && pread(from->fd, text, line->len, line->at) != (ssize_t)line->len)
		rc = -EIO;
	if (!rc) {
		text[line->len] = '\n';
		copy.at = to->end;
		if (pwrite(to->fd, text, line->len + 1, to->end) != (ssize_t)line->len + 1)
			rc = errno ? -errno : -EIO;
	}
	free(text);
	if (rc)
		return rc;
	to->end += (off_t)line->len + 1;
	return vp_ledger_remember(to, &copy);
}

static off_t size_of(const struct vp_ledger *l, const struct keep *k)
{
	off_t bytes = 0;

	for (size_t i = 0; i < l->n; i++)
		if (k->line[i])
			bytes += (off_t)l->lines[i].len + 1;
	return bytes;
}

static int fill(const struct vp_ledger *l, const struct keep *k, json_t *first,
		struct vp_ledger *fresh, struct vp_err *err)
{
	int rc;

	fresh->carried = size_of(l, k);
	json_object_update_new(
		first, json_pack("{s:I, s:I, s:I, s:I}", "seq", (json_int_t)l->seq + 1, "when",
				 (json_int_t)time(NULL), "id", (json_int_t)vp_ledger_next_id(l) - 1,
				 "carried", (json_int_t)fresh->carried));
	rc = vp_ledger_append(fresh, json_incref(first), err);
	if (rc)
		return rc;
	for (size_t i = 0; i < l->n && !rc; i++)
		if (k->line[i])
			rc = copy_line(l, &l->lines[i], fresh);
	if (!rc && fdatasync(fresh->fd))
		rc = -errno;
	return rc ? vp_err_set(err, rc, "%.180s cannot be written: %s", fresh->path, strerror(-rc))
		  : 0;
}

/* The new file, locked, with its first line @first and all that is taken over. */
static int begin_new(const struct vp_ledger *l, const char *path, uint64_t boot, json_t *first,
		     struct vp_ledger **out, struct vp_err *err)
{
	struct vp_ledger *fresh = vp_ledger_alloc(path);
	struct keep k = { 0 };
	int rc = fresh ? choose(l, boot, &k) : -ENOMEM;

	if (rc)
		vp_err_set(err, rc, "out of memory");
	if (!rc) {
		fresh->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fresh->fd < 0 || flock(fresh->fd, LOCK_EX | LOCK_NB))
			rc = vp_err_set(err, -errno, "%.180s: %s", path, strerror(errno));
	}
	if (!rc)
		rc = fill(l, &k, first, fresh, err);
	keep_free(&k);
	if (rc)
		vp_ledger_close(fresh);
	else
		*out = fresh;
	return rc;
}

/* Give the file the next free name, beside the one it has. */
static int link_away(const struct vp_ledger *l, const char *infix, char **out, struct vp_err *err)
{
	for (unsigned int n = 1; n < FILES_MAX; n++) {
		char *name = NULL;
		int rc = asprintf(&name, "%s.%s%u", l->path, infix, n) < 0 ? -ENOMEM
			 : link(l->path, name)				   ? -errno
									   : 0;

		if (!rc)
			*out = name;
		else
			free(name);
		if (rc != -EEXIST)
			return rc ? vp_err_set(err, rc, "%.160s cannot be put away: %s", l->path,
					       strerror(-rc))
				  : 0;
	}
	return vp_err_set(err, -ENOSPC, "%.160s: too many files", l->path);
}

/* From here on @l is the new file. */
static void take_over(struct vp_ledger *l, struct vp_ledger *fresh)
{
	struct vp_ledger old = *l;
	char *name = l->path;

	*l = *fresh;
	l->path = name;
	l->begun = old.begun;
	old.path = fresh->path;
	*fresh = old;
	vp_ledger_close(fresh);
}

/* At every moment there is a ledger by that name. @first is stolen. */
static int replace(struct vp_ledger *l, uint64_t boot, json_t *first, const char *infix,
		   char **name, struct vp_err *err)
{
	struct vp_ledger *fresh = NULL;
	char *path = NULL;
	int rc = first && asprintf(&path, "%s.new", l->path) >= 0
			 ? begin_new(l, path, boot, first, &fresh, err)
			 : vp_err_set(err, -ENOMEM, "out of memory");

	json_decref(first);
	if (!rc)
		rc = link_away(l, infix, name, err);
	if (!rc && rename(path, l->path))
		rc = vp_err_set(err, -errno, "%.180s: %s", l->path, strerror(errno));
	if (!rc) {
		take_over(l, fresh);
		rc = vp_folder_sync_for(l->path, err);
	} else {
		vp_ledger_close(fresh);
		if (path)
			unlink(path);
	}
	free(path);
	return rc;
}

int vp_ledger_rotate(struct vp_ledger *l, uint64_t boot, struct vp_err *err)
{
	off_t long_enough = 2 * l->carried > LONG_BYTES ? 2 * l->carried : LONG_BYTES;
	char *name = NULL;
	int rc;

	if (l->end < long_enough || *l->trouble)
		return 0;
	rc = replace(l, boot, json_pack("{s:s}", "event", "continued"), "", &name, err);
	free(name);
	return rc;
}

int vp_ledger_put_aside(struct vp_ledger *l, char **name, struct vp_err *err)
{
	char *where = NULL;
	json_t *line;
	int rc;

	if (!l->damaged)
		return vp_err_set(err, -EINVAL, "the ledger %.180s is not damaged", l->path);
	line = json_pack("{s:s}", "event", "put-aside");
	vp_ledger_add_us(line);
	json_object_set_new(line, "text", vp_qmp_text(l->trouble));
	rc = replace(l, 0, line, "damaged-", &where, err);
	if (name && !rc)
		*name = where;
	else
		free(where);
	return rc;
}
