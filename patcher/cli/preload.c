/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/preload.h"
#include "control/paths.h"
#include "control/remote.h"

int vp_preload_look(const char *target, unsigned int timeout_ms, struct vp_preload_domain *d,
		    struct vp_err *err)
{
	const char *name;
	char *uri;
	int rc;

	*d = (struct vp_preload_domain){ .socket = "" };
	if (!vp_remote_libvirt(target, &uri, &name))
		return 1;
	rc = vp_libvirt_preload(uri, name, timeout_ms, &d->it, err);
	free(uri);
	d->has_library = !rc && strstr(d->it.preloaded, VP_PRELOAD_LIBRARY);
	if (d->has_library && *d->it.socket)
		snprintf(d->socket, sizeof(d->socket), "%s", d->it.socket);
	else if (d->has_library)
		rc = vp_socket_path(name, false, d->socket, sizeof(d->socket), err);
	return rc;
}
