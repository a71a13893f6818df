/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of one VM: who changed what, and when. A file of JSON objects, one a line, only ever
 * appended to; when it has grown long it is put away, and another one goes on. A batch is two
 * lines: "begin", on disk before the first byte is written, and how it ended. docs/ledger.md.
 *
 * Threads: one at a time. Processes: one at a time, by a lock on the file.
 */
#ifndef VP_CONTROL_LEDGER_H
#define VP_CONTROL_LEDGER_H

#include <jansson.h>
#include <sys/types.h>

#include <vmpoke/poke.h>

struct vp_ledger;

/* The first line of a batch: all there is to know before it is written. */
struct vp_ledger_begin {
	const char *command; /* "poke", "revert", "key-set" */
	uint64_t id;	     /* of the batch that a revert takes back, else 0 */
	uint64_t boot;	     /* vp_linux_info.boot; 0: unknown */
	const char *kernel;  /* its release; NULL: unknown */
	const char *build_id;
	uid_t uid;
	pid_t pid;
	const char *note; /* may be NULL */
	enum vp_strategy strategy;
	const struct vp_site *sites;
	size_t nsites;
	const struct vp_word *words; /* conditions included */
	size_t nwords;
	/* The name of an address as text, "" if it has none. */
	void (*name)(void *arg, vp_gva addr, char *text, size_t size);
	void *arg;
};

/*
 * Open the ledger at @path, made with its folders if need be (modes 0600, 0700), and lock it.
 *  -EBUSY   another vmpoke works on this VM, and did not finish within @timeout_ms
 *  -EINVAL  it is damaged (a cut last line is not: it was being written when its writer died)
 *  -EACCES, -EROFS, ... as open()
 */
int vp_ledger_open(const char *path, unsigned int timeout_ms, struct vp_ledger **out,
		   struct vp_err *err);
void vp_ledger_close(struct vp_ledger *l);

/* Append a line and wait until it is on disk. */
int vp_ledger_begin(struct vp_ledger *l, const struct vp_ledger_begin *b, struct vp_err *err);

/* How the batch that was begun last has ended. @event: "applied" (@id: its number), "failed",
 * "undone" (by `vmpoke recover`). */
int vp_ledger_end(struct vp_ledger *l, const char *event, uint64_t id, const char *text,
		  struct vp_err *err);

/*
 * If it has grown long and nothing in it stands in @boot, put it away as PATH.1, PATH.2, ... and go
 * on with a new one: so every command reads little. The numbers go on.
 */
int vp_ledger_rotate(struct vp_ledger *l, uint64_t boot, struct vp_err *err);

/* All lines, oldest first, those put away included; a new reference. NULL and @err: -EINVAL, ... */
json_t *vp_ledger_history(const struct vp_ledger *l, struct vp_err *err);

/* One batch of the ledger, as it was begun. Its sites and words are malloc()ed. */
struct vp_ledger_batch {
	struct vp_record record; /* id 0: unfinished */
	const json_t *line;	 /* owned by the ledger */
};

/*
 * The batches that were applied in @boot and not taken back, oldest first. 0 and the array (to be
 * freed by vp_ledger_batches_free()), -EINVAL: a line makes no sense, -ENOMEM.
 */
int vp_ledger_applied(struct vp_ledger *l, uint64_t boot, struct vp_ledger_batch **out, size_t *n,
		      struct vp_err *err);

/*
 * The batch that was begun in @boot and has no end, because its writer died: 1 and @out (to be
 * cleared), 0 if there is none, or as vp_ledger_applied(). vp_ledger_end() then speaks of it.
 */
int vp_ledger_unfinished(struct vp_ledger *l, uint64_t boot, struct vp_ledger_batch *out,
			 struct vp_err *err);
void vp_ledger_batch_clear(struct vp_ledger_batch *b);
void vp_ledger_batches_free(struct vp_ledger_batch *list, size_t n);

/* Is its last batch begun and not ended, in whatever boot? Not for boot 0, which tells nothing. */
bool vp_ledger_is_open(const struct vp_ledger *l);

/* The "begin" of the batch that was applied with this number; owned by the ledger; NULL: none. */
const json_t *vp_ledger_line_of(const struct vp_ledger *l, uint64_t id);

/* Words as the lines have them. */
json_t *vp_ledger_words(const struct vp_word *words, size_t n);

/* A number that no batch has. */
uint64_t vp_ledger_next_id(const struct vp_ledger *l);

#endif /* VP_CONTROL_LEDGER_H */
