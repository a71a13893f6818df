/* SPDX-License-Identifier: Apache-2.0 */
/* What all monitors share, and the monitor over the gdbstub. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/gdb.h"
#include "target/monitor.h"

/* Field 22 of /proc/PID/stat (proc(5)); the name before it may hold anything, so from its end. */
static uint64_t start_time(int pid)
{
	char path[32], text[1024], *at;
	unsigned long long start = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, "%llu", &start) == 1 ? start : 0;
}

void vp_monitor_peer(struct vp_monitor *m, int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.pid <= 0)
		return;
	m->peer_pid = cred.pid;
	m->peer_start = start_time(cred.pid);
}

int vp_monitor_check_arch(struct vp_monitor *m, struct vp_err *err)
{
	json_t *ret = NULL;
	const char *arch = NULL;
	int rc = m->ops->execute(m, "query-target", json_object(), -1, &ret, err);

	if (rc)
		return rc == -ENOSYS ? vp_err_set(err, -EPROTO, "this QMP socket is not QEMU's")
				     : rc;
	if (json_unpack(ret, "{s:s}", "arch", &arch))
		rc = vp_err_set(err, -EPROTO, "QMP query-target: no architecture in the answer");
	else if (strcmp(arch, "x86_64"))
		rc = vp_err_set(err, -EOPNOTSUPP,
				"the guest is of architecture '%.20s': vmpoke patches x86_64 only",
				arch);
	json_decref(ret);
	return rc;
}

int vp_monitor_hmp(struct vp_monitor *m, const char *command, char **text, struct vp_err *err)
{
	json_t *ret = NULL;
	int rc = m->ops->execute(m, "human-monitor-command",
				 json_pack("{s:s}", "command-line", command), -1, &ret, err);

	if (rc)
		return rc;
	*text = json_is_string(ret) ? strdup(json_string_value(ret)) : NULL;
	if (!*text)
		rc = vp_err_set(err, -EPROTO, "QMP: '%s' gave no text", command);
	json_decref(ret);
	return rc;
}

/* --- over the gdbstub -------------------------------------------------------- */

struct gdb_monitor {
	struct vp_monitor base;
	struct vp_gdb *gdb;
};

static int gdb_hmp(struct vp_monitor *m, const char *command, char **text, struct vp_err *err)
{
	return vp_gdb_hmp(((struct gdb_monitor *)m)->gdb, command, text, err);
}

static void gdb_close(struct vp_monitor *m)
{
	free(m);
}

static const struct vp_monitor_ops gdb_ops = {
	.name = "gdb",
	.hmp = gdb_hmp,
	.close = gdb_close,
};

int vp_monitor_gdb_open(struct vp_gdb *g, int sock, struct vp_monitor **out, struct vp_err *err)
{
	struct gdb_monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return vp_err_set(err, -ENOMEM, "out of memory");
	m->base.ops = &gdb_ops;
	m->gdb = g;
	if (sock >= 0)
		vp_monitor_peer(&m->base, sock);
	*out = &m->base;
	return 0;
}
