/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client: one call at a time, each with a deadline; a call that breaks off ends it. */
#include "base/tell.h"
#include "target/qmp_wire.h"
#include "target/gdb.h"
#include "target/process.h"
#include "target/qmp.h"
#include "target/wait.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct vp_qmp {
	int sock;
	unsigned int timeout_ms;
	bool broken;
	bool vmpoke; /* what answers is `vmpoke run`, by its greeting */
	char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* for messages */
	struct vp_qmp_in in;
	struct vp_qmp_out out;
	unsigned int resumes; /* events RESUME so far */
	int64_t stopped_us;   /* the last STOP, on QEMU's clock; 0: it runs */
	struct vp_pauses pauses;
};

static int wait_for(struct vp_qmp *q, short events, int64_t deadline, struct vp_err *err)
{
	struct pollfd p = { .fd = q->sock, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - vp_now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return vp_err_set(err, -ETIMEDOUT, "the target does not answer within %u ms",
			  q->timeout_ms);
}

/* Receive the next message, owned by the caller. */
static int receive(struct vp_qmp *q, json_t **out, int *fd, int64_t deadline, struct vp_err *err)
{
	struct vp_err why;
	ssize_t n;
	int ret;

	while (!(ret = vp_qmp_in_next(&q->in, out, &why))) {
		n = vp_qmp_in_recv(&q->in, q->sock, fd);
		if (n > 0)
			continue;
		if (!n)
			return vp_err_set(err, -ECONNRESET, "the target closed the connection");
		if (n != -EAGAIN)
			return vp_err_set(err, (int)n, "control socket: %s", strerror((int)-n));
		ret = wait_for(q, POLLIN, deadline, err);
		if (ret)
			return ret;
	}
	if (ret < 0)
		return vp_err_set(err, -EPROTO, "this is not a QMP socket: %.160s", why.text);
	return 0;
}

/* Send one message (stolen; NULL: no memory) and, if not -1, @pass with it. */
static int transmit(struct vp_qmp *q, json_t *message, int pass, int64_t deadline,
		    struct vp_err *err)
{
	char *text = vp_qmp_dump(message);
	int ret = text ? vp_qmp_out_add(&q->out, text, strlen(text), VP_QMP_MESSAGE_MAX, pass)
		       : -ENOMEM;

	free(text);
	if (ret)
		return vp_err_set(err, ret, "the request does not fit: use smaller batches");
	for (;;) {
		ret = vp_qmp_out_flush(&q->out, q->sock);
		if (ret == -EPIPE || ret == -ECONNRESET)
			return 0; /* it may have said why: read that */
		if (ret)
			return vp_err_set(err, ret, "control socket: %s", strerror(-ret));
		if (vp_qmp_out_empty(&q->out))
			return 0;
		ret = wait_for(q, POLLOUT, deadline, err);
		if (ret)
			return ret;
	}
}

/* QEMU tells when it has stopped the VM, and let it go on. */
static void take_event(struct vp_qmp *q, const json_t *reply, const char *event)
{
	const json_t *at = json_object_get(reply, "timestamp");
	int64_t us = json_integer_value(json_object_get(at, "seconds")) * 1000000 +
		     json_integer_value(json_object_get(at, "microseconds"));
	int64_t took = us - q->stopped_us;

	if (!strcmp(event, "STOP"))
		q->stopped_us = us;
	if (strcmp(event, "RESUME"))
		return;
	q->resumes++;
	if (q->stopped_us && took >= 0 && took <= UINT_MAX) {
		q->pauses.n++;
		if ((unsigned int)took > q->pauses.longest_us)
			q->pauses.longest_us = (unsigned int)took;
	}
	q->stopped_us = 0;
}

void vp_qmp_hear(struct vp_qmp *q)
{
	json_t *told = NULL;
	const char *event;
	int fd = -1;

	while (!q->broken && !receive(q, &told, &fd, 0, NULL)) { /* what is there, and no more */
		event = json_string_value(json_object_get(told, "event"));
		if (event)
			take_event(q, told, event);
		else /* the answer to a question that nobody has asked */
			q->broken = true;
		json_decref(told);
	}
	if (fd >= 0)
		close(fd);
}

/* The answer to the oldest request that has none yet. */
static int answer(struct vp_qmp *q, json_t **ret_value, int *fd, int64_t deadline,
		  struct vp_err *err)
{
	json_t *reply = NULL, *value;
	const char *event;
	int ret;

	q->broken = true; /* until the whole answer is here */
	do {
		json_decref(reply);
		ret = receive(q, &reply, fd, deadline, err);
		if (ret)
			return ret;
		event = json_string_value(json_object_get(reply, "event"));
		if (event)
			take_event(q, reply, event);
	} while (json_object_get(reply, "event"));

	value = json_object_get(reply, "return");
	if (value) {
		q->broken = false;
		if (ret_value)
			*ret_value = json_incref(value);
	} else if (json_object_get(reply, "error")) {
		q->broken = false;
		ret = vp_qmp_error_code(json_object_get(reply, "error"), err);
	} else {
		ret = vp_err_set(err, -EPROTO,
				 "this is not a QMP socket: "
				 "a reply has neither 'return' nor 'error'");
	}
	json_decref(reply);
	return ret;
}

/*
 * Without its arguments a command would mean something else (NULL, if @args was no text). But where
 * there are none nothing is said of them: QEMU takes what it is sent byte by byte, each by a turn
 * of its main loop (monitor_can_read()).
 */
static json_t *request_of(const char *command, json_t *args)
{
	if (!json_is_object(args) || json_object_size(args))
		return args ? json_pack("{s:s, s:o}", "execute", command, "arguments", args) : NULL;
	json_decref(args);
	return json_pack("{s:s}", "execute", command);
}

/* For whoever wants to hear it: the command, and its arguments, cut if they are long. */
static void tell(const struct vp_qmp *q, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "execute"));
	const json_t *args = json_object_get(request, "arguments");
	char *text, what[200];

	if (!vp_is_asked_heard())
		return;
	text = args ? json_dumps(args, JSON_COMPACT) : NULL;
	snprintf(what, sizeof(what), "%s%s%.120s", command ? command : "", text ? " " : "",
		 text ? text : "");
	free(text);
	vp_tell_asked(q->name, what);
}

