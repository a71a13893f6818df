/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of one VM: who changed what, and when. A file of JSON objects, one a line, only ever
 * appended to; when it has grown long it is put away, and another one goes on. A batch is two
 * lines: "begin", on disk before the first byte is written, and how it ended. docs/ledger.md.
 *
 * Several VMs may share a ledger, if they are clones with one UUID: each "begin" names the process
 * of its VM.
 *
 * Threads: one at a time. Processes: one at a time, by a lock on the file.
 */
#ifndef VP_CONTROL_LEDGER_H
#define VP_CONTROL_LEDGER_H

#include <jansson.h>
#include <sys/types.h>

#include <vmpoke/poke.h>

#include "target/process.h"

struct vp_ledger;

/* The command that takes back what "hotfix-apply" did: a revert, too. */
#define VP_LEDGER_REMOVE "hotfix-remove"

/* What a site's address is called. */
struct vp_ledger_place {
	char symbol[160];   /* "" if it has no name */
	char module[64];    /* "" if it lies in none */
	uint64_t module_at; /* its struct module: tells a module from one that was loaded later */
};

/* The first line of a batch: all there is to know before it is written. */
struct vp_ledger_begin {
	const char *command; /* "poke", "revert", "key-set", "hotfix-apply", VP_LEDGER_REMOVE */
	uint64_t id;	     /* of the batch that a revert takes back, else 0 */
	uint64_t number;     /* that the batch will have; 0: not known before it is applied */
	uint64_t boot;	     /* vp_linux_kernel.boot; 0: unknown */
	const char *process; /* that the VM is: struct vp_process.text; "": unknown */
	const char *kernel;  /* its release; NULL: unknown */
	const char *build_id;
	uid_t uid;
	pid_t pid;
	const char *note; /* may be NULL */
	enum vp_strategy strategy;
	const struct vp_site *sites;
	size_t nsites;
	bool force;		     /* who owns the bytes was not to matter */
	const char *forced;	     /* what was passed over for that; "", NULL: nothing */
	const struct vp_word *words; /* conditions included */
	size_t nwords;
	const json_t *more; /* an object: what else the line is to say; NULL: nothing */
	/* Fill @place, which is all zero. */
	void (*place)(void *arg, vp_gva addr, struct vp_ledger_place *place);
	void *arg;
};

/*
 * Open the ledger at @path, made with its folders if need be (modes 0600, 0700), and lock it.
 *  -EBUSY   another vmpoke works on this VM, and did not finish within @timeout_ms
 *  -EACCES, -EROFS, ... as open()
 * A damaged line is no error: the others can be read, and nothing can be appended (-EBADMSG).
 */
int vp_ledger_open(const char *path, unsigned int timeout_ms, struct vp_ledger **out,
		   struct vp_err *err);

/* Open it as it is, without the lock: nothing can be appended (-EROFS). -ENOENT: there is none. */
int vp_ledger_open_to_look(const char *path, struct vp_ledger **out, struct vp_err *err);
void vp_ledger_close(struct vp_ledger *l);

/* Why nothing can be appended, as one line; NULL: something can. Is a damaged line the reason? */
const char *vp_ledger_trouble(const struct vp_ledger *l);
bool vp_ledger_is_damaged(const struct vp_ledger *l);

/* Append a line and wait until it is on disk. */
int vp_ledger_begin(struct vp_ledger *l, const struct vp_ledger_begin *b, struct vp_err *err);

/* How the batch that was begun last has ended. @event: "applied" (@id: its number), "failed". */
int vp_ledger_end(struct vp_ledger *l, const char *event, uint64_t id, const char *text,
		  struct vp_err *err);

/* --- what the lines add up to ------------------------------------------------- */

/* The VM that asks. */
struct vp_ledger_vm {
	uint64_t boot;
	const char *build_id; /* NULL: unknown */
	const char *process;  /* as vp_ledger_begin.process */
};

enum vp_fate {
	VP_FATE_OPEN,	   /* begun, and not ended: its writer died, or could not write the end */
	VP_FATE_APPLIED,   /* and not taken back */
	VP_FATE_ELSEWHERE, /* the same, but in another VM of this UUID */
	VP_FATE_REVERTED,
	VP_FATE_FAILED,
	VP_FATE_UNDONE,	   /* by `vmpoke recover` */
	VP_FATE_ABANDONED, /* by `vmpoke recover --abandon` */
};

/* "unfinished", "applied", ... */
const char *vp_fate_name(enum vp_fate fate);

