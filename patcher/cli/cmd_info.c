/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke info: what a running guest is, and how it can be patched. */
#include <stdio.h>

#include "cli/client.h"

static const char help[] =
	"usage: vmpoke info TARGET [--json]\n"
	"\n"
	"Describe a running guest. TARGET is the NAME given to `vmpoke run --name`\n"
	"or the path of its socket (with a '/').\n"
	"\n"
	"  --json   print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 4 no such target, or it does not answer.\n";

static void print_text(const json_t *vm)
{
	const json_t *strategies = json_object_get(vm, "strategies"), *name;
	size_t i;

	printf("name        %s\n", vp_client_text(vm, "name"));
	printf("kernel      %s (%lld symbols)\n", vp_client_text(vm, "kernel"),
	       vp_client_int(vm, "symbols"));
	printf("process     %lld\n", vp_client_int(vm, "pid"));
	printf("memory      %lld MiB\n", vp_client_int(vm, "ram") >> 20);
	printf("vCPUs       %lld\n", vp_client_int(vm, "vcpus"));
	printf("trap route  %s\n", vp_client_text(vm, "trap-route"));
	printf("serializer  %s\n", vp_client_text(vm, "serializer"));
	printf("strategies ");
	json_array_foreach(strategies, i, name) printf(" %s", json_string_value(name));
	putchar('\n');
}

int vp_cmd_info(int argc, char **argv)
{
	struct vp_client c;
	const char *target;
	json_t *vm = NULL;
	bool json = false;
	int code = vp_client_options(argc, argv, help, &target, &json);

	if (code >= 0)
		return code;
	code = vp_client_open(&c, "info", target, VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = vp_client_call(&c, "query-vm", json_object(), &vm);
	if (!code && json)
		vp_client_print(vm);
	else if (!code)
		print_text(vm);
	json_decref(vm);
	vp_client_close(&c);
	return code;
}
