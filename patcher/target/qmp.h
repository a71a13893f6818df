/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP: JSON objects, one a line, over a unix socket. The client and the server
 * sides; what the commands mean is up to the caller. docs/control-protocol.md.
 */
#ifndef VP_TARGET_QMP_H
#define VP_TARGET_QMP_H

#include <vmpoke/target.h>
#include <jansson.h>
#include <sys/types.h>

/* --- client: one thread at a time --- */

struct vp_qmp;

/*
 * Connect, read the greeting, negotiate. Every later call is bounded by @timeout_ms, too.
 *  -ENOENT, -EACCES, -ECONNREFUSED  as connect()
 *  -EPERM      the server runs as another user (unless that is root, or we are)
 *  -EPROTO     what answers does not speak QMP
 *  -ETIMEDOUT
 */
int vp_qmp_connect(const char *path, unsigned int timeout_ms, struct vp_qmp **out,
		   struct vp_err *err);
void vp_qmp_close(struct vp_qmp *q);

/*
 * Execute @command with @args (stolen; json_object() for none; NULL, which jansson returns for text
 * that is not UTF-8: -EINVAL). @ret gets the "return" value (owned by the caller; may be NULL).
 * @fd, if not NULL, gets a passed file descriptor or -1. Events that arrive meanwhile are dropped.
 * An error reply gives its errno and its text in @err. When the target could not be asked or did
 * not answer, vp_qmp_is_broken() is true afterwards: -ETIMEDOUT, -ECONNRESET, -EPROTO, -ENOTCONN
 * (broken by an earlier call)
 */
int vp_qmp_call(struct vp_qmp *q, const char *command, json_t *args, json_t **ret, int *fd,
		struct vp_err *err);

/* The same, with the descriptor @pass (borrowed) for QEMU's getfd and add-fd. */
int vp_qmp_call_passing(struct vp_qmp *q, const char *command, json_t *args, int pass, json_t **ret,
			struct vp_err *err);

/*
 * The same for @n commands that have no arguments, sent together: they cost as much as one. @ret
 * has room for @n values. An error is that of the first that failed; then there are no values.
 */
int vp_qmp_query(struct vp_qmp *q, const char *const *commands, size_t n, json_t **ret,
		 struct vp_err *err);

/*
 * Is it `vmpoke run` that answers, or QEMU? Both know commands of one name ("stop", "quit"), so
 * whoever connects to one must not talk to the other.
 */
bool vp_qmp_is_vmpoke(const struct vp_qmp *q);

/* Did a call break off, so that it is unknown whether the target carried it out? */
bool vp_qmp_is_broken(const struct vp_qmp *q);

/* Take in the events that have come, without asking anything. */
void vp_qmp_hear(struct vp_qmp *q);

/* How often QEMU has told so far that its VM was let go on (event RESUME). */
unsigned int vp_qmp_resumes(const struct vp_qmp *q);

/* From STOP to RESUME, as those events tell it. */
struct vp_pauses vp_qmp_pauses(const struct vp_qmp *q);

/* The process that answered last; 0: it cannot be seen from here. */
int vp_qmp_peer(const struct vp_qmp *q);

/* --- server: one thread runs it --- */

struct vp_qmp_server;

/*
 * Execute one command; @args is an object, an empty one if the request had none. Returns the
 * "return" value, or NULL after filling @err and @code (-errno; -ENOSYS means CommandNotFound).
 * @fd: set to a descriptor to pass along (borrowed), else leave at -1.
 */
typedef json_t *(*vp_qmp_handler)(void *arg, const json_t *args, int *fd, int *code,
				  struct vp_err *err);

/* Where a handler runs. Never two of one client. */
enum vp_qmp_how {
	VP_QMP_IN_TURN, /* on a thread of its own, but one of these at a time */
	VP_QMP_ASIDE,	/* on a thread of its own, beside all others: it has locks of its own */
	VP_QMP_AT_ONCE, /* on the server's thread: it takes no time, and waits for nobody */
};

struct vp_qmp_command {
	const char *name;
	vp_qmp_handler fn;
	enum vp_qmp_how how;
};

/*
 * Listen on @path (mode 0600). A stale socket that nobody listens on is replaced.
 * @commands ends with a NULL name; "qmp_capabilities" and "query-commands" are built in.
 *  -EADDRINUSE  somebody listens there
 *  -EEXIST      it is not a socket
 *  -ENAMETOOLONG, -EINVAL, -EACCES, -ENOENT ...  as bind()
 */
int vp_qmp_server_new(const char *path, const struct vp_qmp_command *commands, void *arg,
		      struct vp_qmp_server **out, struct vp_err *err);

/* What handlers get in place of @arg, before anybody is served: who listens early has it later. */
void vp_qmp_server_set_arg(struct vp_qmp_server *s, void *arg);

/*
 * What goes around each command that is served in turn, on its thread: begin() gives the handler's
 * argument in place of the server's (@arg), or NULL, @code and @err; then the command is not
 * called.
 */
struct vp_qmp_around {
	void *(*begin)(void *arg, int *code, struct vp_err *err);
	void (*end)(void *arg, void *handlers);
};
void vp_qmp_server_set_around(struct vp_qmp_server *s, const struct vp_qmp_around *around);

/* Serve until vp_qmp_server_stop(), and until what was begun is done and answered. */
int vp_qmp_server_run(struct vp_qmp_server *s);
void vp_qmp_server_stop(struct vp_qmp_server *s); /* any thread */
void vp_qmp_server_free(struct vp_qmp_server *s); /* removes the socket */

/* Who asked for the command that runs now. For handlers, on their thread. */
void vp_qmp_server_peer(uid_t *uid, pid_t *pid);

/* Send an event to every negotiated client. Any thread. @data is stolen; may be NULL. */
void vp_qmp_server_event(struct vp_qmp_server *s, const char *event, json_t *data);

#endif /* VP_TARGET_QMP_H */