/* One batch of the ledger, as it was begun. */
struct vp_ledger_batch {
	struct vp_record record; /* id 0: one that never got a number; its pointers are owned */
	enum vp_fate fate;
	bool revert; /* a revert of record.id */
	long long seq;
	json_t *line; /* owned */
};

/*
 * Every batch that was ever begun in @vm's boot of this kernel, oldest first, reverts aside; of
 * several that change the same bytes in the same way and are not applied, the newest. 0 and the
 * array (to be freed by vp_ledger_batches_free()), -ENOMEM, -EIO.
 */
int vp_ledger_batches(struct vp_ledger *l, const struct vp_ledger_vm *vm,
		      struct vp_ledger_batch **out, size_t *n, struct vp_err *err);

/*
 * The batches, reverts too, that have no end and may stand half written in @vm: not those of a
 * process that still lives and is not @vm's, nor those begun elsewhere when @vm ran already.
 */
int vp_ledger_unfinished(struct vp_ledger *l, const struct vp_ledger_vm *vm,
			 struct vp_ledger_batch **out, size_t *n, struct vp_err *err);
void vp_ledger_batches_free(struct vp_ledger_batch *list, size_t n);

/* End a batch that another process began. */
int vp_ledger_end_of(struct vp_ledger *l, const struct vp_ledger_batch *b, const char *event,
		     const char *text, struct vp_err *err);

/* Was no batch ever begun in it? */
bool vp_ledger_is_empty(const struct vp_ledger *l);

/* Might something be unfinished, whatever boot it is now? Not for boot 0, which tells nothing. */
bool vp_ledger_is_open(const struct vp_ledger *l, const char *process);

/* The "begin" of the batch that was applied with this number in @boot, a new reference; NULL: none.
 */
json_t *vp_ledger_line_of(const struct vp_ledger *l, uint64_t boot, uint64_t id);

/* Words as the lines have them. */
json_t *vp_ledger_words(const struct vp_word *words, size_t n);

/* A number that no batch has. */
uint64_t vp_ledger_next_id(const struct vp_ledger *l);

/* --- files -------------------------------------------------------------------- */

/*
 * The ledger of a VM that is told by its identity: STATE_DIR/ledger/IDENTITY.jsonl. That is the
 * VM's own choice: -EPROTO if it is no name. -ENAMETOOLONG.
 */
int vp_ledger_path_of(const char *state_dir, const char *identity, char *out, size_t size,
		      struct vp_err *err);

/*
 * The ledger of the VM of `vmpoke run` that listens at @socket:
 * STATE_DIR/ledger/vm-NAME-DIGEST.jsonl, of the socket's name and its whole path. Its folder must
 * be there. -ENOENT, -EINVAL, -ENAMETOOLONG.
 */
int vp_ledger_path_for(const char *state_dir, const char *socket, char *out, size_t size,
		       struct vp_err *err);

/*
 * If it has grown long, put it away as PATH.1, PATH.2, ... and go on with a new one, so that every
 * command reads little: it takes over what vp_ledger_batches() and vp_ledger_unfinished() can
 * still be asked for. @boot: of a VM that cannot come back to an earlier one; 0: it can. The
 * numbers go on.
 */
int vp_ledger_rotate(struct vp_ledger *l, uint64_t boot, struct vp_err *err);

/*
 * Put a damaged ledger aside as PATH.damaged-1, ... and go on with a new one that has all that can
 * be read and matters, and says who did it. @name (may be NULL, to be freed) gets where it is now.
 */
int vp_ledger_put_aside(struct vp_ledger *l, char **name, struct vp_err *err);

/*
 * All lines, oldest first, those of files put away or aside included, each with "time", its "when"
 * in ISO 8601; a new reference. A line that cannot be read is {"damaged": "FILE: line N"}. NULL and
 * @err: -EIO, -ENOMEM.
 */
json_t *vp_ledger_history(const struct vp_ledger *l, struct vp_err *err);

/* The same of the ledger at @path, which nobody need have open. NULL, too: there is none. */
json_t *vp_ledger_history_at(const char *path);

/*
 * What these lines add up to, for people: a row for each batch of whatever VM and boot, oldest
 * first; a new reference. "when", "user", "command", "what" (its note), "sites" (how many), "fate"
 * and "text" (why), "id" (of a revert: the batch that it took back), "boot"; a damaged line is one,
 * too. What is not known is left out.
 */
json_t *vp_ledger_rows(const json_t *lines);

#endif /* VP_CONTROL_LEDGER_H */
