/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control commands: JSON in, JSON out, for one guest behind one engine
 * (docs/control-protocol.md).
 *
 * Our VMM serves them on its socket (vmm/control.c); for a QEMU guest the CLI calls them in its own
 * process (remote.h). So every command means the same on every target.
 *
 * Threads: one at a time.
 */
#ifndef VP_CONTROL_CONTROL_H
#define VP_CONTROL_CONTROL_H

#include <jansson.h>
#include <sys/types.h>

#include <vmpoke/poke.h>
#include <vmpoke/symbol.h>

#include "sign/check.h"
#include "target/process.h"
#include "target/qmp.h"

struct vp_control;

/* Plain data, copied; what the pointers refer to is borrowed until vp_control_free(). */
struct vp_control_config {
	struct vp_target *target;
	struct vp_engine *engine;
	/* The symbols of the guest's image; NULL: look for a Linux kernel in its memory. */
	const struct vp_symtab *symbols;
	const char *kernel_file;     /* a file of that kernel, to agree with; NULL: none */
	const char *ledger;	     /* a file that records every poke; NULL: nothing is recorded */
	unsigned int ledger_wait_ms; /* how long for another process; 0: ten seconds */
	struct vp_keyrings keyrings; /* whose hotfixes are taken */
	enum vp_strategy strategy;   /* where a command names none */
	uint64_t boot;		     /* names this life of the guest; 0: its Linux kernel does */
	char process[VP_PROCESS_TEXT]; /* that the VM is: struct vp_process.text; "": unknown */
	bool short_lived;	 /* the engine is made for one command: the ledger knows the rest */
	struct vp_linux *kernel; /* what vp_control_take_kernel() gave, stolen; NULL: nothing */
	void *host;		 /* of the host's own commands: vp_control_host() */
	/* Tell whoever listens; @data is stolen. NULL: nobody. */
	void (*event)(void *host, const char *name, json_t *data);
	/* For whom the command runs. NULL: for the user of this process. */
	void (*who)(void *host, uid_t *uid, pid_t *pid);
};

/*
 * The ledger is opened by the first command that needs it, or at once where the engine is short
 * lived: that keeps other processes out. One that cannot be opened, or written, refuses the
 * commands that write, not those that look. -ENOMEM.
 */
int vp_control_new(const struct vp_control_config *cfg, struct vp_control **out,
		   struct vp_err *err);
void vp_control_free(struct vp_control *c);

/*
 * What is known of the guest's kernel, for the next one of the same target: that looks whether it
 * still runs. NULL: nothing. For vp_linux_free(), if there is no next one.
 */
struct vp_linux *vp_control_take_kernel(struct vp_control *c);

/*
 * Did an earlier process die in the middle of a batch? If all of it or nothing was written, only
 * the ledger is brought up to date. Else, or if that cannot be told, an error (-EUCLEAN: half a
 * batch stands there); the commands that write refuse from then on, those that look go on, and
 * vp_control_attention() says why.
 */
int vp_control_check(struct vp_control *c, struct vp_err *err);

/*
 * Instead of that, where an earlier process was killed and what it had sent may still be on its
 * way: what stands in the memory decides nothing yet. The same commands refuse, for the reason
 * @why.
 */
void vp_control_interrupted(struct vp_control *c, const char *why);

/* What needs a person's attention, as one line; NULL: nothing that is known. */
const char *vp_control_attention(const struct vp_control *c);

struct vp_recover {
	uint64_t abandon; /* end this batch, which cannot be put right; 0: none */
	bool put_aside;	  /* put a damaged ledger aside, and go on with what can be read of it */
};

struct vp_recovered {
	size_t sites;	    /* of batches that were taken back */
	uint64_t abandoned; /* the batch */
	uint64_t freed;	    /* bytes of the guest's memory that hotfixes had left there */
	char aside[256];    /* where the damaged ledger is now; "" if none was */
	/* The bytes are right, but that could not be written down: -errno and why. */
	int unwritten;
	struct vp_err why;
};

/*
 * Put the old bytes of what is half written back. 0: no half batch stands there any more, so the VM
 * may run. @out adds up over several calls.
 *  -ESTALE   somebody else has changed the bytes: a person must look, and perhaps abandon the batch
 *  -ENOENT   there is no such batch to abandon
 *  -EINVAL   the batch can be put right, so it is not abandoned; no ledger is damaged
 *  -EBADMSG  the ledger is damaged, and what->put_aside is not set
 *  others as vp_poke_undo()
 */
int vp_control_recover(struct vp_control *c, const struct vp_recover *what,
		       struct vp_recovered *out, struct vp_err *err);

/*
 * After that, with the VM running: bring what hotfix-apply and hotfix-remove were killed at to
 * applied or not applied, and free what they and others left in the guest's memory.
 * vp_control_check() says whether something is to be done. -EAGAIN   somebody is inside of what is
 * to be freed: again, later -ESTALE   somebody else has changed the entries of a hotfix others as
 * vp_call_run()
 */
int vp_control_recover_hotfixes(struct vp_control *c, struct vp_recovered *out, struct vp_err *err);

/* A call that such a process had been killed in has returned: take it down, before it is forgotten.
 */
struct vp_call_recovered;
int vp_control_call_recovered(struct vp_control *c, const struct vp_call_recovered *call,
			      struct vp_err *err);

void *vp_control_host(const struct vp_control *c);

/* The bytes of a hotfix's object, at the most: in hexadecimal they are a part of one message. */
#define VP_HOTFIX_OBJECT_MAX (4u << 20)

/* The commands, ending with a NULL name; each takes the struct vp_control as its argument. */
extern const struct vp_qmp_command vp_control_commands[];

/* These and those of a host that serves them, for free(). NULL: no memory. */
struct vp_qmp_command *vp_control_commands_and(const struct vp_qmp_command *own);

/* --- for the host's own commands ---------------------------------------------- */

/*
 * Arguments, all from a hostile client. json_unpack() formats, strict: what is not named is
 * refused. Strings and objects stay owned by @args. vp_args_none(): there must be none.
 */
int vp_args_unpack(const json_t *args, struct vp_err *err, const char *fmt, ...);
bool vp_args_none(const json_t *args, int *code, struct vp_err *err);

/* An integer within [min, max]; @value NULL (not given): @out stays. -EINVAL, -ERANGE. */
int vp_args_number(const json_t *value, const char *name, uint64_t min, uint64_t max, uint64_t *out,
		   struct vp_err *err);

/* "0x..." for an address: JSON readers lose bits of large numbers. */
json_t *vp_json_addr(uint64_t addr);

/* What query-vm tells of engine and kernel, on every host: strategies, stats, symbols, ... */
void vp_control_describe(struct vp_control *c, json_t *object);

#endif /* VP_CONTROL_CONTROL_H */
