/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket itself: its address, its mode, who may be at the other end (unix(7)). */
#include "target/qmp_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

int vp_qmp_check_peer(int sock, struct vp_err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return vp_err_set(err, -errno, "peer of the control socket is unknown: %s",
				  strerror(errno));
	if (cred.uid != 0 && cred.uid != geteuid())
		return vp_err_set(err, -EPERM,
				  "refused: the peer runs as uid %u, this side as uid %u; "
				  "use the same user or root",
				  (unsigned int)cred.uid, (unsigned int)geteuid());
	return 0;
}

int vp_qmp_address(const char *path, struct sockaddr_un *addr, struct vp_err *err)
{
	size_t len = strlen(path);

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!len)
		return vp_err_set(err, -EINVAL, "the path of the control socket is empty");
	if (len >= sizeof(addr->sun_path))
		return vp_err_set(err, -ENAMETOOLONG,
				  "control socket path is longer than %zu bytes: use a shorter one",
				  sizeof(addr->sun_path) - 1);
	memcpy(addr->sun_path, path, len + 1);
	return 0;
}

int vp_qmp_probe(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	close(fd);
	return rc == -EAGAIN ? 0 : rc; /* its backlog is full, so somebody listens */
}

/* Remove what stands at the path if it is a socket that nobody listens on. */
static int remove_stale(const struct sockaddr_un *addr, struct vp_err *err)
{
	const char *path = addr->sun_path;
	struct stat st;
	int ret;

	if (lstat(path, &st))
		return errno == ENOENT ? 0
				       : vp_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return vp_err_set(err, -EEXIST, "%s is not a socket: refused to replace it", path);
	ret = -vp_qmp_probe(addr);
	if (!ret)
		return vp_err_set(err, -EADDRINUSE,
				  "%s is in use by a running VM: choose another name or path",
				  path);
	if (ret == ENOENT)
		return 0;
	if (ret != ECONNREFUSED || unlink(path))
		return vp_err_set(err, ret != ECONNREFUSED ? -ret : -errno,
				  "%s cannot be replaced: %s", path,
				  strerror(ret != ECONNREFUSED ? ret : errno));
	return 0;
}

/* Before anybody can connect the file has its mode: from bind(), not from a later chmod(). */
static int bind_private(int fd, const struct sockaddr_un *addr)
{
	mode_t mask = umask(0177);
	int ret = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;

	umask(mask);
	return ret;
}

int vp_qmp_listen(const struct sockaddr_un *addr, struct vp_err *err)
{
	const char *path = addr->sun_path;
	int fd, ret = remove_stale(addr, err);

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vp_err_set(err, -errno, "socket: %s", strerror(errno));
	ret = bind_private(fd, addr);
	if (!ret && listen(fd, BACKLOG)) {
		ret = -errno;
		unlink(path);
	}
	if (ret) {
		close(fd);
		return vp_err_set(err, ret, "%s: cannot make the control socket: %s", path,
				  strerror(-ret));
	}
	return fd;
}
