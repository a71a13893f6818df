/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke sym: names and addresses; vmpoke sym --all: every one. */
#include <getopt.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke sym TARGET WHERE [--kernel FILE] [--json]\n"
	"       vmpoke sym TARGET --all [--kernel FILE]\n"
	"\n"
	"The address of WHERE, a symbol or symbol+offset; or, for an address, the nearest symbol\n"
	"at or below it. The symbols of a Linux guest come from its memory.\n"
	"\n"
	"  --all            every symbol, by address, one a line: \"ADDRESS NAME\"\n" VP_KERNEL_HELP
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 no such symbol, several of that name, or no Linux that\n"
	"is known; 4 no such target; 7 bad FILE.\n";

struct sym_args {
	const char *target, *where, *kernel;
	bool all, json;
};

static int parse(int argc, char **argv, struct sym_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("all", &a->all),
		VP_TEXT("kernel", &a->kernel),
		VP_FLAG("json", &a->json),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 2);

	if (code >= 0)
		return code;
	a->target = argv[optind];
	a->where = argv[optind + 1];
	if (a->all == (argc - optind == 2) || (a->all && a->json))
		return vp_cmd_fail("sym", VP_EXIT_USAGE, "%s",
				   a->all ? "--all goes without WHERE and --json"
					  : "WHERE is missing; see --help");
	return -1;
}

static int show_one(struct vp_client *c, const struct sym_args *a)
{
	char where[160];
	json_t *info = NULL;
	vp_gva addr;
	int code = vp_client_resolve(c, a->where, &addr, &info);

	if (!code && a->json)
		vp_client_print(info);
	else if (!code)
		printf("0x%016llx %s\n", (unsigned long long)addr.v,
		       vp_client_where(info, where, sizeof(where)));
	json_decref(info);
	return code;
}

static int show_all(struct vp_client *c)
{
	json_t *list = NULL, *sym;
	size_t i;
	int code = vp_client_call(c, "query-symbols", json_object(), &list);

	json_array_foreach(list, i, sym)
		printf("%016llx %s\n", (unsigned long long)vp_client_addr(sym, "addr").v,
		       vp_client_text(sym, "name"));
	json_decref(list);
	return code;
}

int vp_cmd_sym(int argc, char **argv)
{
	struct sym_args a = { 0 };
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open_linux(&c, "sym", a.target, VP_CLIENT_TIMEOUT_MS, a.kernel);
	if (!code)
		code = a.all ? show_all(&c) : show_one(&c, &a);
	return vp_client_close(&c, code);
}
