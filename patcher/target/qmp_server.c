/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QMP server: one thread, one poll loop, sockets that never block.
 *
 * A client's next request is taken only when its last reply has been sent, so a client
 * that does not read costs one reply and, until it is dropped, VP_QMP_OUTPUT_MAX of events.
 */
#include "target/qmp_wire.h"
#include "target/qmp.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 32

struct client {
	int fd;	    /* -1: this slot is free */
	bool ready; /* the capabilities were negotiated */
	bool more;  /* received bytes may hold another request */
	struct vp_qmp_in in;
	struct vp_qmp_out out;
};

struct event {
	struct event *next;
	char *text;
};

struct vp_qmp_server {
	const struct vp_qmp_command *commands;
	void *arg;
	const struct client *asking; /* whose command runs */
	int listen_fd, wake_fd;
	struct sockaddr_un addr;
	dev_t dev; /* with ino: the socket file we made */
	ino_t ino;
	atomic_bool stop;
	struct client clients[CLIENTS_MAX];

	pthread_mutex_t lock; /* protects the queue of events */
	struct event *first, **last;
	size_t queued; /* bytes */
};

/* --- listening --- */

static int server_listen(struct vp_qmp_server *s, struct vp_err *err)
{
	struct stat st;

	s->listen_fd = vp_qmp_listen(&s->addr, err);
	if (s->listen_fd < 0)
		return s->listen_fd;
	if (!stat(s->addr.sun_path, &st)) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	return 0;
}

int vp_qmp_server_new(const char *path, const struct vp_qmp_command *commands, void *arg,
		      struct vp_qmp_server **out, struct vp_err *err)
{
	struct vp_qmp_server *s = calloc(1, sizeof(*s));
	size_t i;
	int ret;

	if (!s)
		return vp_err_set(err, -ENOMEM, "out of memory");
	s->commands = commands;
	s->arg = arg;
	s->listen_fd = -1;
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	for (i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].fd = -1;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = s->wake_fd < 0 ? vp_err_set(err, -errno, "eventfd: %s", strerror(errno)) : 0;
	if (!ret)
		ret = vp_qmp_address(path, &s->addr, err);
	if (!ret)
		ret = server_listen(s, err);
	if (ret) {
		vp_qmp_server_free(s);
		return ret;
	}
	*out = s;
	return 0;
}

/* --- clients --- */

static void client_drop(struct client *c)
{
	close(c->fd);
	vp_qmp_in_free(&c->in);
	vp_qmp_out_free(&c->out);
	*c = (struct client){ .fd = -1 };
}

/* Queue one message (stolen; NULL: no memory) for a client that must not hold more than @limit. */
static int client_send(struct client *c, json_t *message, size_t limit, int fd)
{
	char *text = vp_qmp_dump(message);
	int ret = text ? vp_qmp_out_add(&c->out, text, strlen(text), limit, fd) : -ENOMEM;

	free(text);
	return ret ? ret : vp_qmp_out_flush(&c->out, c->fd);
}

static json_t *greeting(void)
{
	return json_pack("{s:{s:o, s:[]}}", "QMP", "version", vp_qmp_version(), "capabilities");
}

/* Tell a peer that we do not take why, as far as it fits into the socket at once, and hang up. */
static void turn_away(int fd, int code, const char *why)
{
	struct client c = { .fd = fd, .out = VP_QMP_OUT_INIT };

	client_send(&c, json_pack("{s:o}", "error", vp_qmp_error("GenericError", code, why)),
		    VP_QMP_OUTPUT_MAX, -1);
	client_drop(&c);
}

static void accept_one(struct vp_qmp_server *s)
{
	struct client *c = s->clients;
	struct vp_err err;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int ret;

	if (fd < 0)
		return;
	ret = vp_qmp_check_peer(fd, &err);
	if (ret) {
		turn_away(fd, ret, err.text);
		return;
	}
	while (c < s->clients + CLIENTS_MAX && c->fd >= 0)
		c++;
	if (c == s->clients + CLIENTS_MAX) {
		turn_away(fd, -EBUSY, "too many clients: close one and try again");
		return;
	}
	*c = (struct client){ .fd = fd, .in.limit = VP_QMP_MESSAGE_NEW, .out = VP_QMP_OUT_INIT };
	if (client_send(c, greeting(), VP_QMP_OUTPUT_MAX, -1))
		client_drop(c);
}

/* --- requests --- */

/* What a request asks for, checked for shape. All borrowed from it. */
struct request {
	const char *command;
	json_t *args; /* NULL: none given */
	json_t *id;   /* NULL: none given */
};

