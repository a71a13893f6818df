/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QMP server: one thread, one poll loop, sockets that never block. Commands run on threads of
 * their own (qmp_jobs.c); nothing here is touched by those but the queue of events (qmp_events.c).
 *
 * A client's next request is taken only when its last reply has been sent, so a client
 * that does not read costs one reply and, until it is dropped, VP_QMP_OUTPUT_MAX of events.
 */
#include "target/qmp_wire.h"
#include "target/qmp.h"
#include "target/qmp_events.h"
#include "target/qmp_jobs.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 32

struct client {
	int fd;	    /* -1: this slot is free */
	bool ready; /* the capabilities were negotiated */
	bool more;  /* received bytes may hold another request */
	bool busy;  /* its command runs: no other one is taken */
	bool gone;  /* while its command runs: its place is free when that is done */
	struct vp_qmp_in in;
	struct vp_qmp_out out;
};

struct vp_qmp_server {
	const struct vp_qmp_command *commands;
	void *arg;
	const struct vp_qmp_around *around; /* NULL: nothing */
	struct vp_qmp_jobs *jobs;
	int listen_fd, wake_fd;
	struct sockaddr_un addr;
	dev_t dev; /* with ino: the socket file we made */
	ino_t ino;
	atomic_bool stop;
	struct client clients[CLIENTS_MAX];
	struct vp_qmp_events events;
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
	vp_qmp_events_init(&s->events);
	for (i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].fd = -1;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = s->wake_fd < 0 ? vp_err_set(err, -errno, "eventfd: %s", strerror(errno)) : 0;
	s->jobs = vp_qmp_jobs_new(s->wake_fd);
	if (!s->jobs)
		ret = vp_err_set(err, -ENOMEM, "out of memory");
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

void vp_qmp_server_set_arg(struct vp_qmp_server *s, void *arg)
{
	s->arg = arg;
}

void vp_qmp_server_set_around(struct vp_qmp_server *s, const struct vp_qmp_around *around)
{
	s->around = around;
}

/* --- clients --- */

static void client_drop(struct client *c)
{
	close(c->fd);
	vp_qmp_in_free(&c->in);
	vp_qmp_out_free(&c->out);
	*c = (struct client){ .fd = -1 };
}

/* It has hung up, or does not read. */
static void client_lose(struct client *c)
{
	if (c->busy)
		c->gone = true;
	else
		client_drop(c);
}

static void peer_of(int fd, uid_t *uid, pid_t *pid)
{
	struct ucred cred = { .pid = getpid(), .uid = geteuid() };
	socklen_t len = sizeof(cred);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	*uid = cred.uid;
	*pid = cred.pid;
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

/* All places are taken, but some by clients that have hung up and whose command still runs. */
static bool room_is_near(struct vp_qmp_server *s)
{
	bool gone = false;

	for (struct client *c = s->clients; c < s->clients + CLIENTS_MAX; c++) {
		struct pollfd p = { .fd = c->fd };

		if (c->fd < 0)
			return false;
		if (c->busy && poll(&p, 1, 0) > 0 && p.revents)
			c->gone = true;
		gone |= c->gone;
	}
	return gone;
}

static void accept_one(struct vp_qmp_server *s)
{
	struct client *c = s->clients;
	struct vp_err err;
	int fd, ret;

	if (room_is_near(s))
		return; /* whoever comes waits for it, and is not turned away */
	fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
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

static void send_events(struct vp_qmp_server *s);

/* Answer @id (NULL: none) by @ret (stolen), or by an error. Not 0: the client is lost. */
static int reply(struct vp_qmp_server *s, struct client *c, json_t *id, json_t *ret, int fd,
		 int code, const struct vp_err *err)
{
	json_t *message = json_object();

	if (ret)
		json_object_set_new(message, "return", ret);
	else
		json_object_set_new(message, "error",
				    vp_qmp_error(code == -ENOSYS ? "CommandNotFound"
								 : "GenericError",
						 code, err->text));
	if (id)
		json_object_set(message, "id", id);
	send_events(s); /* what the command made happen is told before its reply */
	if (c->fd < 0) {
		json_decref(message);
		return 0;
	}
	return client_send(c, message, SIZE_MAX / 2, fd);
}

static const struct vp_qmp_command *find(const struct vp_qmp_server *s, const char *name)
{
	const struct vp_qmp_command *cmd = s->commands;

	while (cmd->name && strcmp(cmd->name, name))
		cmd++;
	return cmd->name ? cmd : NULL;
}

/* What the server answers itself, and what it cannot answer. NULL and @code 0: it is a command. */
static json_t *answer_here(struct vp_qmp_server *s, struct client *c, const struct request *r,
			   int *code, struct vp_err *err)
{
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
	if (!find(s, r->command))
		*code = vp_err_set(err, -ENOSYS, "The command %.64s has not been found",
				   r->command);
	return NULL;
}

/* A command is done. */
static void deliver(struct vp_qmp_server *s, struct vp_qmp_job *job)
{
	struct client *c = &s->clients[job->client];

	c->busy = false;
	if (c->gone) { /* what was done is done */
		send_events(s);
		client_drop(c);
	} else {
		if (reply(s, c, job->id, job->ret, job->fd, job->code, &job->err) && c->fd >= 0)
			client_drop(c);
		job->ret = NULL;
	}
	vp_qmp_job_free(job);
}

static int start(struct vp_qmp_server *s, struct client *c, const struct request *r)
{
	struct vp_qmp_job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct vp_qmp_job){
		.command = find(s, r->command),
		.arg = s->arg,
		.around = s->around,
		.args = r->args ? json_incref(r->args) : json_object(),
		.id = json_incref(r->id),
		.client = (size_t)(c - s->clients),
		.fd = -1,
		.code = -EIO,
	};
	vp_err_set(&job->err, 0, "%.64s failed", r->command);
	peer_of(c->fd, &job->uid, &job->pid);
	c->busy = true;
	if (job->command->how == VP_QMP_AT_ONCE) {
		vp_qmp_job_run(job);
		deliver(s, job);
	} else {
		vp_qmp_jobs_start(s->jobs, job);
	}
	return 0;
}

/* Answer one request, or one error in its place, or begin to. Not 0: the client is lost. */
static int answer(struct vp_qmp_server *s, struct client *c, json_t *message, int code,
		  struct vp_err *err)
{
	struct request r = { 0 };
	json_t *ret = NULL;

	if (message)
		code = request_check(message, &r, err);
	if (!code) {
		ret = answer_here(s, c, &r, &code, err);
		if (!ret && !code)
			return start(s, c, &r);
	}
	return reply(s, c, r.id, ret, -1, code, err);
}

/* Take at most one request of a client: fair to the others. */
static void client_serve(struct vp_qmp_server *s, struct client *c)
{
	json_t *message = NULL;
	struct vp_err err;
	ssize_t n;
	int ret;

	if (vp_qmp_out_flush(&c->out, c->fd)) {
		client_lose(c);
		return;
	}
	if (c->busy || !vp_qmp_out_empty(&c->out))
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
	vp_qmp_events_put(&s->events, event, data);
	(void)!write(s->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void send_events(struct vp_qmp_server *s)
{
	struct vp_qmp_event *e, *next;
	size_t i;

	for (e = vp_qmp_events_take(&s->events); e; e = next) {
		next = e->next;
		for (i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &s->clients[i];

			if (c->fd < 0 || !c->ready || c->gone)
				continue;
			if (vp_qmp_out_add(&c->out, e->text, strlen(e->text), VP_QMP_OUTPUT_MAX,
					   -1) ||
			    vp_qmp_out_flush(&c->out, c->fd))
				client_lose(c);
		}
		vp_qmp_event_free(e);
	}
}

/* --- the loop --- */

/* Fill @p with the listener, the wake-up and the clients. The time to wait, in ms. */
static int prepare_poll(const struct vp_qmp_server *s, struct pollfd *p)
{
	bool room = false, gone = false;
	int wait = -1;
	size_t i;

	p[0] = (struct pollfd){ .fd = s->listen_fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
	for (i = 0; i < CLIENTS_MAX; i++) {
		const struct client *c = &s->clients[i];
		bool idle = c->fd < 0 || vp_qmp_out_empty(&c->out);

		/* While its command runs nothing is wanted of it; but whether it hangs up. */
		p[2 + i] = (struct pollfd){
			.fd = c->gone ? -1 : c->fd,
			.events = (short)(!idle	    ? POLLOUT
					  : c->busy ? 0
						    : POLLIN),
		};
		if (c->fd >= 0 && idle && c->more && !c->busy)
			wait = 0;
		room |= c->fd < 0;
		gone |= c->gone;
	}
	if (gone && !room)
		p[0].fd = -1; /* room_is_near() */
	return wait;
}

int vp_qmp_server_run(struct vp_qmp_server *s)
{
	struct pollfd p[2 + CLIENTS_MAX];
	struct vp_qmp_job *job;
	uint64_t drain;
	size_t i;
	int ret = 0;

	while (!atomic_load(&s->stop)) {
		if (poll(p, 2 + CLIENTS_MAX, prepare_poll(s, p)) < 0) {
			if (errno == EINTR)
				continue;
			ret = -errno;
			break;
		}
		if (p[1].revents)
			(void)!read(s->wake_fd, &drain, sizeof(drain));
		send_events(s);
		while ((job = vp_qmp_jobs_take(s->jobs)))
			deliver(s, job);
		for (i = 0; i < CLIENTS_MAX; i++)
			if (s->clients[i].fd >= 0 && s->clients[i].busy &&
			    (p[2 + i].revents & (POLLHUP | POLLERR)))
				client_lose(&s->clients[i]);
			else if (s->clients[i].fd >= 0 && (p[2 + i].revents || s->clients[i].more))
				client_serve(s, &s->clients[i]);
		if (p[0].revents)
			accept_one(s);
	}
	while ((job = vp_qmp_jobs_wait(s->jobs)))
		deliver(s, job);
	send_events(s);
	return ret;
}

void vp_qmp_server_peer(uid_t *uid, pid_t *pid)
{
	const struct vp_qmp_job *job = vp_qmp_job_current();

	*uid = job ? job->uid : geteuid();
	*pid = job ? job->pid : getpid();
}

void vp_qmp_server_stop(struct vp_qmp_server *s)
{
	atomic_store(&s->stop, true);
	(void)!write(s->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void vp_qmp_server_free(struct vp_qmp_server *s)
{
	struct stat st;
	size_t i;

	if (!s)
		return;
	for (i = 0; i < CLIENTS_MAX; i++)
		if (s->clients[i].fd >= 0)
			client_drop(&s->clients[i]);
	vp_qmp_events_clear(&s->events);
	/* Another server may stand at our path by now: remove only the file that we made. */
	if (s->ino && !stat(s->addr.sun_path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->addr.sun_path);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	vp_qmp_jobs_free(s->jobs);
	free(s);
}
