/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a ledger: lock, read, append. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/ledger_internal.h"
#include "target/folder.h"
#include "target/flock.h"

#define LINE_MAX_LEN ((size_t)256 << 20) /* a batch of a million sites has less */

/* --- open -------------------------------------------------------------------- */

static int lock_file(int fd, const char *path, unsigned int timeout_ms, struct vp_err *err)
{
	char holder[128];
	int rc = vp_flock(fd, timeout_ms);

	if (rc == -EWOULDBLOCK) {
		vp_flock_holder(fd, holder, sizeof(holder));
		return vp_err_set(err, -EBUSY,
				  "another vmpoke works on this VM; try again when it is done "
				  "(%s has locked %.80s)",
				  holder, path);
	}
	return rc ? vp_err_set(err, rc, "%.180s: cannot lock it: %s", path, strerror(-rc)) : 0;
}

/* The file may have been put away while we waited for it. */
static bool is_current(const struct vp_ledger *l)
{
	struct stat opened, named;

	return !fstat(l->fd, &opened) && !stat(l->path, &named) && opened.st_ino == named.st_ino &&
	       opened.st_dev == named.st_dev;
}

/* Make it if it is not there, and see its name on the disk. */
static int open_file(struct vp_ledger *l, struct vp_err *err)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;

	l->fd = open(l->path, flags);
	if (l->fd < 0 && errno == ENOENT) {
		l->fd = open(l->path, flags | O_CREAT, 0600);
		if (l->fd >= 0)
			return vp_folder_sync_for(l->path, err);
	}
	return l->fd < 0 ? vp_err_set(err, -errno, "%.180s: %s", l->path, strerror(errno)) : 0;
}

static int open_locked(struct vp_ledger *l, unsigned int timeout_ms, struct vp_err *err)
{
	int rc;

	do {
		if (l->fd >= 0)
			close(l->fd);
		rc = open_file(l, err);
		if (!rc)
			rc = lock_file(l->fd, l->path, timeout_ms, err);
	} while (!rc && !is_current(l));
	return rc;
}

struct vp_ledger *vp_ledger_alloc(const char *path)
{
	struct vp_ledger *l = calloc(1, sizeof(*l));

	if (l)
		l->path = strdup(path);
	if (!l || !l->path) {
		free(l);
		return NULL;
	}
	l->fd = -1;
	return l;
}

int vp_ledger_open(const char *path, unsigned int timeout_ms, struct vp_ledger **out,
		   struct vp_err *err)
{
	struct vp_ledger *l = vp_ledger_alloc(path);
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_folder_make_for(path, err);
	if (!rc)
		rc = open_locked(l, timeout_ms, err);
	if (!rc)
		rc = vp_ledger_load(l, err);
	if (rc)
		vp_ledger_close(l);
	else
		*out = l;
	return rc;
}

int vp_ledger_open_to_look(const char *path, struct vp_ledger **out, struct vp_err *err)
{
	struct vp_ledger *l = vp_ledger_alloc(path);
	int rc = 0;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0)
		rc = vp_err_set(err, -errno, "%.180s: %s", path, strerror(errno));
	if (!rc)
		rc = vp_ledger_load(l, err);
	if (!rc && !*l->trouble)
		snprintf(l->trouble, sizeof(l->trouble), "%.180s was opened to look only", path);
	if (rc)
		vp_ledger_close(l);
	else
		*out = l;
	return rc;
}

void vp_ledger_close(struct vp_ledger *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd); /* and so unlock */
	free(l->lines);
	free(l->path);
	free(l);
}

const char *vp_ledger_trouble(const struct vp_ledger *l)
{
	return *l->trouble ? l->trouble : NULL;
}

bool vp_ledger_is_damaged(const struct vp_ledger *l)
{
	return l->damaged;
}

/* --- read -------------------------------------------------------------------- */

int vp_ledger_remember(struct vp_ledger *l, const struct vp_ledger_line *line)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		struct vp_ledger_line *more = reallocarray(l->lines, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->lines = more;
		l->room = room;
	}
	l->lines[l->n++] = *line;
	if (line->seq > l->seq)
		l->seq = line->seq;
	return 0;
}

/* A line that cannot be read may have said anything: nothing is written to the VM until a person
 * has put the file aside. The other lines are as good as before. */
static void damaged(struct vp_ledger *l, size_t number, const char *why)
{
	if (l->damaged)
		return;
	l->damaged = true;
	snprintf(l->trouble, sizeof(l->trouble),
		 "line %zu of the ledger %.120s is damaged (%.60s): `vmpoke recover TARGET "
		 "--put-aside`",
		 number, l->path, why);
}

static int take_line(struct vp_ledger *l, const char *text, size_t len, size_t number)
{
	struct vp_ledger_line line;
	struct vp_err why = { "" };
	json_error_t bad;
	json_t *json =
		len > LINE_MAX_LEN ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, &bad);
	int rc = 0;

	if (!json)
		damaged(l, number, len > LINE_MAX_LEN ? "too long" : bad.text);
	else if (vp_ledger_line_from(json, &line, &why))
		damaged(l, number, why.text);
	else {
		line.at = l->end;
		line.len = len;
		if (line.event == LEDGER_CONTINUED || line.event == LEDGER_PUT_ASIDE)
			l->carried = (off_t)vp_ledger_int(json, "carried");
		rc = vp_ledger_remember(l, &line);
	}
	json_decref(json);
	return rc;
}