static int request_check(json_t *message, struct request *r, struct vp_err *err)
{
	const char *key;
	json_t *value;

	*r = (struct request){ .id = json_object_get(message, "id") };
	json_object_foreach(message, key, value)
	{
		if (!strcmp(key, "execute"))
			r->command = json_string_value(value);
		else if (!strcmp(key, "arguments"))
			r->args = value;
		else if (strcmp(key, "id"))
			return vp_err_set(err, -EINVAL, "QMP input member '%.64s' is unexpected",
					  key);
	}
	if (!r->command)
		return vp_err_set(err, -EINVAL, "QMP input lacks a string member 'execute'");
	if (r->args && !json_is_object(r->args))
		return vp_err_set(err, -EINVAL, "QMP input member 'arguments' must be an object");
	return 0;
}

static json_t *negotiate(struct client *c, const struct request *r, int *code, struct vp_err *err)
{
	json_t *enable = NULL;
	json_error_t why;

	if (r->args && json_unpack_ex(r->args, &why, JSON_STRICT, "{s?o}", "enable", &enable)) {
		*code = vp_err_set(err, -EINVAL, "qmp_capabilities: %.160s", why.text);
		return NULL;
	}
	if (enable && (!json_is_array(enable) || json_array_size(enable))) {
		*code = vp_err_set(
			err, -EINVAL,
			"qmp_capabilities: no capability is offered, so 'enable' must be []");
		return NULL;
	}
	c->ready = true;
	c->in.limit = VP_QMP_MESSAGE_MAX;
	return json_object();
}

static json_t *command_list(const struct vp_qmp_server *s)
{
	const struct vp_qmp_command *cmd;
	json_t *list =
		json_pack("[{s:s}, {s:s}]", "name", "qmp_capabilities", "name", "query-commands");

	for (cmd = s->commands; cmd->name; cmd++)
		json_array_append_new(list, json_pack("{s:s}", "name", cmd->name));
	return list;
}

/* Run one request. NULL: @code and @err say why. -ENOSYS: there is no such command, now. */
static json_t *execute(struct vp_qmp_server *s, struct client *c, const struct request *r, int *fd,
		       int *code, struct vp_err *err)
{
	const struct vp_qmp_command *cmd;
	json_t *none, *ret;

	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): request_check() saw it */
	if (!strcmp(r->command, "qmp_capabilities") && !c->ready)
		return negotiate(c, r, code, err);
	if (!c->ready || !strcmp(r->command, "qmp_capabilities")) {
		*code = vp_err_set(err, -ENOSYS, "%s",
				   c->ready ? "Capabilities negotiation is already complete"
					    : "Expecting capabilities negotiation with "
					      "'qmp_capabilities'");
		return NULL;
	}
	if (!strcmp(r->command, "query-commands"))
		return command_list(s);
	for (cmd = s->commands; cmd->name; cmd++)
		if (!strcmp(cmd->name, r->command))
			break;
	if (!cmd->name) {
		*code = vp_err_set(err, -ENOSYS, "The command %.64s has not been found",
				   r->command);
		return NULL;
	}
	none = r->args ? NULL : json_object();
	s->asking = c;
	ret = cmd->fn(s->arg, r->args ? r->args : none, fd, code, err);
	s->asking = NULL;
	json_decref(none);
	return ret;
}

static void send_events(struct vp_qmp_server *s);

/* Answer one request, or one error in its place. Not 0: the client is lost. */
static int answer(struct vp_qmp_server *s, struct client *c, json_t *message, int code,
		  struct vp_err *err)
{
	struct request r = { 0 };
	json_t *ret = NULL, *reply = json_object();
	int fd = -1;

	if (message)
		code = request_check(message, &r, err);
	if (!code) {
		code = -EIO;
		vp_err_set(err, code, "%.64s failed", r.command);
		ret = execute(s, c, &r, &fd, &code, err);
	}
	if (ret)
		json_object_set_new(reply, "return", ret);
	else
		json_object_set_new(reply, "error",
				    vp_qmp_error(code == -ENOSYS ? "CommandNotFound"
								 : "GenericError",
						 code, err->text));
	if (r.id)
		json_object_set(reply, "id", r.id);
	send_events(s); /* what the command made happen is told before its reply */
	if (c->fd < 0) {
		json_decref(reply);
		return 0;
	}
	return client_send(c, reply, SIZE_MAX / 2, fd);
}

/* Take at most one request of a client: fair to the others. */
static void client_serve(struct vp_qmp_server *s, struct client *c)
{
	json_t *message = NULL;
	struct vp_err err;
	ssize_t n;
	int ret;

	if (vp_qmp_out_flush(&c->out, c->fd)) {
		client_drop(c);
		return;
	}
	if (!vp_qmp_out_empty(&c->out))
		return;
	if (!c->more) {
		n = vp_qmp_in_recv(&c->in, c->fd, NULL);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			client_drop(c);
			return;
		}
	}
	ret = vp_qmp_in_next(&c->in, &message, &err);
	c->more = ret == 1 || ret == -EINVAL;
	if (!ret)
		return;
	if (answer(s, c, message, ret < 0 ? ret : 0, &err) || ret == -EPROTO || ret == -EMSGSIZE)
		if (c->fd >= 0)
			client_drop(c);
	json_decref(message);
}

