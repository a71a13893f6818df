/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a ledger: lock, read, append. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/ledger_internal.h"
#include "target/hex.h"
#include "target/qmp_wire.h"

#define LEDGER_MAX   ((off_t)256 << 20)
#define LOCK_WAIT_MS 20

/* --- open -------------------------------------------------------------------- */

/* Make the folders above @path; those that are there stay as they are. */
static int make_folders(const char *path, struct vp_err *err)
{
	char *copy = strdup(path);
	int rc = 0;

	if (!copy)
		return vp_err_set(err, -ENOMEM, "out of memory");
	for (char *slash = strchr(copy + 1, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) && errno != EEXIST)
			rc = vp_err_set(err, -errno, "cannot make the ledger's folder %.180s: %s",
					copy, strerror(errno));
		*slash = '/';
	}
	free(copy);
	return rc;
}

static int lock_file(int fd, const char *path, unsigned int timeout_ms, struct vp_err *err)
{
	const struct timespec a_while = { .tv_nsec = LOCK_WAIT_MS * 1000000L };

	for (unsigned int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_WAIT_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return vp_err_set(err, -errno, "%.180s: cannot lock it: %s", path,
					  strerror(errno));
		if (waited >= timeout_ms)
			return vp_err_set(err, -EBUSY,
					  "another vmpoke works on this VM; try again when it is "
					  "done (%.180s is locked)",
					  path);
		nanosleep(&a_while, NULL);
	}
	return 0;
}

/* The whole file as text. */
static int read_text(int fd, const char *path, char **out, size_t *len, struct vp_err *err)
{
	struct stat st;
	size_t used = 0;
	char *text;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > LEDGER_MAX)
		return vp_err_set(err, -EINVAL, "%.180s: no ledger, or too long to be one", path);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return vp_err_set(err, -ENOMEM, "out of memory");
	while (used < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + used, (size_t)st.st_size - used, (off_t)used);

		if (n <= 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(text);
			return vp_err_set(err, -EIO, "%.180s: cannot be read", path);
		}
		used += (size_t)n;
	}
	*out = text;
	*len = used;
	return 0;
}

static int parse_lines(struct vp_ledger *l, const char *text, size_t len, size_t *whole,
		       struct vp_err *err)
{
	json_error_t why;
	const char *end;

	for (*whole = 0; *whole < len; *whole = (size_t)(end - text) + 1) {
		const char *line = text + *whole;
		json_t *json;

		end = memchr(line, '\n', len - *whole);
		if (!end)
			break;
		json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, &why);
		if (!json_is_object(json)) {
			json_decref(json);
			return vp_err_set(err, -EINVAL, "%.180s: line %zu is damaged: %.40s",
					  l->path, json_array_size(l->lines) + 1, why.text);
		}
		json_array_append_new(l->lines, json);
	}
	return 0;
}

static long long last_seq(const struct vp_ledger *l)
{
	size_t n = json_array_size(l->lines);
	json_int_t seq =
		json_integer_value(json_object_get(json_array_get(l->lines, n - 1), "seq"));

	return n && seq > 0 ? seq : (long long)n;
}

int vp_ledger_load(struct vp_ledger *l, struct vp_err *err)
{
	size_t len = 0, whole = 0;
	char *text = NULL;
	int rc = read_text(l->fd, l->path, &text, &len, err);

	if (!rc)
		rc = parse_lines(l, text, len, &whole, err);
	if (!rc)
		l->seq = last_seq(l);
	/* A line without an end was being written when its writer died: nothing was done for it. */
	if (!rc && whole < len && ftruncate(l->fd, (off_t)whole))
		rc = vp_err_set(err, -errno, "%.180s: %s", l->path, strerror(errno));
	l->end = (off_t)whole;
	free(text);
	return rc;
}

/* The file may have been put away while we waited for it. */
static bool is_current(const struct vp_ledger *l)
{
	struct stat opened, named;

	return !fstat(l->fd, &opened) && !stat(l->path, &named) && opened.st_ino == named.st_ino &&
	       opened.st_dev == named.st_dev;
}

static int open_locked(struct vp_ledger *l, unsigned int timeout_ms, struct vp_err *err)
{
	int rc;

	do {
		if (l->fd >= 0)
			close(l->fd);
		l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (l->fd < 0)
			return vp_err_set(err, -errno, "%.180s: %s", l->path, strerror(errno));
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
	l->lines = json_array();
	return l;
}

int vp_ledger_open(const char *path, unsigned int timeout_ms, struct vp_ledger **out,
		   struct vp_err *err)
{
	struct vp_ledger *l = vp_ledger_alloc(path);
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = make_folders(path, err);
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

void vp_ledger_close(struct vp_ledger *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd); /* and so unlock */
	json_decref(l->lines);
	free(l->path);
	free(l);
}

/* --- append ------------------------------------------------------------------ */

static int write_all(struct vp_ledger *l, const char *text, size_t len)
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
	return fdatasync(l->fd) ? -errno : 0;
}