/* One line after the other, so that a long file takes time, not memory. */
static int read_lines(struct vp_ledger *l, FILE *file, struct vp_err *err)
{
	char *text = NULL;
	size_t room = 0, number = 0;
	ssize_t len = 0;
	int rc = 0;

	while (!rc && (len = getline(&text, &room, file)) > 0) {
		if (text[len - 1] != '\n') {
			/* Being written when its writer died: nothing was done for it. */
			l->cut = true;
			break;
		}
		rc = take_line(l, text, (size_t)len - 1, ++number);
		l->end += len;
	}
	if (rc)
		vp_err_set(err, rc, "out of memory");
	else if (ferror(file))
		rc = vp_err_set(err, -EIO, "%.180s: cannot be read", l->path);
	free(text);
	return rc;
}

static bool is_end(const struct vp_ledger_line *line)
{
	return line->event >= LEDGER_APPLIED && line->event <= LEDGER_DONE;
}

static bool is_begin(const struct vp_ledger_line *line)
{
	return line->event == LEDGER_BEGIN || line->event == LEDGER_OPERATION;
}

/* A begin by its number. */
struct begin {
	long long seq;
	size_t at;
};

static int by_seq(const void *a, const void *b)
{
	const struct begin *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Which begins have an end? */
static int match(struct vp_ledger *l)
{
	struct begin *begins = calloc(l->n + 1, sizeof(*begins));
	size_t n = 0;

	if (!begins)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		if (is_begin(&l->lines[i]))
			begins[n++] = (struct begin){ l->lines[i].seq, i };
	qsort(begins, n, sizeof(*begins), by_seq);
	for (size_t i = 0; i < l->n; i++) {
		const struct begin key = { l->lines[i].of, 0 };
		const struct begin *found =
			is_end(&l->lines[i]) ? bsearch(&key, begins, n, sizeof(key), by_seq) : NULL;

		if (found)
			l->lines[found->at].end = l->lines[i].event;
	}
	free(begins);
	return 0;
}

/* The same for the line that was appended last. */
static void match_last(struct vp_ledger *l)
{
	const struct vp_ledger_line *end = &l->lines[l->n - 1];

	for (size_t i = l->n; is_end(end) && i--;) {
		if (!is_begin(&l->lines[i]) || l->lines[i].seq != end->of)
			continue;
		l->lines[i].end = end->event;
		return;
	}
}

int vp_ledger_load(struct vp_ledger *l, struct vp_err *err)
{
	int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0), rc;
	struct stat st;
	FILE *file;

	if (fstat(l->fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return vp_err_set(err, -EINVAL, "%.180s: no ledger", l->path);
	}
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file)
		return vp_err_set(err, -ENOMEM, "%.180s: %s", l->path, strerror(errno));
	rewind(file);
	rc = read_lines(l, file, err);
	fclose(file); /* the lock stays: l->fd holds it, too */
	if (!rc && match(l))
		rc = vp_err_set(err, -ENOMEM, "out of memory");
	return rc;
}

json_t *vp_ledger_read_line(const struct vp_ledger *l, const struct vp_ledger_line *line,
			    struct vp_err *err)
{
	char *text = malloc(line->len + 1);
	size_t used = 0;
	ssize_t n = 1;
	json_t *json;

	while (text && used < line->len && n > 0) {
		n = pread(l->fd, text + used, line->len - used, line->at + (off_t)used);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			used += (size_t)n;
	}
	json = text && used == line->len ? json_loadb(text, used, 0, NULL) : NULL;
	free(text);
	if (!json)
		vp_err_set(err, -EIO, "%.160s: line with seq %lld cannot be read again", l->path,
			   line->seq);
	return json;
}

/* --- append ------------------------------------------------------------------ */

static int write_all(struct vp_ledger *l, const char *text, size_t len, bool wait)
{
	while (len) {
		ssize_t n = pwrite(l->fd, text, len, l->end);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		len -= (size_t)n;
		l->end += n;
	}
	return wait && fdatasync(l->fd) ? -errno : 0;
}

/* The rest of a line that was being written when its writer died. */
static int drop_cut(struct vp_ledger *l)
{
	if (l->cut && ftruncate(l->fd, l->end))
		return -errno;
	l->cut = false;
	return 0;
}

static int append_text(struct vp_ledger *l, char *text, struct vp_ledger_line *line, bool wait)
{
	size_t len = strlen(text);
	off_t before = l->end;
	int rc = drop_cut(l);

	text[len] = '\n'; /* in the place of the NUL, which nobody needs */
	if (!rc)
		rc = write_all(l, text, len + 1, wait);
	line->at = before;
	line->len = len;
	if (!rc)
		rc = vp_ledger_remember(l, line);
	if (!rc)
		return 0;
	/* A line that cannot be written whole is taken off again, at the latest by the next. */
	l->end = before;
	l->cut = ftruncate(l->fd, before) != 0;
	return rc;
}

/* @json is stolen. */
static int append(struct vp_ledger *l, json_t *json, bool wait, struct vp_err *err)
{
	struct vp_ledger_line line = { 0 };
	char *text;
	int rc;

	if (*l->trouble) {
		json_decref(json);
		return vp_err_set(err, l->damaged ? -EBADMSG : -EROFS, "%s", l->trouble);
	}
	rc = json ? vp_ledger_line_from(json, &line, err) : -ENOMEM;
	text = rc ? NULL : json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (rc == -EINVAL)
		return rc;
	rc = text ? append_text(l, text, &line, wait) : -ENOMEM;
	free(text);
	if (rc)
		return vp_err_set(err, rc, "the ledger %.160s cannot be written: %s", l->path,
				  strerror(-rc));
	match_last(l);
	return 0;
}

int vp_ledger_append(struct vp_ledger *l, json_t *json, struct vp_err *err)
{
	return append(l, json, true, err);
}

int vp_ledger_append_now(struct vp_ledger *l, json_t *json, struct vp_err *err)
{
	return append(l, json, false, err);
}
