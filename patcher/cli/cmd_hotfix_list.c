/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix list: what is in a guest, by its memory alone. */
#include "cli/cmd_hotfix.h"
#include "cli/hotfixes.h"

#define ME "hotfix list"

static const char help[] =
	"usage: vmpoke hotfix list TARGET [--json]\n"
	"\n"
	"Show the hotfixes that are in the guest, oldest first, by its memory alone: also where "
	"this\n"
	"host has no ledger of them, since the VM was migrated or restored. Of each: name, "
	"version,\n"
	"who applied it and when, whether its functions lead to it now, whether its code is what "
	"was\n"
	"put there.\n"
	"\n"
	"  --json  print one JSON object (docs/control-protocol.md, query-hotfixes)\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 the guest runs no Linux that is known; 4 no such target.\n";

int vp_cmd_hotfix_list(int argc, char **argv)
{
	struct vp_client c;
	json_t *found = NULL;
	const char *target;
	bool json = false;
	int code;

	argv[0] = ME;
	code = vp_client_options(argc, argv, help, &target, &json);
	if (code >= 0)
		return code;
	code = vp_client_open(&c, ME, target, VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = vp_client_call(&c, "query-hotfixes", json_object(), &found);
	if (!code && json)
		vp_client_print(found);
	else if (!code)
		vp_hotfixes_print(found);
	json_decref(found);
	return vp_client_close(&c, code);
}