/* @line is stolen. A line that cannot be written whole is taken off again. */
int vp_ledger_append(struct vp_ledger *l, json_t *line, struct vp_err *err)
{
	off_t before = l->end;
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	int rc = -ENOMEM;

	if (text) {
		size_t len = strlen(text);

		text[len] = '\n'; /* in the place of the NUL, which nobody needs */
		rc = write_all(l, text, len + 1);
	}
	free(text);
	if (rc) {
		l->end = before;
		if (ftruncate(l->fd, before))
			l->end = before; /* the next line is written over the rest */
		json_decref(line);
		return vp_err_set(err, rc, "the ledger %.160s cannot be written: %s", l->path,
				  strerror(-rc));
	}
	l->seq++;
	json_array_append_new(l->lines, line);
	return 0;
}

static json_int_t next_seq(const struct vp_ledger *l)
{
	return (json_int_t)l->seq + 1;
}

static json_t *user_name(uid_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) || !found)
		return json_string("");
	return vp_qmp_text(found->pw_name);
}

static json_t *hex_number(uint64_t value)
{
	return json_sprintf("0x%llx", (unsigned long long)value);
}

static json_t *site_line(const struct vp_ledger_begin *b, const struct vp_site *s)
{
	char old_text[2 * VP_INSN_MAX + 1], new_text[2 * VP_INSN_MAX + 1], name[160] = "";
	json_t *json;

	vp_hex_format(s->old_bytes, s->len, old_text);
	vp_hex_format(s->new_bytes, s->len, new_text);
	b->name(b->arg, s->addr, name, sizeof(name));
	json = json_pack("{s:o, s:o, s:s, s:s, s:s}", "addr", hex_number(s->addr.v), "symbol",
			 vp_qmp_text(name), "old", old_text, "new", new_text, "resume",
			 vp_resume_name(s->resume));
	if (s->resume == VP_RESUME_FIXUP)
		json_object_set_new(json, "fixup", hex_number(s->fixup.v));
	return json;
}

json_t *vp_ledger_words(const struct vp_word *words, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:o, s:I, s:I}", "addr",
						      hex_number(words[i].addr.v), "old",
						      (json_int_t)words[i].old_value, "new",
						      (json_int_t)words[i].new_value));
	return list;
}

int vp_ledger_begin(struct vp_ledger *l, const struct vp_ledger_begin *b, struct vp_err *err)
{
	json_t *sites = json_array(), *line;

	for (size_t i = 0; i < b->nsites; i++)
		json_array_append_new(sites, site_line(b, &b->sites[i]));
	line = json_pack("{s:I, s:s, s:s, s:I, s:I, s:o, s:i, s:o, s:s, s:o}", "seq", next_seq(l),
			 "event", "begin", "command", b->command, "when", (json_int_t)time(NULL),
			 "uid", (json_int_t)b->uid, "user", user_name(b->uid), "pid", (int)b->pid,
			 "boot", hex_number(b->boot), "strategy", vp_strategy_name(b->strategy),
			 "sites", sites);
	if (b->kernel)
		json_object_set_new(line, "kernel", vp_qmp_text(b->kernel));
	if (b->build_id)
		json_object_set_new(line, "build-id", vp_qmp_text(b->build_id));
	if (b->note)
		json_object_set_new(line, "note", vp_qmp_text(b->note));
	if (b->id)
		json_object_set_new(line, "id", json_integer((json_int_t)b->id));
	if (b->nwords)
		json_object_set_new(line, "words", vp_ledger_words(b->words, b->nwords));
	l->begun = next_seq(l);
	return vp_ledger_append(l, line, err);
}

int vp_ledger_end(struct vp_ledger *l, const char *event, uint64_t id, const char *text,
		  struct vp_err *err)
{
	json_t *line = json_pack("{s:I, s:s, s:I, s:I}", "seq", next_seq(l), "event", event, "of",
				 (json_int_t)l->begun, "when", (json_int_t)time(NULL));

	if (id)
		json_object_set_new(line, "id", json_integer((json_int_t)id));
	if (text)
		json_object_set_new(line, "text", vp_qmp_text(text));
	return vp_ledger_append(l, line, err);
}
