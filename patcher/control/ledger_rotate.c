/* SPDX-License-Identifier: Apache-2.0 */
/* Ledgers that have grown long are put away, never deleted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "control/ledger_internal.h"
#include "target/qmp_wire.h"

#define LONG_BYTES (1 << 20)
#define FILES_MAX  1000000u

/* PATH.N; NULL: no memory. */
static char *put_away_name(const struct vp_ledger *l, unsigned int n)
{
	char *name;

	return asprintf(&name, "%s.%u", l->path, n) < 0 ? NULL : name;
}

/* Give the file the next free name, beside the one it has. */
static int link_away(const struct vp_ledger *l, struct vp_err *err)
{
	for (unsigned int n = 1; n < FILES_MAX; n++) {
		char *name = put_away_name(l, n);
		int rc = !name ? -ENOMEM : link(l->path, name) ? -errno : 0;

		free(name);
		if (rc != -EEXIST)
			return rc ? vp_err_set(err, rc, "%.160s cannot be put away: %s", l->path,
					       strerror(-rc))
				  : 0;
	}
	return vp_err_set(err, -ENOSPC, "%.160s: too many files", l->path);
}

/* The new file, locked, with its first line. */
static int begin_new(const struct vp_ledger *l, const char *path, struct vp_ledger **out,
		     struct vp_err *err)
{
	struct vp_ledger *fresh = vp_ledger_alloc(path);
	int rc = 0;

	if (!fresh)
		return vp_err_set(err, -ENOMEM, "out of memory");
	fresh->seq = l->seq;
	fresh->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fresh->fd < 0 || flock(fresh->fd, LOCK_EX | LOCK_NB))
		rc = vp_err_set(err, -errno, "%.180s: %s", path, strerror(errno));
	if (!rc)
		rc = vp_ledger_append(fresh,
				      json_pack("{s:I, s:s, s:I, s:I}", "seq",
						(json_int_t)l->seq + 1, "event", "continued",
						"when", (json_int_t)time(NULL), "id",
						(json_int_t)vp_ledger_next_id(l) - 1),
				      err);
	if (rc)
		vp_ledger_close(fresh);
	else
		*out = fresh;
	return rc;
}

/* From here on @l is the new file. */
static void take_over(struct vp_ledger *l, struct vp_ledger *fresh)
{
	struct vp_ledger old = *l;

	l->fd = fresh->fd;
	l->end = fresh->end;
	l->lines = fresh->lines;
	l->seq = fresh->seq;
	fresh->fd = old.fd;
	fresh->lines = old.lines;
	vp_ledger_close(fresh);
}

/* Does nothing in it matter any more? */
static bool is_history(struct vp_ledger *l, uint64_t boot)
{
	struct vp_ledger_batch *list = NULL, begun = { 0 };
	size_t n = 1;
	int rc = vp_ledger_applied(l, boot, &list, &n, NULL);

	vp_ledger_batches_free(list, n);
	if (rc || n)
		return false;
	rc = vp_ledger_unfinished(l, boot, &begun, NULL);
	vp_ledger_batch_clear(&begun);
	return rc == 0;
}

int vp_ledger_rotate(struct vp_ledger *l, uint64_t boot, struct vp_err *err)
{
	struct vp_ledger *fresh = NULL;
	char *path;
	int rc;

	if (l->end < LONG_BYTES || !is_history(l, boot))
		return 0;
	if (asprintf(&path, "%s.new", l->path) < 0)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = begin_new(l, path, &fresh, err);
	if (!rc) {
		rc = link_away(l, err);
		/* At every moment there is a ledger by that name. */
		if (!rc && rename(path, l->path))
			rc = vp_err_set(err, -errno, "%.180s: %s", l->path, strerror(errno));
		if (rc)
			vp_ledger_close(fresh);
		else
			take_over(l, fresh);
	}
	free(path);
	return rc;
}

/* The lines of one file that was put away. 1: there is no such file. */
static int add_file(json_t *list, const char *path, struct vp_err *err)
{
	struct vp_ledger *l = vp_ledger_alloc(path);
	int rc = 0;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0)
		rc = errno == ENOENT ? 1
				     : vp_err_set(err, -errno, "%.180s: %s", path, strerror(errno));
	if (!rc)
		rc = vp_ledger_load(l, err);
	if (!rc)
		json_array_extend(list, l->lines);
	vp_ledger_close(l);
	return rc;
}

json_t *vp_ledger_history(const struct vp_ledger *l, struct vp_err *err)
{
	json_t *list = json_array();
	int rc = 0;

	for (unsigned int n = 1; !rc; n++) {
		char *name = put_away_name(l, n);

		rc = name ? add_file(list, name, err) : vp_err_set(err, -ENOMEM, "out of memory");
		free(name);
	}
	if (rc < 0) {
		json_decref(list);
		return NULL;
	}
	json_array_extend(list, l->lines);
	return list;
}
