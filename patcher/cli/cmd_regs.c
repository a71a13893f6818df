/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke regs: the registers of every vCPU. */
#include <stdio.h>

#include "cli/client.h"

static const char help[] =
	"usage: vmpoke regs TARGET [--json]\n"
	"\n"
	"Show the registers of every vCPU, each as it was at one moment.\n"
	"\n"
	"  --json   print one JSON array\n"
	"\n"
	"Exit code: 0; 2 bad options; 4 no such target, or it does not answer.\n";

#define COLUMNS 4

static void print_vcpu(const json_t *vcpu)
{
	const json_t *value;
	const char *key;
	char where[160];
	int column = 0;

	printf("vCPU %lld at %s %s\n", vp_client_int(vcpu, "cpu-index"),
	       vp_client_text(vcpu, "rip"), vp_client_where(vcpu, where, sizeof(where)));
	json_object_foreach((json_t *)vcpu, key, value)
	{
		/* Not the vCPU's number, nor what says where it stands. */
		if (!json_is_string(value) || *json_string_value(value) != '0')
			continue;
		printf("%s%-14s %-18s", column ? " " : "  ", key, json_string_value(value));
		column = (column + 1) % COLUMNS;
		if (!column)
			putchar('\n');
	}
	if (column)
		putchar('\n');
}

int vp_cmd_regs(int argc, char **argv)
{
	struct vp_client c;
	const char *target;
	json_t *list = NULL, *vcpu;
	bool json = false;
	size_t i;
	int code = vp_client_options(argc, argv, help, &target, &json);

	if (code >= 0)
		return code;
	code = vp_client_open(&c, "regs", target, VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = vp_client_call(&c, "query-registers", json_object(), &list);
	if (!code && json)
		vp_client_print(list);
	else if (!code)
		json_array_foreach(list, i, vcpu) print_vcpu(vcpu);
	json_decref(list);
	return vp_client_close(&c, code);
}
