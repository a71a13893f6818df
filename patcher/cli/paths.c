/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment says, and where vmpoke keeps its files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cmd.h"

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int vp_cmd_timeout(unsigned int *ms, struct vp_err *err)
{
	const char *text = setting("VMPOKE_TIMEOUT");
	uint64_t value = 0;

	if (text && vp_cmd_number(text, 1, VP_CMD_TIMEOUT_MAX, &value))
		return vp_err_set(err, -EINVAL, "VMPOKE_TIMEOUT=%.40s is not a number from 1 to %u",
				  text, VP_CMD_TIMEOUT_MAX);
	*ms = (unsigned int)value;
	return 0;
}

const char *vp_cmd_keyring(const char *option)
{
	return option ? option : setting("VMPOKE_KEYRING");
}

/* --- state ------------------------------------------------------------------- */

static int put(char *path, size_t size, struct vp_err *err, const char *dir, const char *rest)
{
	int n = snprintf(path, size, "%s%s", dir, rest);

	if (n >= 0 && (size_t)n < size)
		return 0;
	return vp_err_set(err, -ENAMETOOLONG, "the folder's name is too long: %.160s", dir);
}

/* As the XDG base directory specification wants it; for root as the FHS does. */
int vp_cmd_state_dir(char *path, size_t size, struct vp_err *err)
{
	const char *dir;

	if ((dir = setting("VMPOKE_STATE_DIR")))
		return put(path, size, err, dir, "");
	if (geteuid() == 0)
		return put(path, size, err, "/var/lib/vmpoke", "");
	if ((dir = setting("XDG_STATE_HOME")))
		return put(path, size, err, dir, "/vmpoke");
	if ((dir = setting("HOME")))
		return put(path, size, err, dir, "/.local/state/vmpoke");
	return vp_err_set(err, -ENOENT, "there is no home folder: set VMPOKE_STATE_DIR");
}

/* --- sockets ----------------------------------------------------------------- */

int vp_cmd_runtime_dir(char *dir, size_t size, struct vp_err *err)
{
	const char *own = setting("VMPOKE_RUNTIME_DIR"), *xdg = setting("XDG_RUNTIME_DIR");
	int n;

	if (own)
		n = snprintf(dir, size, "%s", own);
	else if (xdg)
		n = snprintf(dir, size, "%s/vmpoke", xdg);
	else if (geteuid() == 0)
		n = snprintf(dir, size, "/run/vmpoke");
	else
		n = snprintf(dir, size, "/tmp/vmpoke-%u", (unsigned int)geteuid());
	if (n < 0 || (size_t)n >= size)
		return vp_err_set(err, -ENAMETOOLONG,
				  "the runtime folder's name is too long: set VMPOKE_RUNTIME_DIR");
	return 0;
}

/* In a folder that others may write, a socket of ours could be somebody else's. */
static int runtime_dir_check(const char *dir, bool create, struct vp_err *err)
{
	struct stat st;

	if (create && mkdir(dir, 0700) && errno != EEXIST)
		return vp_err_set(err, -errno, "cannot make the runtime folder %s: %s", dir,
				  strerror(errno));
	if (lstat(dir, &st)) {
		if (errno == ENOENT) /* connecting will say that there is no such target */
			return 0;
		return vp_err_set(err, -errno, "%s: %s", dir, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return vp_err_set(err, -EACCES,
				  "the runtime folder %s is not a folder that only you can write: "
				  "set VMPOKE_RUNTIME_DIR",
				  dir);
	return 0;
}

int vp_cmd_socket_path(const char *target, bool create, char *path, size_t size, struct vp_err *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t max = size < sizeof(dir) ? size : sizeof(dir);
	int n, rc;

	if (strchr(target, '/')) {
		n = snprintf(path, size, "%s", target);
	} else {
		if (!*target || *target == '.')
			return vp_err_set(err, -EINVAL, "\"%s\" is no name of a target", target);
		rc = vp_cmd_runtime_dir(dir, sizeof(dir), err);
		if (!rc)
			rc = runtime_dir_check(dir, create, err);
		if (rc)
			return rc;
		n = snprintf(path, size, "%s/%s", dir, target);
	}
	if (n < 0 || (size_t)n >= max)
		return vp_err_set(err, -ENAMETOOLONG,
				  "the socket's path is too long (at most %zu bytes): %s", max - 1,
				  target);
	return 0;
}