static int call(struct vp_qmp *q, json_t *request, int pass, json_t **ret, int *fd,
		struct vp_err *err)
{
	int64_t deadline = vp_now_ms() + q->timeout_ms;
	int rc;

	tell(q, request);
	q->broken = true;
	rc = transmit(q, request, pass, deadline, err);
	if (!rc)
		rc = answer(q, ret, fd, deadline, err);
	vp_tell_answered(q->name);
	return rc;
}

static int execute(struct vp_qmp *q, const char *command, json_t *args, int pass, json_t **ret,
		   int *fd, struct vp_err *err)
{
	json_t *request;
	int code;

	if (ret)
		*ret = NULL;
	if (fd)
		*fd = -1;
	request = request_of(command, args);
	if (!request)
		return vp_err_set(err, -EINVAL, "%s: the arguments are not valid text (UTF-8)",
				  command);
	if (q->broken) {
		json_decref(request);
		return vp_err_set(err, -ENOTCONN, "the connection broke off earlier");
	}
	code = call(q, request, pass, ret, fd, err);
	if (code && fd && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return code;
}

int vp_qmp_call(struct vp_qmp *q, const char *command, json_t *args, json_t **ret, int *fd,
		struct vp_err *err)
{
	return execute(q, command, args, -1, ret, fd, err);
}

int vp_qmp_call_passing(struct vp_qmp *q, const char *command, json_t *args, int pass, json_t **ret,
			struct vp_err *err)
{
	return execute(q, command, args, pass, ret, NULL, err);
}

static int send_all(struct vp_qmp *q, const char *const *commands, size_t n, int64_t deadline,
		    struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = transmit(q, request_of(commands[i], json_object()), -1, deadline, err);
	return rc;
}

int vp_qmp_query(struct vp_qmp *q, const char *const *commands, size_t n, json_t **ret,
		 struct vp_err *err)
{
	int64_t deadline = vp_now_ms() + q->timeout_ms;
	struct vp_err why = { "" };
	int rc, failed = 0;

	memset(ret, 0, n * sizeof(*ret));
	if (q->broken)
		return vp_err_set(err, -ENOTCONN, "the connection broke off earlier");
	q->broken = true;
	for (size_t i = 0; i < n; i++)
		vp_tell_asked(q->name, commands[i]);
	rc = send_all(q, commands, n, deadline, err);
	for (size_t i = 0; i < n && !rc; i++) {
		int code = answer(q, &ret[i], NULL, deadline, &why);

		if (code && !failed)
			failed = vp_err_set(err, code, "%s: %.200s", commands[i], why.text);
		rc = q->broken ? code : 0;
	}
	vp_tell_answered(q->name);
	rc = rc ? rc : failed;
	for (size_t i = 0; i < n && rc; i++) {
		json_decref(ret[i]);
		ret[i] = NULL;
	}
	return rc;
}

bool vp_qmp_is_vmpoke(const struct vp_qmp *q)
{
	return q->vmpoke;
}

bool vp_qmp_is_broken(const struct vp_qmp *q)
{
	return q->broken;
}

unsigned int vp_qmp_resumes(const struct vp_qmp *q)
{
	return q->resumes;
}

struct vp_pauses vp_qmp_pauses(const struct vp_qmp *q)
{
	return q->pauses;
}

int vp_qmp_peer(const struct vp_qmp *q)
{
	return q->in.sender;
}

static const char *advice(int code)
{
	if (code == -ENOENT || code == -ECONNREFUSED)
		return ": nobody listens there";
	if (code == -EACCES)
		return ": it belongs to another user; be that user or root";
	return "";
}

static int dial(struct vp_qmp *q, const char *path, int64_t deadline, struct vp_err *err)
{
	struct sockaddr_un addr;
	int ret = vp_qmp_address(path, &addr, err);

	if (ret)
		return ret;
	q->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->sock < 0)
		return vp_err_set(err, -errno, "socket: %s", strerror(errno));
	ret = vp_process_ask(q->sock);
	if (ret)
		return vp_err_set(err, ret, "socket: %s", strerror(-ret));
	/* EAGAIN: the backlog is full. No poll() tells when that ends (unix(7)). */
	while (connect(q->sock, (const struct sockaddr *)&addr, sizeof(addr))) {
		ret = -errno;
		if (ret == -EINTR || (ret == -EAGAIN && vp_now_ms() < deadline)) {
			poll(NULL, 0, 10);
			continue;
		}
		if (ret == -EAGAIN)
			ret = -ETIMEDOUT;
		return vp_err_set(err, ret, "%s: %s%s", path, strerror(-ret), advice(ret));
	}
	return geteuid() ? vp_qmp_check_peer(q->sock, err) : 0;
}

