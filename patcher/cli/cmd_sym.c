/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke sym: names and addresses: of one, of those that a pattern names, of all. */
#include <fnmatch.h>
#include <getopt.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke sym TARGET WHERE [--kernel FILE] [--json]\n"
	"       vmpoke sym TARGET PATTERN [--kernel FILE] [--json]\n"
	"       vmpoke sym TARGET --regex EXPRESSION [--kernel FILE] [--json]\n"
	"       vmpoke sym TARGET --all [--kernel FILE]\n"
	"\n"
	"The address of WHERE, a symbol or symbol+offset; or, for an address, the nearest symbol\n"
	"at or below it. The symbols of a Linux guest come from its memory.\n"
	"\n"
	"PATTERN is WHERE with *, ? or [...] in it, as in a shell (in quotes, there): every "
	"symbol\n"
	"that it names, by address.\n"
	"\n"
	"  --regex RE       every symbol in whose name the extended regular expression RE is "
	"found\n"
	"  --all            every symbol, by address, one a line: \"ADDRESS NAME\"\n" VP_KERNEL_HELP
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 no such symbol, several of that name, or no Linux that\n"
	"is known; 4 no such target; 7 bad FILE.\n";

struct sym_args {
	const char *target, *where, *kernel, *regex;
	bool all, json;
	regex_t compiled; /* of @regex */
};

static bool is_pattern(const char *where)
{
	return where && strpbrk(where, "*?[");
}

static int compile(struct sym_args *a)
{
	char why[128];
	int rc = regcomp(&a->compiled, a->regex, REG_EXTENDED | REG_NOSUB);

	if (!rc)
		return -1;
	regerror(rc, &a->compiled, why, sizeof(why));
	return vp_cmd_fail("sym", VP_EXIT_USAGE, "--regex %s is no regular expression: %s",
			   a->regex, why);
}

static int parse(int argc, char **argv, struct sym_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("all", &a->all),
		VP_TEXT("regex", &a->regex),
		VP_TEXT("kernel", &a->kernel),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 2);

	if (code >= 0)
		return code;
	a->target = argv[optind];
	a->where = argv[optind + 1];
	if (a->all && (a->where || a->regex || a->json))
		return vp_cmd_fail("sym", VP_EXIT_USAGE,
				   "--all goes without WHERE, --regex and --json");
	if (a->regex && a->where)
		return vp_cmd_fail("sym", VP_EXIT_USAGE, "--regex goes without WHERE");
	if (!a->all && !a->regex && !a->where)
		return vp_cmd_fail("sym", VP_EXIT_USAGE, "WHERE is missing; see --help");
	return a->regex ? compile(a) : -1;
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

static bool is_meant(const struct sym_args *a, const char *name)
{
	if (a->regex)
		return !regexec(&a->compiled, name, 0, NULL, 0);
	return a->all || !fnmatch(a->where, name, 0);
}

static void print_all(const json_t *list)
{
	const json_t *sym;
	size_t i;

	json_array_foreach(list, i, sym)
		printf("0x%016llx %s\n", (unsigned long long)vp_client_addr(sym, "addr").v,
		       vp_client_text(sym, "name"));
}

static int show_many(struct vp_client *c, const struct sym_args *a)
{
	json_t *list = NULL, *meant = json_array(), *sym;
	size_t i;
	int code = vp_client_call(c, "query-symbols", json_object(), &list);

	json_array_foreach(list, i, sym) if (is_meant(a, vp_client_text(sym, "name")))
		json_array_append(meant, sym);
	if (!code && !a->all && !json_array_size(meant))
		code = vp_cmd_fail("sym", VP_EXIT_REFUSED, "no symbol matches %s",
				   a->regex ? a->regex : a->where);
	else if (!code && a->json)
		vp_client_print(meant);
	else if (!code)
		print_all(meant);
	json_decref(meant);
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
	if (!code && (a.all || a.regex || is_pattern(a.where)))
		code = show_many(&c, &a);
	else if (!code)
		code = show_one(&c, &a);
	if (a.regex)
		regfree(&a.compiled);
	return vp_client_close(&c, code);
}
