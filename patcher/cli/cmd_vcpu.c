/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke vcpu add, vmpoke vcpu remove */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke vcpu add TARGET [--json]\n"
	"       vmpoke vcpu remove TARGET ID [--force] [--timeout MS] [--json]\n"
	"\n"
	"Add a vCPU, which starts at the guest's entry, or ask the guest to give up vCPU ID.\n"
	"Both wait for a batch of pokes in flight.\n"
	"\n"
	"  --force        end the vCPU even if the guest does not give it up\n"
	"  --timeout MS   how long the guest may take, 1 to 600000 (default 5000)\n"
	"  --json         print one JSON object\n"
	"\n"
	"Exit code: 0; 2 bad options; 3 there is no such vCPU, it is the last one, or no\n"
	"more can be added; 4 no such target; 5 the guest did not give it up in time, so it "
	"stays.\n";

struct vcpu_args {
	uint64_t timeout_ms, id;
	bool force, json, add;
	const char *target;
};

static int parse(int argc, char **argv, struct vcpu_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("force", &a->force),
		VP_TIMEOUT_OPTION(&a->timeout_ms),
		VP_FLAG("json", &a->json),
		VP_TARGET(1),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 3);

	if (code >= 0)
		return code;
	a->add = !strcmp(argv[optind], "add");
	if (!a->add && strcmp(argv[optind], "remove"))
		return vp_cmd_fail("vcpu", VP_EXIT_USAGE, "\"%s\" is not add or remove",
				   argv[optind]);
	if (argc - optind != (a->add ? 2 : 3))
		return vp_cmd_fail("vcpu", VP_EXIT_USAGE, "%s",
				   a->add ? "add takes a TARGET only"
					  : "remove takes a TARGET and an ID");
	a->target = argv[optind + 1];
	if (a->add && (a->force || a->timeout_ms))
		return vp_cmd_fail("vcpu", VP_EXIT_USAGE, "--force and --timeout go with remove");
	if (!a->add && vp_cmd_number(argv[optind + 2], 0, VP_VCPU_MAX - 1, &a->id))
		return vp_cmd_fail("vcpu", VP_EXIT_USAGE, "\"%s\" is not the number of a vCPU",
				   argv[optind + 2]);
	return -1;
}

int vp_cmd_vcpu(int argc, char **argv)
{
	struct vcpu_args a = { 0 };
	struct vp_client c;
	json_t *args, *ret = NULL;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	if (!a.timeout_ms)
		a.timeout_ms = 5000;
	args = a.add ? json_object()
		     : json_pack("{s:I, s:I, s:b}", "id", (json_int_t)a.id, "timeout",
				 (json_int_t)a.timeout_ms, "force", (int)a.force);
	code = vp_client_open(&c, "vcpu", a.target,
			      (unsigned int)a.timeout_ms + VP_CLIENT_TIMEOUT_MS);
	if (code)
		json_decref(args);
	else
		code = vp_client_call(&c, a.add ? "vcpu-add" : "vcpu-remove", args, &ret);
	if (!code && !a.add)
		json_object_set_new(ret, "id", json_integer((json_int_t)a.id));
	if (!code && a.json)
		vp_client_print(ret);
	else if (!code)
		printf("vCPU %lld %s\n", vp_client_int(ret, "id"), a.add ? "added" : "removed");
	json_decref(ret);
	return vp_client_close(&c, code);
}