/* Has the other side begun with a packet of GDB's remote protocol? */
static bool is_gdbstub(const struct vp_qmp *q)
{
	return q->in.head < q->in.tail && q->in.buf[q->in.head] == '$';
}

static int not_qmp(struct vp_err *err)
{
	return vp_err_set(err, -EPROTO, "this is a gdbstub, not a QMP socket: write qemu+gdb:PATH");
}

/*
 * To connect to a gdbstub is to stop its VM, which it tells by a packet up to QEMU 8.0: so undo
 * that, by a detach, and wait until that is acknowledged.
 */
static int leave_gdbstub(struct vp_qmp *q, int64_t deadline, struct vp_err *err)
{
	static const char detach[] = "+$D;1#b0"; /* process 1 is all vCPUs, for QEMU */
	char answer[64];

	if (send(q->sock, detach, sizeof(detach) - 1, MSG_NOSIGNAL) > 0 &&
	    !wait_for(q, POLLIN, deadline, NULL))
		(void)!recv(q->sock, answer, sizeof(answer), 0);
	return not_qmp(err);
}

/*
 * Nobody greets. From 8.1 on a gdbstub says nothing either, and has stopped its VM: asked as one it
 * answers. A QMP socket that gets to us later takes the question for a syntax error.
 */
static int ask_as_gdbstub(struct vp_qmp *q, struct vp_err *err)
{
	struct vp_err why = { "" };
	struct vp_gdb *g = NULL;
	int sock = q->sock, was = 0, rc;

	q->sock = -1; /* vp_gdb_open() closes it */
	rc = vp_gdb_open(sock, q->timeout_ms / 2, &g, &was, &why);
	/* A greeting that comes late is no packet, and it has not stopped anything. */
	if (rc && (rc != -EPROTO || !was))
		return vp_err_set(err, -ETIMEDOUT, "the target does not answer within %u ms",
				  q->timeout_ms);
	if (!rc)
		was = vp_gdb_undo(g, was, &why);
	vp_gdb_close(g);
	if (was)
		return vp_err_set(err, -EPROTO,
				  "this is a gdbstub, not a QMP socket, and its VM may have been "
				  "left stopped (%.80s): let its owner resume it",
				  why.text);
	return not_qmp(err);
}

