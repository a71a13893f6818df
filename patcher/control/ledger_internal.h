/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VP_CONTROL_LEDGER_INTERNAL_H
#define VP_CONTROL_LEDGER_INTERNAL_H

#include "control/ledger.h"

/* What a line is. Those from LEDGER_APPLIED to LEDGER_ABANDONED end a batch, LEDGER_DONE an
 * operation. */
enum vp_ledger_event {
	LEDGER_BEGIN,
	LEDGER_APPLIED,
	LEDGER_FAILED,
	LEDGER_UNDONE,
	LEDGER_ABANDONED,
	LEDGER_DONE,
	LEDGER_OPERATION, /* operation.h: it begins */
	LEDGER_CALLS,	  /* a run of calls in the guest begins */
	LEDGER_MEMORY,	  /* memory was got there ... */
	LEDGER_FREED,	  /* ... and freed */
	LEDGER_CONTINUED, /* begins a file whose predecessor was put away ... */
	LEDGER_PUT_ASIDE, /* ... or put aside, because it was damaged */
};

/*
 * One line, as far as it is kept in memory: a ledger may be longer than one would like to hold as
 * JSON. vp_ledger_read_line() gives all of it.
 */
struct vp_ledger_line {
	off_t at; /* in the file */
	size_t len;
	enum vp_ledger_event event;
	long long seq, of; /* of: an end's begin */
	int64_t id;	   /* the batch: the one that a revert takes back; as it was applied */
	int64_t when;
	bool revert;		       /* a begin */
	bool replaces;		       /* a begin: of all hotfixes before it */
	bool hotfix;		       /* a begin: of a hotfix */
	enum vp_ledger_event end;      /* a begin: how it ended; LEDGER_BEGIN: it did not */
	uint64_t boot;		       /* a begin */
	uint64_t build;		       /* a begin: digest of its kernel's build-id */
	uint64_t digest;	       /* a begin: of that, its sites, and the words that change */
	char process[VP_PROCESS_TEXT]; /* a begin: of the VM */
};

struct vp_ledger {
	char *path;
	int fd;
	off_t end; /* where the next line goes */
	bool cut;  /* behind it is the rest of a line */
	struct vp_ledger_line *lines;
	size_t n, room;
	long long seq;	 /* the highest */
	long long begun; /* "seq" of the batch in hand */
	off_t carried;	 /* how much of the file was taken over from its predecessor */
	/* Why nothing may be appended; "" if it may. */
	char trouble[256];
	bool damaged; /* for that reason */
};

/* --- ledger_line.c ------------------------------------------------------------ */

/* Take @json as a line; -EINVAL: it makes no sense. */
int vp_ledger_line_from(const json_t *json, struct vp_ledger_line *out, struct vp_err *err);

/* Members of a line; "" or 0 where there is none. */
const char *vp_ledger_text(const json_t *object, const char *key);
int64_t vp_ledger_int(const json_t *object, const char *key);
uint64_t vp_ledger_hex(const json_t *object, const char *key);

/* As vp_ledger_line.build. */
uint64_t vp_ledger_build(const char *build_id);

/* One site, one word. -EINVAL. */
int vp_ledger_site_from(const json_t *json, struct vp_site *s, struct vp_err *err);
int vp_ledger_word_from(const json_t *json, struct vp_word *w, struct vp_err *err);

/* --- history.c ---------------------------------------------------------------- */

/* The VM that asks, and what was found out about the process that was asked about last. */
struct vp_ledger_asker {
	const char *vm;
	int64_t since; /* the VM runs; 0: unknown */
	const char *last;
	bool last_gone;
};

struct vp_ledger_asker vp_ledger_asker(const char *vm);

/*
 * Was what was done to the process @p at @when done to the VM that asks? A VM that was saved and
 * restored, or migrated, is another process than before; but what was done elsewhere while it ran
 * already, or to a process that still lives, was not done to it.
 */
bool vp_ledger_is_ours(struct vp_ledger_asker *a, const char *p, int64_t when);

/* --- ledger.c ----------------------------------------------------------------- */

/* Who writes it: the members "uid", "user" and "pid". */
void vp_ledger_add_us(json_t *line);

/* --- ledger_file.c ------------------------------------------------------------ */

/* alloc: with no file open; NULL: no memory. load: all lines of the open file. */
struct vp_ledger *vp_ledger_alloc(const char *path);
int vp_ledger_load(struct vp_ledger *l, struct vp_err *err);

/*
 * Append a line (stolen) and wait until it is on disk. vp_ledger_append_now() does not wait: the
 * line outlives this process, but not the host, and nor does the VM.
 */
int vp_ledger_append(struct vp_ledger *l, json_t *line, struct vp_err *err);
int vp_ledger_append_now(struct vp_ledger *l, json_t *line, struct vp_err *err);

/* The line as it stands in the file, a new reference; NULL: -EIO, -ENOMEM. */
json_t *vp_ledger_read_line(const struct vp_ledger *l, const struct vp_ledger_line *line,
			    struct vp_err *err);

/* Remember a line that stands in the file. -ENOMEM. */
int vp_ledger_remember(struct vp_ledger *l, const struct vp_ledger_line *line);

#endif /* VP_CONTROL_LEDGER_INTERNAL_H */
