/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix: a table of its own. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/cmd_hotfix.h"

static const struct vp_cmd commands[] = {
	{ "build", "make a hotfix object of a C source", vp_cmd_hotfix_build },
	{ "check", "does it fit this guest? nothing is written", vp_cmd_hotfix_check },
	{ "expect", "write into it what code it replaces", vp_cmd_hotfix_expect },
	{ "apply", "replace the functions of a running guest", vp_cmd_hotfix_apply },
	{ "remove", "give it its own functions back", vp_cmd_hotfix_remove },
	{ "list", "the hotfixes that are in a guest, by its memory", vp_cmd_hotfix_list },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fprintf(to, "usage: vmpoke hotfix COMMAND [OPTION...]\n\n"
		    "Replace functions of a running Linux kernel.\n\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(to, "\nvmpoke hotfix COMMAND --help tells the options.\n");
}

int vp_cmd_hotfix(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return VP_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return VP_EXIT_OK;
	}
	return vp_cmd_dispatch("hotfix", commands, NCOMMANDS, argc - 1, argv + 1);
}
