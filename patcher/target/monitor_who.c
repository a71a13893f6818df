/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process our commands reach. QEMU gets a socket that we listen on (`getfd`, `chardev-add`
 * with "telnet"), takes our call there and greets as telnet servers do, at once, whether its VM
 * runs or not; and the kernel says who sent that. Nothing of the VM is touched.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "target/monitor.h"
#include "target/wait.h"

/* A socket to listen on, with a name that the kernel chooses (unix(7), "autobind"); and the call.
 */
static int make_sockets(int *listener, int *call, struct sockaddr_un *addr, socklen_t *len)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*len = sizeof(addr->sun_family);
	*listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*call = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*listener < 0 || *call < 0 || vp_process_ask(*call) ||
	    bind(*listener, (const struct sockaddr *)addr, *len) || listen(*listener, 1))
		return -errno;
	*len = sizeof(*addr);
	return getsockname(*listener, (struct sockaddr *)addr, len) ? -errno : 0;
}

/* One that was killed in here has left his socket with QEMU: it is taken away. */
static void sweep(struct vp_monitor *m)
{
	static const size_t n = sizeof(VP_MONITOR_WHO) - 1;
	json_t *list = NULL, *entry;
	size_t i;

	if (m->ops->execute(m, "query-chardev", json_object(), -1, &list, NULL))
		return;
	json_array_foreach(list, i, entry)
	{
		const char *label = json_string_value(json_object_get(entry, "label"));

		if (label && !strncmp(label, VP_MONITOR_WHO, n) && vp_process_gone(label + n))
			m->ops->execute(m, "chardev-remove", json_pack("{s:s}", "id", label), -1,
					NULL, NULL);
	}
	json_decref(list);
}

/* Who sends the first byte; 0: nobody does, or he cannot be seen. */
static int listen_to(int sock, unsigned int timeout_ms)
{
	int64_t deadline = vp_now_ms() + timeout_ms, left;
	struct pollfd p = { .fd = sock, .events = POLLIN };
	union {
		char buf[VP_PROCESS_CONTROL];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n;

	do {
		left = deadline - vp_now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n != 1)
		return 0;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	return n == 1 ? vp_process_sender(&msg) : 0;
}

int vp_monitor_who(struct vp_monitor *m, unsigned int timeout_ms, struct vp_err *err)
{
	struct sockaddr_un addr;
	int listener = -1, call = -1;
	char label[sizeof(VP_MONITOR_WHO) + VP_PROCESS_TEXT];
	struct vp_process self;
	socklen_t len;
	int rc = make_sockets(&listener, &call, &addr, &len);

	if (rc) {
		rc = vp_err_set(err, rc, "socket: %s", strerror(-rc));
		goto out;
	}
	sweep(m);
	vp_process_find(getpid(), &self);
	snprintf(label, sizeof(label), VP_MONITOR_WHO "%s", self.text);
	/* Refused: it is not to be known by this way. No answer: that is an error. */
	rc = vp_monitor_add_socket(m, label, listener, true, err);
	if (rc) {
		rc = rc == -ETIMEDOUT || rc == -ENOTCONN || rc == -ECONNRESET ? rc : 0;
		goto out;
	}
	if (!connect(call, (const struct sockaddr *)&addr, len))
		vp_process_find(listen_to(call, timeout_ms), &m->peer);
	rc = m->ops->execute(m, "chardev-remove", json_pack("{s:s}", "id", label), -1, NULL, err);
out:
	if (listener >= 0)
		close(listener);
	if (call >= 0)
		close(call);
	return rc;
}