/* As vp_qmp_version() puts it; QEMU's package is a version of its own, or empty. */
static bool is_vmpoke(const json_t *hello)
{
	const char *package = "";

	json_unpack((json_t *)hello, "{s:{s:{s:s}}}", "QMP", "version", "package", &package);
	return !strncmp(package, "vmpoke ", strlen("vmpoke "));
}

static int handshake(struct vp_qmp *q, int64_t deadline, struct vp_err *err)
{
	json_t *hello = NULL;
	int ret = receive(q, &hello, NULL, deadline, err);

	if (ret == -EPROTO && is_gdbstub(q))
		return leave_gdbstub(q, deadline, err);
	if (ret == -ETIMEDOUT && q->in.head == q->in.tail)
		return ask_as_gdbstub(q, err);
	if (ret)
		return ret;
	if (json_object_get(hello, "error"))
		ret = vp_qmp_error_code(json_object_get(hello, "error"), err);
	else if (!json_object_get(hello, "QMP"))
		ret = vp_err_set(err, -EPROTO, "this is not a QMP socket: no greeting");
	q->vmpoke = !ret && is_vmpoke(hello);
	json_decref(hello);
	return ret ? ret : vp_qmp_call(q, "qmp_capabilities", json_object(), NULL, NULL, err);
}

int vp_qmp_connect(const char *path, unsigned int timeout_ms, struct vp_qmp **out,
		   struct vp_err *err)
{
	int64_t deadline = vp_now_ms() + timeout_ms;
	struct vp_qmp *q = calloc(1, sizeof(*q));
	int ret;

	if (!q)
		return vp_err_set(err, -ENOMEM, "out of memory");
	*q = (struct vp_qmp){ .sock = -1,
			      .timeout_ms = timeout_ms,
			      .in.limit = VP_QMP_REPLY_MAX,
			      .out = VP_QMP_OUT_INIT };
	snprintf(q->name, sizeof(q->name), "%s", path);
	ret = dial(q, path, deadline, err);
	if (!ret)
		ret = handshake(q, deadline, err);
	if (ret) {
		vp_qmp_close(q);
		return ret;
	}
	*out = q;
	return 0;
}

void vp_qmp_close(struct vp_qmp *q)
{
	if (!q)
		return;
	if (q->sock >= 0)
		close(q->sock);
	vp_qmp_in_free(&q->in);
	vp_qmp_out_free(&q->out);
	free(q);
}
