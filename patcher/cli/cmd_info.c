/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke info: what a running guest is, and how it can be patched. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke info TARGET [--kernel FILE] [--json]\n"
	"\n"
	"Describe a running guest and its kernel. TARGET is the NAME given to `vmpoke run --name`\n"
	"or the path of its socket (with a '/'), or a guest of QEMU or libvirt: qemu+qmp:PATH,\n"
	"qemu+gdb:PATH, libvirt:NAME, libvirt+URI:NAME.\n"
	"\n" VP_KERNEL_HELP "  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 FILE is of another kernel; 4 no such target, or it does\n"
	"not answer; 7 bad FILE.\n";

struct info_args {
	const char *target, *kernel;
	bool json;
};

static int parse(int argc, char **argv, struct info_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("kernel", &a->kernel),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 1);

	a->target = argv[optind];
	return code;
}

/* What is printed, in this order, where it is known. */
static const struct {
	const char *key, *label;
} lines[] = {
	{ "name", "name" },
	{ "identity", "identity" },
	{ "state", "state" },
	{ "qemu", "QEMU" },
	{ "accel", "accelerator" },
	{ "kernel", "kernel file" },
	{ "release", "Linux" },
	{ "banner", "banner" },
	{ "build_id", "build-id" },
	{ "text", "text at" },
	{ "kaslr_slide", "KASLR slide" },
	{ "phys_base", "phys_base" },
	{ "paging_levels", "page levels" },
	{ "pti", "PTI" },
	{ "linux", "Linux" },
	{ "symbols", "symbols" },
	{ "pid", "process" },
	{ "vcpus", "vCPUs" },
	{ "pinning", "pinning" },
	{ "trap-route", "trap route" },
	{ "serializer", "serializer" },
	{ "pokes", "pokes" },
	{ "unrecorded", "unrecorded" },
	{ "attention", "attention" },
};

static void print_text(const json_t *info)
{
	const json_t *strategies = json_object_get(info, "strategies"), *name;
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const json_t *value = json_object_get(info, lines[i].key);

		if (json_is_string(value) && *json_string_value(value))
			printf("%-11s %s\n", lines[i].label, json_string_value(value));
		else if (json_is_integer(value))
			printf("%-11s %lld\n", lines[i].label,
			       (long long)json_integer_value(value));
		else if (json_is_boolean(value))
			printf("%-11s %s\n", lines[i].label, json_is_true(value) ? "on" : "off");
	}
	if (json_object_get(info, "ram"))
		printf("%-11s %lld MiB\n", "memory", vp_client_int(info, "ram") >> 20);
	if (json_object_get(info, "confidential"))
		printf("%-11s %s: to patch it from outside is impossible by design\n", "encrypted",
		       vp_client_text(info, "confidential"));
	printf("%-11s%s", "strategies", json_array_size(strategies) ? "" : " none");
	json_array_foreach(strategies, i, name) printf(" %s", json_string_value(name));
	putchar('\n');
}

/* Is it a guest of docs/guest-abi.md, which has its symbols from its image? */
static bool has_own_symbols(const json_t *info)
{
	return json_object_get(info, "kernel") && vp_client_int(info, "symbols") &&
	       !json_object_get(info, "release");
}

static void set_pokes(json_t *info, const json_t *pokes)
{
	json_int_t all = (json_int_t)json_array_size(pokes),
		   recorded = (json_int_t)vp_client_recorded(pokes);

	json_object_set_new(info, "pokes", json_integer(recorded));
	if (all > recorded)
		json_object_set_new(info, "unrecorded", json_integer(all - recorded));
}

/*
 * Everything about the guest in one object. That its memory holds no Linux that we know is a fact
 * about it, not a failure; that a given FILE is of another kernel is one.
 */
static int gather(struct vp_client *c, const struct info_args *a, json_t **info)
{
	json_t *kernel = NULL, *pokes = NULL;
	struct vp_err err;
	int rc = 0, code = vp_client_call(c, "query-vm", json_object(), info);

	if (code || json_object_get(*info, "confidential")) /* then that is all there is to know */
		return code;
	code = vp_client_try(c, "query-kernel", json_object(), &kernel, &rc, &err);
	if (!code)
		json_object_update(*info, kernel);
	else if (vp_client_is_broken(c) || (a->kernel && rc != -ENOENT))
		return vp_client_is_broken(c) ? code : vp_cmd_fail("info", code, "%s", err.text);
	else if (!has_own_symbols(*info))
		json_object_set_new(*info, "linux", vp_qmp_text(err.text));
	code = vp_client_pokes(c, json_object(), &pokes, &err);
	if (pokes)
		set_pokes(*info, pokes);
	else if (!code)
		json_object_set_new(*info, "attention", vp_qmp_text(err.text));
	json_decref(kernel);
	json_decref(pokes);
	return code;
}

int vp_cmd_info(int argc, char **argv)
{
	struct info_args a = { 0 };
	struct vp_client c;
	json_t *info = NULL;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open_linux(&c, "info", a.target, VP_CLIENT_TIMEOUT_MS, a.kernel);
	if (!code)
		code = gather(&c, &a, &info);
	if (!code && a.json)
		vp_client_print(info);
	else if (!code)
		print_text(info);
	json_decref(info);
	return vp_client_close(&c, code);
}
