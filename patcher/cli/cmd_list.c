/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke list: the guests of `vmpoke run`, and the domains of libvirt. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/tell.h"
#include "cli/client.h"
#include "cli/options.h"
#include "control/paths.h"

#define LIST_TIMEOUT_MS 5000u

static const char help[] =
	"usage: vmpoke list [--connect URI] [--names | --json]\n"
	"\n"
	"List the guests of `vmpoke run` of this user, and the domains of libvirt: name, state,\n"
	"vCPUs, kernel, applied pokes, \"-\" (null) where that is not known. The first column is\n"
	"what other commands take as TARGET.\n"
	"\n"
	"  --connect URI   libvirt's, as for virsh. Without it the default of libvirt; that no\n"
	"                  libvirt answers there is no error then\n"
	"  --names         the targets alone, one a line; no guest is looked into\n"
	"  --json          print one JSON array\n"
	"\n"
	"Exit code: 0; 2 bad options; 4 the libvirt of URI does not answer.\n";

/* What is known of a guest: its kernel and pokes; NULL: that is not known, and null is no zero. */
static void add_kernel(json_t *entry, const json_t *kernel, const json_t *pokes)
{
	const char *release = vp_client_text(kernel, "release");

	json_object_set_new(entry, "kernel", *release ? json_string(release) : json_null());
	json_object_set_new(entry, "pokes",
			    pokes ? json_integer((json_int_t)vp_client_recorded(pokes))
				  : json_null());
}

/* --- our own ----------------------------------------------------------------- */

static bool listens(const char *path)
{
	struct sockaddr_un addr;

	return !vp_qmp_address(path, &addr, NULL) && !vp_qmp_probe(&addr);
}

static void add_own(json_t *list, const char *dir, const char *name, bool look)
{
	json_t *vm = NULL, *status = NULL, *kernel = NULL, *pokes = NULL, *entry;
	char path[512];
	struct vp_qmp *q;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!look) {
		if (listens(path))
			json_array_append_new(list,
					      json_pack("{s:o}", "target", vp_qmp_text(name)));
		return;
	}
	if (vp_client_connect(path, LIST_TIMEOUT_MS, &q, NULL))
		return; /* the socket of a VM that was killed, or no socket */
	if (!vp_client_ask(q, NULL, "query-vm", json_object(), &vm, NULL) &&
	    !vp_client_ask(q, NULL, "query-status", json_object(), &status, NULL)) {
		entry = json_pack("{s:o, s:s, s:s, s:I}", "target", vp_qmp_text(name), "type",
				  "vmpoke", "state", vp_client_text(status, "status"), "vcpus",
				  (json_int_t)vp_client_int(vm, "vcpus"));
		vp_client_ask(q, NULL, "query-kernel", json_object(), &kernel, NULL);
		vp_client_ask(q, NULL, "query-pokes", json_object(), &pokes, NULL);
		add_kernel(entry, kernel, pokes);
		json_array_append_new(list, entry);
	}
	json_decref(vm);
	json_decref(status);
	json_decref(kernel);
	json_decref(pokes);
	vp_qmp_close(q);
}

