/* SPDX-License-Identifier: Apache-2.0 */
#include "qmp_rig.h"

#include "target/qmp_wire.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void *serve(void *arg)
{
	struct qmp_rig *r = arg;

	assert_int_equal(vp_qmp_server_run(r->server), 0);
	return NULL;
}

void qmp_rig_start(struct qmp_rig *r, const struct vp_qmp_command *commands, void *arg)
{
	strcpy(r->dir, "/tmp/vmpoke-qmp-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/sock", r->dir);
	assert_int_equal(vp_qmp_server_new(r->path, commands, arg, &r->server, NULL), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, serve, r), 0);
}

void qmp_rig_stop(struct qmp_rig *r)
{
	vp_qmp_server_stop(r->server);
	pthread_join(r->thread, NULL);
	vp_qmp_server_free(r->server);
	assert_int_equal(access(r->path, F_OK), -1);
	rmdir(r->dir);
}

int qmp_dial(const struct qmp_rig *r)
{
	struct sockaddr_un addr;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(vp_qmp_address(r->path, &addr, NULL), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

int qmp_dial_ready(const struct qmp_rig *r)
{
	static const char negotiate[] = "{\"execute\":\"qmp_capabilities\"}";
	const ssize_t len = sizeof(negotiate) - 1;
	int fd = qmp_dial(r);
	json_t *j = qmp_get(fd);

	assert_non_null(json_object_get(j, "QMP"));
	json_decref(j);
	assert_int_equal(send(fd, negotiate, (size_t)len, MSG_NOSIGNAL), len);
	j = qmp_get(fd);
	assert_non_null(json_object_get(j, "return"));
	json_decref(j);
	return fd;
}

json_t *qmp_get(int fd)
{
	static char line[1 << 17];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	json_t *json;

	while (n < sizeof(line)) {
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		if (read(fd, line + n, 1) != 1)
			return NULL;
		if (line[n++] == '\n')
			break;
	}
	json = json_loadb(line, n, 0, NULL);
	assert_non_null(json);
	return json;
}
