/* SPDX-License-Identifier: Apache-2.0 */
/* A name at which no VM answers: what it may have been meant for. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmpoke/qemu.h>

#include "base/similar.h"
#include "cli/client.h"
#include "cli/cmd.h"

#define HINT_TIMEOUT_MS 2000u

/* The guests of `vmpoke run`; @best is the name of the nearest, or "". */
static void find_own(const char *target, char *best, size_t size)
{
	struct vp_similar similar;
	struct dirent *e;
	char dir[256];
	DIR *d;

	*best = '\0';
	vp_similar_begin(&similar, target);
	d = vp_cmd_runtime_dir(dir, sizeof(dir), NULL) ? NULL : opendir(dir);
	while (d && (e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		vp_similar_offer(&similar, e->d_name);
		if (similar.best == e->d_name) {
			snprintf(best, size, "%s", e->d_name);
			similar.best = best;
		}
	}
	if (d)
		closedir(d);
}

static int is_domain(void *arg, const struct vp_qemu_domain *d)
{
	return !strcmp(d->name, arg);
}

bool vp_client_libvirt_runs(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char path[256];

	snprintf(path, sizeof(path), "%s/libvirt/libvirt-sock", dir ? dir : "");
	return !geteuid() || !access(path, F_OK);
}

static bool libvirt_has(const char *target)
{
	char name[256];

	if (!vp_client_libvirt_runs())
		return false;
	snprintf(name, sizeof(name), "%s", target);
	return vp_qemu_list(NULL, HINT_TIMEOUT_MS, is_domain, name, NULL) == 1;
}

int vp_client_no_target(const char *cmd, const char *target, const struct vp_err *why)
{
	char best[256], hint[300];

	if (strpbrk(target, "/:"))
		return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "%s", why->text);
	find_own(target, best, sizeof(best));
	if (libvirt_has(target))
		snprintf(hint, sizeof(hint), "it is a domain of libvirt: write libvirt:%s", target);
	else if (*best && strcmp(best, target) != 0)
		snprintf(hint, sizeof(hint), "did you mean %s?", best);
	else
		snprintf(hint, sizeof(hint), "see `vmpoke list`");
	return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "no VM of `vmpoke run` is %s (%s); %s", target,
			   why->text, hint);
}