/* --- events --- */

void vp_qmp_server_event(struct vp_qmp_server *s, const char *event, json_t *data)
{
	struct event *e = malloc(sizeof(*e));
	struct timespec now;
	json_t *message;

	clock_gettime(CLOCK_REALTIME, &now);
	message = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
			    "microseconds", (json_int_t)(now.tv_nsec / 1000), "event", event);
	if (data)
		json_object_set_new(message, "data", data);
	if (!e) {
		json_decref(message);
		return;
	}
	*e = (struct event){ .text = vp_qmp_dump(message) };
	pthread_mutex_lock(&s->lock);
	/* A server that is busy for long must not make its callers fill the memory. */
	if (e->text && s->queued < VP_QMP_OUTPUT_MAX) {
		s->queued += strlen(e->text);
		*s->last = e;
		s->last = &e->next;
		e = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (e) {
		free(e->text);
		free(e);
	}
	(void)!write(s->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static struct event *take_events(struct vp_qmp_server *s)
{
	struct event *list;

	pthread_mutex_lock(&s->lock);
	list = s->first;
	s->first = NULL;
	s->last = &s->first;
	s->queued = 0;
	pthread_mutex_unlock(&s->lock);
	return list;
}

static void free_event(struct event *e)
{
	free(e->text);
	free(e);
}

static void send_events(struct vp_qmp_server *s)
{
	struct event *e, *next;
	size_t i;

	for (e = take_events(s); e; e = next) {
		next = e->next;
		for (i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &s->clients[i];

			if (c->fd < 0 || !c->ready)
				continue;
			if (vp_qmp_out_add(&c->out, e->text, strlen(e->text), VP_QMP_OUTPUT_MAX,
					   -1) ||
			    vp_qmp_out_flush(&c->out, c->fd))
				client_drop(c);
		}
		free_event(e);
	}
}

/* --- the loop --- */

/* Fill @p with the listener, the wake-up and the clients. The time to wait, in ms. */
static int prepare_poll(const struct vp_qmp_server *s, struct pollfd *p)
{
	int wait = -1;
	size_t i;

	p[0] = (struct pollfd){ .fd = s->listen_fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
	for (i = 0; i < CLIENTS_MAX; i++) {
		const struct client *c = &s->clients[i];
		bool idle = c->fd < 0 || vp_qmp_out_empty(&c->out);

		p[2 + i] = (struct pollfd){ .fd = c->fd, .events = idle ? POLLIN : POLLOUT };
		if (c->fd >= 0 && idle && c->more)
			wait = 0;
	}
	return wait;
}

int vp_qmp_server_run(struct vp_qmp_server *s)
{
	struct pollfd p[2 + CLIENTS_MAX];
	uint64_t drain;
	size_t i;

	while (!atomic_load(&s->stop)) {
		if (poll(p, 2 + CLIENTS_MAX, prepare_poll(s, p)) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[1].revents)
			(void)!read(s->wake_fd, &drain, sizeof(drain));
		send_events(s);
		for (i = 0; i < CLIENTS_MAX; i++)
			if (s->clients[i].fd >= 0 && (p[2 + i].revents || s->clients[i].more))
				client_serve(s, &s->clients[i]);
		if (p[0].revents)
			accept_one(s);
	}
	send_events(s);
	return 0;
}

void vp_qmp_server_peer(const struct vp_qmp_server *s, uid_t *uid, pid_t *pid)
{
	struct ucred cred = { .pid = getpid(), .uid = geteuid() };
	socklen_t len = sizeof(cred);

	if (s->asking)
		getsockopt(s->asking->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	*uid = cred.uid;
	*pid = cred.pid;
}

void vp_qmp_server_stop(struct vp_qmp_server *s)
{
	atomic_store(&s->stop, true);
	(void)!write(s->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void vp_qmp_server_free(struct vp_qmp_server *s)
{
	struct event *e, *next;
	struct stat st;
	size_t i;

	if (!s)
		return;
	for (i = 0; i < CLIENTS_MAX; i++)
		if (s->clients[i].fd >= 0)
			client_drop(&s->clients[i]);
	for (e = take_events(s); e; e = next) {
		next = e->next;
		free_event(e);
	}
	/* Another server may stand at our path by now: remove only the file that we made. */
	if (s->ino && !stat(s->addr.sun_path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->addr.sun_path);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
