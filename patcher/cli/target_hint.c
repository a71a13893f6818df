/* SPDX-License-Identifier: Apache-2.0 */
/* A TARGET that is none, or at which no VM answers: what it may have been meant for. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmpoke/qemu.h>

#include "base/similar.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "control/paths.h"
#include "control/remote.h"

#define HINT_TIMEOUT_MS 2000u

/* Of names that are gone when they have been looked at, the nearest; "": none is near. */
struct near {
	struct vp_similar similar;
	char best[256];
};

static void offer(struct near *n, const char *name)
{
	vp_similar_offer(&n->similar, name);
	if (n->similar.best != name)
		return;
	snprintf(n->best, sizeof(n->best), "%s", name);
	n->similar.best = n->best;
}

/* The guests of `vmpoke run`. */
static void find_own(const char *target, struct near *n)
{
	struct dirent *e;
	char dir[256];
	DIR *d;

	vp_similar_begin(&n->similar, target);
	d = vp_runtime_dir(dir, sizeof(dir), NULL) ? NULL : opendir(dir);
	while (d && (e = readdir(d)))
		if (*e->d_name != '.')
			offer(n, e->d_name);
	if (d)
		closedir(d);
}

static int offer_domain(void *arg, const struct vp_qemu_domain *d)
{
	offer(arg, d->name);
	return 0;
}

int vp_client_no_domain(const char *cmd, const char *target, const struct vp_err *why)
{
	struct near near = { .best = "" };
	const char *name = "";
	char *uri;

	if (vp_remote_libvirt(target, &uri, &name)) {
		vp_similar_begin(&near.similar, name);
		vp_qemu_list(uri, HINT_TIMEOUT_MS, offer_domain, &near, NULL);
		free(uri);
	}
	/* It may be there, and lack something else. */
	if (!*near.best || !strcmp(near.best, name))
		return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "%s", why->text);
	return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "%s; did you mean %.*s%s?", why->text,
			   (int)(name - target), target, near.best);
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

/* Of the operands behind @target, one that is a target; NULL: none is. */
static const char *find_swapped(const char *target)
{
	const char *operand;
	char path[256];

	for (int i = 0; (operand = vp_options_operand(i)); i++)
		if (strcmp(operand, target) != 0 &&
		    (vp_remote_is(operand) ||
		     (!vp_socket_path(operand, false, path, sizeof(path), NULL) &&
		      !access(path, F_OK))))
			return operand;
	return NULL;
}

int vp_client_check_form(const char *cmd, const char *target)
{
	static const char domain[] = "libvirt:";
	size_t first = strcspn(target, ":/");

	/* Names of our own VMs have no colon; a socket's path that has one can begin with "./". */
	if (vp_remote_is(target) || target[first] != ':')
		return VP_EXIT_OK;
	if (!strncasecmp(target, domain, strlen(domain)))
		return vp_cmd_fail(cmd, VP_EXIT_USAGE, "%s: write libvirt:%s", target,
				   target + strlen(domain));
	if (!strncasecmp(target, "qemu", 4))
		return vp_cmd_fail(cmd, VP_EXIT_USAGE, "%s: write qemu+qmp:PATH or qemu+gdb:PATH",
				   target);
	return vp_cmd_fail(cmd, VP_EXIT_USAGE,
			   "%s is no target: write the name or socket of a VM of `vmpoke run`, "
			   "libvirt:NAME, libvirt+URI:NAME, qemu+qmp:PATH or qemu+gdb:PATH",
			   target);
}

int vp_client_no_target(const char *cmd, const char *target, const struct vp_err *why)
{
	static const char folder[] = "libvirt/";
	const char *swapped = find_swapped(target);
	struct near near = { .best = "" };
	char hint[300];

	if (swapped)
		return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE,
				   "%s is no TARGET, which comes first; is it %s?", target,
				   swapped);
	if (!strncasecmp(target, folder, strlen(folder)))
		return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "%s; write libvirt:%s", why->text,
				   target + strlen(folder));
	if (strchr(target, '/'))
		return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "%s", why->text);
	find_own(target, &near);
	if (libvirt_has(target))
		snprintf(hint, sizeof(hint), "it is a domain of libvirt: write libvirt:%s", target);
	else if (*near.best && strcmp(near.best, target) != 0)
		snprintf(hint, sizeof(hint), "did you mean %s?", near.best);
	else
		snprintf(hint, sizeof(hint), "see `vmpoke list`");
	return vp_cmd_fail(cmd, VP_EXIT_UNREACHABLE, "no VM of `vmpoke run` is %s (%s); %s", target,
			   why->text, hint);
}
