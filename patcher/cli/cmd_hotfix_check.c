/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix check: does an object fit a guest? */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/cmd_hotfix.h"
#include "cli/hotfix_object.h"
#include "cli/options.h"

#define ME "hotfix check"

static const char help[] =
	"usage: vmpoke hotfix check TARGET OBJECT [--kernel FILE] [--json]\n"
	"\n"
	"Would the hotfix OBJECT fit this guest as it is now? All that `apply` would look at is\n"
	"looked at, but for who is inside of the functions, and every reason against it is told.\n"
	"Nothing is written.\n"
	"\n" VP_KERNEL_HELP "  --json           print one JSON object\n"
	"\n"
	"Exit code: 0: it fits; 2 bad options; 3 it does not, or no Linux that is known; 4 no "
	"such\n"
	"target; 7 OBJECT is no hotfix.\n";

struct check_args {
	const char *target, *object, *kernel;
	bool json;
};

static int parse(int argc, char **argv, struct check_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("kernel", &a->kernel),
		VP_FLAG("json", &a->json),
		VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 2, 2);
	if (code >= 0)
		return code;
	a->target = argv[optind];
	a->object = argv[optind + 1];
	return -1;
}

static int tell(const struct check_args *a, const json_t *fit)
{
	const json_t *f;
	const json_t *memory = json_object_get(fit, "memory");
	size_t i;

	printf("%s %s: %s\n", vp_client_text(fit, "name"), vp_client_text(fit, "version"),
	       vp_client_text(fit, "description"));
	json_array_foreach(json_object_get(fit, "functions"), i, f)
		printf("  replaces %s at 0x%llx\n", vp_client_text(f, "name"),
		       (unsigned long long)vp_client_addr(f, "addr").v);
	if (memory)
		printf("  takes %lld bytes of the guest's memory: text %lld, read-only data %lld, "
		       "data %lld\n",
		       vp_client_int(memory, "text") + vp_client_int(memory, "rodata") +
			       vp_client_int(memory, "data"),
		       vp_client_int(memory, "text"), vp_client_int(memory, "rodata"),
		       vp_client_int(memory, "data"));
	return vp_hotfix_blockers_tell(ME, a->object, fit);
}

static int check(struct vp_client *c, const void *arg, const char *hex)
{
	const struct check_args *a = arg;
	json_t *fit = NULL;
	int code = vp_client_call(c, "hotfix-check",
				  json_pack("{s:s, s:s}", "what", a->object, "object", hex), &fit);

	if (!code && a->json) {
		vp_client_print(fit);
		code = json_is_true(json_object_get(fit, "fits")) ? VP_EXIT_OK : VP_EXIT_REFUSED;
	} else if (!code) {
		code = tell(a, fit);
	}
	json_decref(fit);
	return code;
}

int vp_cmd_hotfix_check(int argc, char **argv)
{
	struct check_args a = { 0 };
	int code = parse(argc, argv, &a);

	return code >= 0 ? code
			 : vp_hotfix_object_with(ME, a.target, a.kernel, a.object, check, &a);
}
