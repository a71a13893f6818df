/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix remove: give a guest its own functions back. */
#include <getopt.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/cmd_hotfix.h"
#include "cli/hotfix_change.h"
#include "cli/options.h"

#define ME "hotfix remove"

static const char help[] =
	"usage: vmpoke hotfix remove TARGET NAME [OPTION...]\n"
	"\n"
	"Switch the functions of the hotfix NAME back to what they were before it, all of them\n"
	"from one moment on, and free its memory when nobody is inside any more. All that is\n"
	"needed for that is in the guest's memory: it may have been applied from another host.\n"
	"\n"
	"  --when-idle[=S]  only at a moment when no task is inside the new functions; wait S\n"
	"                   seconds for it (30), the guest runs meanwhile. This is so by itself\n"
	"                   for hotfixes of several functions\n"
	"  --no-wait        do not wait for that moment: refuse if somebody is inside now\n"
	"  --force          whoever is inside: its memory stays then, until `remove` or `recover`\n"
	"                   finds nobody there\n"
	"  --dry-run        make every check, write nothing\n" VP_KERNEL_HELP
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 1 it is removed, but not all that comes behind could be done; 2 bad "
	"options;\n"
	"3 refused, nothing was changed; 4 no such target; 5 somebody is inside, or the guest was\n"
	"at work there: nothing was changed; 9 cut off: `vmpoke recover`.\n";

struct remove_args {
	const char *target, *name;
	struct vp_hotfix_change change;
};

static int parse(int argc, char **argv, struct remove_args *a)
{
	const struct vp_option options[] = {
		VP_HOTFIX_CHANGE_OPTIONS(&a->change),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 2, 2);
	if (code >= 0)
		return code;
	a->target = argv[optind];
	a->name = argv[optind + 1];
	return vp_hotfix_change_check(ME, &a->change);
}

static void tell(const struct remove_args *a, const json_t *ret)
{
	printf("%s %s: %s, %lld function(s)", vp_client_text(ret, "name"),
	       vp_client_text(ret, "version"),
	       a->change.dry_run ? "all checks passed, nothing written" : "removed",
	       vp_client_int(ret, "functions"));
	if (vp_client_int(ret, "id"))
		printf(", poke %lld", vp_client_int(ret, "id"));
	putchar('\n');
	if (*vp_client_text(ret, "memory-stays"))
		printf("  its memory stays until `remove` or `vmpoke recover` finds nobody there: "
		       "%s\n",
		       vp_client_text(ret, "memory-stays"));
	vp_hotfix_change_tell(&a->change, ret);
	if (!a->change.dry_run)
		printf("  to have it again: vmpoke hotfix apply %s OBJECT\n", a->target);
}

static int run(struct vp_client *c, const struct remove_args *a)
{
	json_t *ret = NULL;
	int code = vp_hotfix_change_call(c, "hotfix-remove", json_pack("{s:s}", "name", a->name),
					 &a->change, &ret);

	if (!code && a->change.json)
		vp_client_print(ret);
	else if (!code)
		tell(a, ret);
	json_decref(ret);
	return code;
}

int vp_cmd_hotfix_remove(int argc, char **argv)
{
	struct remove_args a = { 0 };
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open_linux(&c, ME, a.target, VP_CLIENT_TIMEOUT_MS, a.change.kernel);
	if (!code)
		code = run(&c, &a);
	return vp_client_close(&c, code);
}
