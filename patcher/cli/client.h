/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share that talk to a running guest. They say what failed themselves. */
#ifndef VP_CLI_CLIENT_H
#define VP_CLI_CLIENT_H

#include "cli/cmd.h"
#include "target/qmp.h"

/* How long a target may take to answer what it answers at once. */
#define VP_CLIENT_TIMEOUT_MS 60000u

struct vp_client {
	const char *cmd; /* for messages */
	struct vp_qmp *qmp;
};

/*
 * The options of a command that knows --json and --help only, and its one operand, the target.
 * Returns an exit code, or -1 to go on.
 */
int vp_client_options(int argc, char **argv, const char *help, const char **target, bool *json);

/* Connect to a target, a name or a socket's path. An exit code. */
int vp_client_open(struct vp_client *c, const char *cmd, const char *target,
		   unsigned int timeout_ms);
void vp_client_close(struct vp_client *c);

/*
 * Call; @args is stolen (json_object() for none). An exit code. vp_client_try() leaves the text to
 * the caller (@rc: -errno) unless the connection broke off; vp_client_call() always says it.
 */
int vp_client_call(struct vp_client *c, const char *command, json_t *args, json_t **ret);
int vp_client_try(struct vp_client *c, const char *command, json_t *args, json_t **ret, int *rc,
		  struct vp_err *err);

/* Resolve a WHERE through the target. @info, if not NULL, gets the whole answer. An exit code. */
int vp_client_resolve(struct vp_client *c, const char *where, vp_gva *addr, json_t **info);

/* Members of an answer; "" or 0 where there is none. Addresses are texts on the wire. */
const char *vp_client_text(const json_t *object, const char *key);
long long vp_client_int(const json_t *object, const char *key);
vp_gva vp_client_addr(const json_t *object, const char *key);

/* "symbol", "symbol+0x4", or "" for an object with "symbol" and "offset". */
const char *vp_client_where(const json_t *object, char *text, size_t size);

/* One JSON value and a line end to stdout. */
void vp_client_print(const json_t *json);

#endif /* VP_CLI_CLIENT_H */
