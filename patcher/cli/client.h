/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share that talk to a running guest. They say what failed themselves. */
#ifndef VP_CLI_CLIENT_H
#define VP_CLI_CLIENT_H

#include "cli/cmd.h"
#include "control/remote.h"
#include "target/qmp.h"
#include "target/qmp_wire.h"

/* How long a target may take to answer what it answers at once. */
#define VP_CLIENT_TIMEOUT_MS 60000u

/* A guest of our VMM, through its control socket; or one of QEMU, in this process. */
struct vp_client {
	const char *cmd; /* for messages */
	struct vp_qmp *qmp;
	struct vp_remote *remote;
};

/*
 * The options of a command that knows --json and --help only, and its one operand, the target.
 * Returns an exit code, or -1 to go on.
 */
int vp_client_options(int argc, char **argv, const char *help, const char **target, bool *json);

/*
 * Connect to a target: a name or a socket's path, or one of the forms of vp_remote_is(). An exit
 * code. vp_client_close() passes @code on, unless letting the guest go fails.
 *
 * vp_client_open_linux() is for a guest whose kernel must agree with @kernel_file (NULL: any).
 */
int vp_client_open(struct vp_client *c, const char *cmd, const char *target,
		   unsigned int timeout_ms);
int vp_client_open_linux(struct vp_client *c, const char *cmd, const char *target,
			 unsigned int timeout_ms, const char *kernel_file);
int vp_client_close(struct vp_client *c, int code);

/* For people, behind what was done: how it is taken back. */
void vp_client_tell_revert(const char *target, const json_t *ret);

/* To the control socket of a guest of `vmpoke run`. As vp_qmp_connect(); -EPROTO: it is QEMU's. */
int vp_client_connect(const char *path, unsigned int timeout_ms, struct vp_qmp **out,
		      struct vp_err *err);

/* To the library in the QEMU of a domain, if it is that very domain's: -EPROTO: another VM's. */
struct vp_preload_domain;
int vp_client_connect_preload(const struct vp_preload_domain *d, unsigned int timeout_ms,
			      struct vp_qmp **out, struct vp_err *err);

/*
 * May the default libvirt be asked by the way? To ask a libvirt of the session would start its
 * daemon: that one only if it runs.
 */
bool vp_client_libvirt_runs(void);

/* Has @target one of the forms that there are? Else says what it may have been meant for. */
int vp_client_check_form(const char *cmd, const char *target);

/*
 * At @target nobody answers, or libvirt knows no such domain (@why): say so, and what it may have
 * been meant for. The exit code.
 */
int vp_client_no_target(const char *cmd, const char *target, const struct vp_err *why);
int vp_client_no_domain(const char *cmd, const char *target, const struct vp_err *why);

/* What needs a person's attention there, as one line on stderr. Opening says it, too. */
void vp_client_note(const struct vp_client *c);

/* Did the connection break off, which has been said then? */
bool vp_client_is_broken(const struct vp_client *c);

/* What "vmpoke list" and others need to open a guest of QEMU, from the environment. An exit code.
 */
int vp_client_remote_config(const char *cmd, struct vp_remote_config *cfg);

/*
 * Ask one or the other, as vp_qmp_call(). All texts of the answer are printable: whoever is asked
 * may be in the hands of his guest, and what is asked is most often printed.
 */
int vp_client_ask(struct vp_qmp *qmp, struct vp_remote *remote, const char *command, json_t *args,
		  json_t **ret, struct vp_err *err);

/*
 * Call; @args is stolen (json_object() for none). An exit code. vp_client_try() leaves the text to
 * the caller (@rc: -errno) unless the connection broke off; vp_client_call() always says it.
 */
int vp_client_call(struct vp_client *c, const char *command, json_t *args, json_t **ret);
int vp_client_try(struct vp_client *c, const char *command, json_t *args, json_t **ret, int *rc,
		  struct vp_err *err);

/*
 * What is applied, by query-pokes; @args are given away. That it cannot be told is no failure of a
 * command that looks: @pokes stays NULL then, and @why says it. An exit code.
 */
int vp_client_pokes(struct vp_client *c, json_t *args, json_t **pokes, struct vp_err *why);

/* How many of them the ledger has as applied; the others stand without a record. */
size_t vp_client_recorded(const json_t *pokes);

/* Is it an address, or a symbol and perhaps an offset? Else says so; an exit code. */
int vp_client_check_where(const char *cmd, const char *where);

/* Resolve a WHERE through the target. @info, if not NULL, gets the whole answer. An exit code. */
int vp_client_resolve(struct vp_client *c, const char *where, vp_gva *addr, json_t **info);

/* One at which an instruction is to begin: what can be seen to lie inside of one is refused. */
int vp_client_resolve_insn(struct vp_client *c, const char *where, vp_gva *addr);

/* Members of an answer; "" or 0 where there is none. Addresses are texts on the wire. */
const char *vp_client_text(const json_t *object, const char *key);
long long vp_client_int(const json_t *object, const char *key);
vp_gva vp_client_addr(const json_t *object, const char *key);

/* "symbol", "symbol+0x4", or "" for an object with "symbol" and "offset". */
const char *vp_client_where(const json_t *object, char *text, size_t size);

/* One JSON value and a line end to stdout. */
void vp_client_print(const json_t *json);

#endif /* VP_CLI_CLIENT_H */