static void list_own(json_t *list, bool look)
{
	char dir[256];
	struct dirent **names;
	int n;

	if (vp_runtime_dir(dir, sizeof(dir), NULL))
		return;
	n = scandir(dir, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (*names[i]->d_name != '.')
			add_own(list, dir, names[i]->d_name, look);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* --- libvirt's --------------------------------------------------------------- */

struct domains {
	json_t *list;
	const char *uri;
};

static int add_domain(void *arg, const struct vp_qemu_domain *d)
{
	struct domains *to = arg;
	char target[512]; /* cut: then it is refused when it is used */

	/* Behind a URI a name begins at the last colon: one that has some goes by its UUID. */
	snprintf(target, sizeof(target), "libvirt%s%s:%s", to->uri ? "+" : "",
		 to->uri ? to->uri : "", to->uri && strchr(d->name, ':') ? d->uuid : d->name);
	json_array_append_new(to->list,
			      json_pack("{s:o, s:s, s:s, s:o, s:I}", "target", vp_qmp_text(target),
					"type", "libvirt", "uuid", d->uuid, "state",
					vp_qmp_text(d->state_text), "vcpus", (json_int_t)d->vcpus));
	if (d->state != VP_QEMU_OFF) /* a killed vmpoke may be why it is paused */
		return 0;
	add_kernel(json_array_get(to->list, json_array_size(to->list) - 1), NULL, NULL);
	return 0;
}

/* After the list was taken: libvirt's connection is closed then. */
static void look_into(json_t *entry, const struct vp_remote_config *cfg)
{
	json_t *kernel = NULL, *pokes = NULL;
	struct vp_remote *r;
	struct vp_err err;

	if (vp_remote_open(vp_client_text(entry, "target"), cfg, &r, &err)) {
		add_kernel(entry, NULL, NULL);
		json_object_set_new(entry, "error", vp_qmp_text(err.text));
		return;
	}
	vp_client_ask(NULL, r, "query-kernel", json_object(), &kernel, NULL);
	vp_client_ask(NULL, r, "query-pokes", json_object(), &pokes, NULL);
	add_kernel(entry, kernel, pokes);
	if (vp_remote_attention(r))
		json_object_set_new(entry, "attention", vp_qmp_text(vp_remote_attention(r)));
	json_decref(kernel);
	json_decref(pokes);
	vp_remote_close(r, NULL);
}

static int list_domains(json_t *list, const char *uri, bool look)
{
	struct domains to = { list, uri };
	size_t i = json_array_size(list);
	struct vp_remote_config cfg;
	struct vp_err err;
	int rc, code = vp_client_remote_config("list", &cfg);

	if (code)
		return code;
	if (!look && !uri && !vp_client_libvirt_runs()) /* not woken up for its names */
		return VP_EXIT_OK;
	rc = vp_qemu_list(uri, cfg.timeout_ms ? cfg.timeout_ms : LIST_TIMEOUT_MS, add_domain, &to,
			  &err);
	if (rc && uri)
		return vp_cmd_fail("list", VP_EXIT_UNREACHABLE, "%s", err.text);
	for (size_t first = i; look && i < json_array_size(list); i++) {
		vp_tell_progress("looking at the domains", i - first,
				 json_array_size(list) - first);
		if (!json_object_get(json_array_get(list, i), "kernel"))
			look_into(json_array_get(list, i), &cfg);
	}
	vp_tell_progress("looking at the domains", 1, 1);
	return VP_EXIT_OK;
}

/* --- output ------------------------------------------------------------------ */

static void print_names(const json_t *list, const char *prefix)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i,
			   e) if (!strncmp(vp_client_text(e, "target"), prefix, strlen(prefix)))
		printf("%s\n", vp_client_text(e, "target"));
}

void vp_list_targets(const char *prefix)
{
	json_t *list = json_array();

	list_own(list, false);
	list_domains(list, NULL, false);
	print_names(list, prefix);
	json_decref(list);
}

static void print_text(const json_t *list)
{
	const json_t *e;
	size_t i;

	if (!json_array_size(list)) {
		printf("no guest of `vmpoke run`, and no domain of libvirt; a QEMU without libvirt "
		       "is qemu+qmp:PATH\n");
		return;
	}
	printf("%-32s %-14s %5s  %-24s %5s\n", "TARGET", "STATE", "VCPUS", "KERNEL", "POKES");
	json_array_foreach(list, i, e)
	{
		const char *kernel = vp_client_text(e, "kernel");
		char pokes[24] = "-";

		if (json_is_integer(json_object_get(e, "pokes")))
			snprintf(pokes, sizeof(pokes), "%lld", vp_client_int(e, "pokes"));
		printf("%-32s %-14s %5lld  %-24s %5s\n", vp_client_text(e, "target"),
		       vp_client_text(e, "state"), vp_client_int(e, "vcpus"),
		       *kernel ? kernel : "-", pokes);
		if (*vp_client_text(e, "attention"))
			vp_common_note("list", "%s: %s", vp_client_text(e, "target"),
				       vp_client_text(e, "attention"));
	}
}

int vp_cmd_list(int argc, char **argv)
{
	bool json = false, names = false;
	const struct vp_option options[] = {
		VP_TEXT("connect", &vp_common.connect),
		VP_FLAG("names", &names),
		VP_FLAG("json", &json),
		VP_OPTIONS_END,
	};
	json_t *list;
	int code = vp_options_parse(argc, argv, help, options, 0, 0);

	if (code >= 0)
		return code;
	if (names && json)
		return vp_cmd_fail("list", VP_EXIT_USAGE, "--names and --json exclude each other");
	list = json_array();
	list_own(list, !names);
	code = list_domains(list, vp_common.connect, !names);
	if (!code && json)
		vp_client_print(list);
	else if (!code && names)
		print_names(list, "");
	else if (!code)
		print_text(list);
	json_decref(list);
	return code;
}
