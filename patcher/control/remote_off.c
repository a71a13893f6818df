/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a libvirt domain that does not run. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/ledger.h"
#include "control/remote.h"

#define UUID_TEXT 36

struct search {
	const char *name; /* or UUID */
	char uuid[UUID_TEXT + 4];
	bool off;
};

static int look(void *arg, const struct vp_qemu_domain *d)
{
	struct search *s = arg;

	if (strcmp(d->name, s->name) != 0 && strcasecmp(d->uuid, s->name) != 0)
		return 0;
	s->off = d->state == VP_QEMU_OFF;
	snprintf(s->uuid, sizeof(s->uuid), "%s", d->uuid);
	return 1;
}

/* Its UUID, which the ledger is named by; "": it is on, or nobody knows it. */
static void find_off(const char *uri, unsigned int timeout_ms, struct search *s)
{
	int rc = vp_qemu_list(uri, timeout_ms, look, s, NULL);

	if (rc == 0 && strlen(s->name) == UUID_TEXT &&
	    strspn(s->name, "0123456789abcdef-") == UUID_TEXT)
		snprintf(s->uuid, sizeof(s->uuid), "%s", s->name);
	else if (rc != 1 || !s->off)
		s->uuid[0] = '\0';
}

json_t *vp_remote_history_off(const char *target, const struct vp_remote_config *cfg)
{
	struct search s = { 0 };
	char path[PATH_MAX], *uri;

	if (!vp_remote_libvirt(target, &uri, &s.name))
		return NULL;
	find_off(uri, cfg->timeout_ms, &s);
	free(uri);
	if (vp_ledger_path_of(cfg->state_dir, s.uuid, path, sizeof(path), NULL))
		return NULL;
	return vp_ledger_history_at(path);
}
