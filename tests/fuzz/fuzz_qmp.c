/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol. Framing must not depend on how the bytes arrive; and the server, on a
 * thread of its own, answers each message of the framing once, in order, with its id, and hangs
 * up when there is no framing to go on with.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "target/qmp.h"
#include "target/qmp_wire.h"
#include "tests/fuzz/fuzz.h"

#define HANG_MS 20000

/* What a stream of bytes is made of. */
struct item {
	int code;	 /* 1: a message; or what vp_qmp_in_next() refused it with */
	json_t *message; /* NULL unless code is 1 */
};

struct stream {
	struct item *items;
	size_t n, cap;
};

static void add_item(struct stream *s, struct item it)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->items = reallocarray(s->items, s->cap, sizeof(*s->items));
		FUZZ_CHECK(s->items);
	}
	s->items[s->n++] = it;
}

/* --- framing ----------------------------------------------------------------- */

/* Take what is complete. False: nothing more can be taken from this stream. */
static bool take_items(struct vp_qmp_in *in, struct stream *s)
{
	struct vp_err err;

	for (;;) {
		struct item it = { 0 };

		it.code = vp_qmp_in_next(in, &it.message, &err);
		if (!it.code)
			return true;
		FUZZ_CHECK(it.code == 1 ? json_is_object(it.message) : !it.message);
		add_item(s, it);
		if (it.code != 1 && it.code != -EINVAL) {
			FUZZ_CHECK(it.code == -EPROTO || it.code == -EMSGSIZE);
			return false;
		}
	}
}

/* Frame bytes that arrive @chunk at a time. */
static struct stream frame(const uint8_t *data, size_t size, size_t chunk, size_t limit)
{
	struct stream s = { 0 };
	struct vp_qmp_in in = { .limit = limit };
	bool more = true;
	int pair[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	for (size_t at = 0; at < size && more; at += chunk) {
		size_t n = size - at < chunk ? size - at : chunk;

		FUZZ_CHECK(write(pair[0], data + at, n) == (ssize_t)n);
		while (more && vp_qmp_in_recv(&in, pair[1], NULL) > 0)
			more = take_items(&in, &s);
		FUZZ_CHECK(in.head <= in.scan && in.scan <= in.tail && in.tail <= in.cap);
		FUZZ_CHECK(!more || in.tail - in.head <= limit);
	}
	vp_qmp_in_free(&in);
	close(pair[0]);
	close(pair[1]);
	return s;
}

static void stream_free(struct stream *s)
{
	for (size_t i = 0; i < s->n; i++)
		json_decref(s->items[i].message);
	free(s->items);
}

static void check_chunks(const uint8_t *data, size_t size, size_t chunk, size_t limit)
{
	struct stream a = frame(data, size, size, limit), b = frame(data, size, chunk, limit);

	FUZZ_CHECK(a.n == b.n);
	for (size_t i = 0; i < a.n; i++) {
		FUZZ_CHECK(a.items[i].code == b.items[i].code);
		FUZZ_CHECK(!a.items[i].message ||
			   json_equal(a.items[i].message, b.items[i].message));
	}
	stream_free(&a);
	stream_free(&b);
}

/* --- a server with harmless commands ----------------------------------------- */

static char dir[] = "/tmp/vmpoke-fuzz-XXXXXX", path[sizeof(dir) + 8];
static struct vp_qmp_server *server;
static pthread_t thread;

static json_t *cmd_echo(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)fd, (void)code, (void)err;
	return json_deep_copy(args);
}

static json_t *cmd_fail(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)args, (void)fd;
	*code = vp_err_set(err, -ESTALE, "other bytes\nstand \xff there");
	return NULL;
}

static json_t *cmd_give(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)args, (void)code, (void)err;
	*fd = STDIN_FILENO;
	return json_object();
}

