/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix apply: replace functions of a running guest. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/cmd_hotfix.h"
#include "cli/hotfix_change.h"
#include "cli/hotfix_object.h"
#include "cli/options.h"

#define ME "hotfix apply"

static const char help[] =
	"usage: vmpoke hotfix apply TARGET OBJECT [OPTION...]\n"
	"\n"
	"Have the running guest use the functions of the hotfix OBJECT: all of them from one\n"
	"moment on. All that `check` looks at is looked at before. A hotfix may come over an\n"
	"earlier one. What is applied already stays, and that is no error.\n"
	"\n"
	"  --when-idle[=S]  only at a moment when no task is inside the old functions; wait S\n"
	"                   seconds for it (30), the guest runs meanwhile. This is so by itself\n"
	"                   for hotfixes of several functions\n"
	"  --no-wait        do not wait for that moment: refuse if somebody is inside now\n"
	"  --force          whoever is inside; the ledger keeps it\n"
	"  --replace        in the place of all hotfixes that are applied, which go\n"
	"  --dry-run        make every check, write nothing\n" VP_KERNEL_HELP VP_KEYRING_HELP
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0: it is applied; 1 it is, but not all that comes behind could be done; 2 bad\n"
	"options; 3 refused, not signed as a keyring wants it, too: nothing was changed; 4 no such "
	"target; 5 somebody is inside, or the\n"
	"guest was at work there: nothing was changed; 7 OBJECT is no hotfix; 9 cut off: `vmpoke\n"
	"recover`.\n";

struct apply_args {
	const char *target, *object;
	struct vp_hotfix_change change;
	bool replace;
};

static int parse(int argc, char **argv, struct apply_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("replace", &a->replace),
		VP_KEYRING_OPTION,
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
	a->object = argv[optind + 1];
	return vp_hotfix_change_check(ME, &a->change);
}

static int tell(const struct apply_args *a, const json_t *ret)
{
	const char *name = vp_client_text(ret, "name"), *version = vp_client_text(ret, "version");

	if (json_is_true(json_object_get(ret, "already"))) {
		printf("%s %s: already applied\n", name, version);
		return VP_EXIT_OK;
	}
	if (!json_is_true(json_object_get(ret, "fits")))
		return vp_hotfix_blockers_tell(ME, a->object, ret);
	if (a->change.dry_run) {
		printf("%s %s: all checks passed, nothing written\n", name, version);
		return VP_EXIT_OK;
	}
	printf("%s %s: applied, %zu function(s), poke %lld\n", name, version,
	       json_array_size(json_object_get(ret, "functions")), vp_client_int(ret, "id"));
	vp_hotfix_change_tell(&a->change, ret);
	vp_common_hint("  to take it back: vmpoke hotfix remove %s %s\n", a->target, name);
	return VP_EXIT_OK;
}

static int apply(struct vp_client *c, const void *arg, const struct vp_hotfix_sent *sent)
{
	const struct apply_args *a = arg;
	json_t *args = vp_hotfix_object_args(sent), *ret = NULL;
	int code;

	json_object_set_new(args, "replace", json_boolean(a->replace));
	code = vp_hotfix_change_call(c, "hotfix-apply", args, &a->change, &ret);

	if (!code && a->change.json) {
		vp_client_print(ret);
		if (json_is_false(json_object_get(ret, "fits")))
			code = VP_EXIT_REFUSED;
	} else if (!code) {
		code = tell(a, ret);
	}
	json_decref(ret);
	return code;
}

int vp_cmd_hotfix_apply(int argc, char **argv)
{
	struct apply_args a = { 0 };
	int code = parse(argc, argv, &a);

	return code >= 0 ? code
			 : vp_hotfix_object_with(ME, a.target, a.change.kernel, a.object,
						 VP_SIGNING_MUST, apply, &a);
}
