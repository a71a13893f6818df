/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix expect: the object says what code it is to replace. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/out.h"
#include "cli/client.h"
#include "cli/cmd_hotfix.h"
#include "cli/hotfix_object.h"
#include "cli/options.h"
#include "target/hex.h"

#define ME "hotfix expect"

static const char help[] =
	"usage: vmpoke hotfix expect TARGET OBJECT [-o FILE] [--kernel FILE] [--json]\n"
	"\n"
	"Write into the hotfix OBJECT what code its functions replace: the code that they have in\n"
	"this guest, which should run the very kernel that it was written for. From then on it is\n"
	"refused by a guest where other code stands there. The guest is only looked at.\n"
	"A signature is not good for it any more: sign it behind this.\n"
	"\n"
	"  -o FILE          write it there, and leave OBJECT as it is\n" VP_KERNEL_HELP
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 the hotfix does not fit this guest, or no Linux that is\n"
	"known; 4 no such target; 7 OBJECT is no hotfix, or cannot be written.\n";

struct expect_args {
	const char *target, *object, *output, *kernel;
	bool json;
};

static int parse(int argc, char **argv, struct expect_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("o", &a->output),
		VP_TEXT("kernel", &a->kernel),
		VP_FLAG("json", &a->json),
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
	if (!a->output)
		a->output = a->object;
	return -1;
}

static int write_object(const struct expect_args *a, const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *bytes = malloc(len + 1);
	struct vp_err err = { "" };
	int code = VP_EXIT_OK;

	if (!bytes)
		code = vp_cmd_fail(ME, VP_EXIT_HOST, "out of memory");
	else if (vp_hex_parse("object", hex, bytes, len, &len, &err) ||
		 vp_out_write(a->output, bytes, len, &err))
		code = vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", a->output, err.text);
	free(bytes);
	return code;
}

static int expect(struct vp_client *c, const void *arg, const struct vp_hotfix_sent *sent)
{
	const struct expect_args *a = arg;
	json_t *args = vp_hotfix_object_args(sent), *fit = NULL, *object;
	int code;

	json_object_set_new(args, "expect", json_true());
	code = vp_client_call(c, "hotfix-check", args, &fit);

	if (code)
		return code;
	code = vp_hotfix_blockers_tell(ME, a->object, fit);
	object = json_object_get(fit, "object");
	if (!code)
		code = write_object(a, vp_client_text(fit, "object"));
	if (object)
		json_object_del(fit, "object");
	if (!code && a->json)
		vp_client_print(fit);
	else if (!code)
		printf("%s: expects the code of %zu function(s) as it is in this guest\n",
		       a->output, json_array_size(json_object_get(fit, "functions")));
	json_decref(fit);
	return code;
}

int vp_cmd_hotfix_expect(int argc, char **argv)
{
	struct expect_args a = { 0 };
	int code = parse(argc, argv, &a);

	return code >= 0 ? code
			 : vp_hotfix_object_with(ME, a.target, a.kernel, a.object, VP_SIGNING_NONE,
						 expect, &a);
}
