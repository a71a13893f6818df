/* SPDX-License-Identifier: Apache-2.0 */
/* Where the ledger of a VM is. One of ours is told by its socket, of which there is one of that
 * path. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "control/ledger.h"

/* The socket's folder as it really is, and its name in that. */
static int real_path(const char *socket, char *out, size_t size, struct vp_err *err)
{
	const char *slash = strrchr(socket, '/'), *name = slash ? slash + 1 : socket;
	char *folder = slash ? strndup(socket, (size_t)(slash - socket) + 1) : strdup(".");
	char *real = folder ? realpath(folder, NULL) : NULL;
	int rc = 0;

	if (!real)
		rc = vp_err_set(err, folder ? -errno : -ENOMEM,
				"the folder of the socket %.160s: %s", socket,
				strerror(folder ? errno : ENOMEM));
	else if (!*name || (size_t)snprintf(out, size, "%s/%s", real, name) >= size)
		rc = vp_err_set(err, -EINVAL, "%.180s is no path of a socket", socket);
	free(folder);
	free(real);
	return rc;
}

int vp_ledger_path_of(const char *state_dir, const char *identity, char *out, size_t size,
		      struct vp_err *err)
{
	if (!*identity || strchr(identity, '/') || *identity == '.')
		return vp_err_set(err, -EPROTO, "the VM's identity \"%.64s\" is no name", identity);
	if ((size_t)snprintf(out, size, "%s/ledger/%s.jsonl", state_dir, identity) >= size)
		return vp_err_set(err, -ENAMETOOLONG, "the state folder's name is too long");
	return 0;
}

int vp_ledger_path_for(const char *state_dir, const char *socket, char *out, size_t size,
		       struct vp_err *err)
{
	char real[PATH_MAX];
	uint64_t digest;
	int rc = real_path(socket, real, sizeof(real), err);

	if (rc)
		return rc;
	digest = vp_digest(VP_DIGEST_INIT, real, strlen(real));
	if ((size_t)snprintf(out, size, "%s/ledger/vm-%s-%016llx.jsonl", state_dir,
			     strrchr(real, '/') + 1, (unsigned long long)digest) >= size)
		return vp_err_set(err, -ENAMETOOLONG, "the state folder's name is too long");
	return 0;
}
