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

#include "target/qmp.h"

struct vp_control;

/* Plain data, copied; what the pointers refer to is borrowed until vp_control_free(). */
struct vp_control_config {
	struct vp_target *target;
	struct vp_engine *engine;
	/* The symbols of the guest's image; NULL: look for a Linux kernel in its memory. */
	const struct vp_symtab *symbols;
	const char *kernel_file;   /* a file of that kernel, to agree with; NULL: none */
	const char *ledger;	   /* a file that records every poke; NULL: nothing is recorded */
	enum vp_strategy strategy; /* where a command names none */
	uint64_t boot;		   /* names this life of the guest; 0: its Linux kernel does */
	bool short_lived; /* the engine is made for one command: the ledger knows the rest */
	void *host;	  /* of the host's own commands: vp_control_host() */
	/* Tell whoever listens; @data is stolen. NULL: nobody. */
	void (*event)(void *host, const char *name, json_t *data);
	/* For whom the command runs. NULL: for the user of this process. */
	void (*who)(void *host, uid_t *uid, pid_t *pid);
};

/*
 * The ledger is opened by the first command that needs it, or at once where the engine is short
 * lived: that keeps other processes out. Errors as vp_ledger_open().
 */
int vp_control_new(const struct vp_control_config *cfg, struct vp_control **out,
		   struct vp_err *err);
void vp_control_free(struct vp_control *c);

/*
 * Did an earlier process die in the middle of a batch? If all of it or nothing was written, only
 * the ledger is brought up to date. Else vp_control_check() gives -EUCLEAN, and
 * vp_control_recover() puts the old bytes back; *@sites: how many sites the batch has, 0 if there
 * was none.
 */
int vp_control_check(struct vp_control *c, struct vp_err *err);
int vp_control_recover(struct vp_control *c, size_t *sites, struct vp_err *err);

void *vp_control_host(const struct vp_control *c);

/* The commands, ending with a NULL name; each takes the struct vp_control as its argument. */
extern const struct vp_qmp_command vp_control_commands[];

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