static const struct vp_qmp_command commands[] = {
	{ "echo", cmd_echo, VP_QMP_IN_TURN },
	{ "fail", cmd_fail, VP_QMP_IN_TURN },
	{ "give", cmd_give, VP_QMP_IN_TURN },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

static void *serve(void *arg)
{
	(void)arg;
	FUZZ_CHECK(!vp_qmp_server_run(server));
	return NULL;
}

static void server_end(void)
{
	vp_qmp_server_stop(server);
	pthread_join(thread, NULL);
	vp_qmp_server_free(server);
	rmdir(dir);
}

static void server_begin(void)
{
	FUZZ_CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	FUZZ_CHECK(!vp_qmp_server_new(path, commands, NULL, &server, NULL));
	FUZZ_CHECK(!pthread_create(&thread, NULL, serve, NULL));
	atexit(server_end);
}

/* Send it all, say that this was all, and take what comes until the server hangs up. */
static struct stream converse(const uint8_t *data, size_t size)
{
	struct stream s = { 0 };
	struct vp_qmp_in in = { .limit = VP_QMP_REPLY_MAX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct sockaddr_un addr;
	int ready;
	ssize_t n;

	FUZZ_CHECK(sock >= 0 && !vp_qmp_address(path, &addr, NULL));
	FUZZ_CHECK(!connect(sock, (const struct sockaddr *)&addr, sizeof(addr)));
	/* The server may hang up in the middle: fewer bytes are fine then. */
	(void)!send(sock, data, size, MSG_NOSIGNAL);
	shutdown(sock, SHUT_WR);
	do {
		do /* libFuzzer's alarm interrupts it */
			ready = poll(&p, 1, HANG_MS);
		while (ready < 0 && errno == EINTR);
		FUZZ_CHECK(ready == 1);
		n = vp_qmp_in_recv(&in, sock, NULL);
		if (n > 0)
			FUZZ_CHECK(take_items(&in, &s));
	} while (n > 0 || n == -EAGAIN);
	FUZZ_CHECK(n == 0 || n == -ECONNRESET);
	FUZZ_CHECK(in.head == in.tail); /* no half a reply */
	vp_qmp_in_free(&in);
	close(sock);
	return s;
}

/* --- the replies ------------------------------------------------------------- */

static const char *command_of(const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "execute"));

	return name ? name : "";
}

static void check_reply(const struct item *asked, const json_t *reply, bool *ready)
{
	const json_t *ret = json_object_get(reply, "return");
	const json_t *error = json_object_get(reply, "error");
	const json_t *id = json_object_get(reply, "id");
	const json_t *args = json_object_get(asked->message, "arguments");
	const char *name = command_of(asked->message);

	FUZZ_CHECK(!ret != !error);
	FUZZ_CHECK(!id == !json_object_get(asked->message, "id"));
	FUZZ_CHECK(!id || json_equal(id, json_object_get(asked->message, "id")));
	FUZZ_CHECK(asked->code == 1 || error);
	if (error)
		FUZZ_CHECK(json_is_string(json_object_get(error, "desc")) &&
			   json_is_string(json_object_get(error, "class")));
	if (ret && !*ready)
		FUZZ_CHECK(!strcmp(name, "qmp_capabilities"));
	if (ret && *ready && !strcmp(name, "echo"))
		FUZZ_CHECK(args ? json_equal(ret, args) : json_object_size(ret) == 0);
	FUZZ_CHECK(!ret || strcmp(name, "fail"));
	*ready |= !!ret;
}

static void check_server(const uint8_t *data, size_t size)
{
	struct stream asked = frame(data, size, size ? size : 1, VP_QMP_MESSAGE_NEW);
	struct stream replies = converse(data, size);
	bool ready = false;

	/* The greeting and one reply each. */
	FUZZ_CHECK(replies.items && replies.n == asked.n + 1);
	FUZZ_CHECK(json_object_get(replies.items[0].message, "QMP"));
	for (size_t i = 0; i < asked.n; i++) {
		FUZZ_CHECK(replies.items[i + 1].code == 1);
		check_reply(&asked.items[i], replies.items[i + 1].message, &ready);
	}
	stream_free(&asked);
	stream_free(&replies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!server)
		server_begin();
	if (size > VP_QMP_MESSAGE_NEW)
		return 0; /* more is refused before the negotiation: the limit below is tested */
	check_chunks(data, size, 1 + size / 48 + (size ? data[size - 1] % 7 : 0),
		     size & 1 ? VP_QMP_MESSAGE_NEW : 16 + size / 2);
	check_server(data, size);
	return 0;
}
