/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke revert: take back one poke, or all of them. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"
#include "cli/pokes.h"

static const char help[] =
	"usage: vmpoke revert TARGET [ID | --all] [OPTION...]\n"
	"\n"
	"Put the old bytes of an applied poke back: of poke ID, or of the newest. It is refused\n"
	"while a newer poke covers the same bytes, or if somebody else has changed them.\n"
	"\n"
	"  --all            take back every poke, newest first, until one is refused\n"
	"  --strategy WHICH int3 (default where it works) or stop\n"
	"  --timeout MS     how long a vCPU may take to answer, 1 to 600000 (default 5000)\n"
	"  --dry-run        make every check, write nothing (not with --all)\n"
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0 (with --all also if there was none); 2 bad options; 3 refused, not one\n"
	"byte was changed by the refused one; 4 no such target; 5 rolled back; 9 half a batch\n"
	"may stand: `vmpoke recover`.\n";

struct revert_args {
	const char *target, *strategy;
	uint64_t id, timeout_ms;
	bool all, dry_run, json;
};

static int parse(int argc, char **argv, struct revert_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("all", &a->all),
		VP_CHOICE("strategy", &a->strategy, vp_strategy_choices),
		VP_TIMEOUT_OPTION(&a->timeout_ms),
		VP_FLAG("dry-run", &a->dry_run),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 2);

	if (code >= 0)
		return code;
	a->target = argv[optind];
	if (argc - optind == 2 && vp_cmd_number(argv[optind + 1], 1, INT64_MAX, &a->id))
		return vp_cmd_fail("revert", VP_EXIT_USAGE, "\"%s\" is not the number of a poke",
				   argv[optind + 1]);
	if (a->all && (a->id || a->dry_run))
		return vp_cmd_fail("revert", VP_EXIT_USAGE,
				   "--all goes without an ID and --dry-run");
	return -1;
}

static json_t *request(const struct revert_args *a, uint64_t id)
{
	json_t *args =
		json_pack("{s:b, s:s*}", "dry-run", (int)a->dry_run, "strategy", a->strategy);

	if (id)
		json_object_set_new(args, "id", json_integer((json_int_t)id));
	if (a->timeout_ms)
		json_object_set_new(args, "timeout", json_integer((json_int_t)a->timeout_ms));
	return args;
}

static void print_one(const struct revert_args *a, const json_t *ret)
{
	printf("poke %lld: %lld site(s) %s, %lld syncs\n", vp_client_int(ret, "id"),
	       vp_client_int(ret, "sites"),
	       a->dry_run ? "could be reverted; nothing written" : "reverted",
	       vp_client_int(ret, "syncs"));
	if (vp_client_int(ret, "gone") || vp_client_int(ret, "old"))
		printf("  %lld site(s) are gone with their module, at %lld the old bytes stood "
		       "already\n",
		       vp_client_int(ret, "gone"), vp_client_int(ret, "old"));
	if (!a->dry_run)
		vp_poke_tell_again(a->target, ret);
}

static int revert_one(struct vp_client *c, const struct revert_args *a)
{
	json_t *ret = NULL;
	int code = vp_client_call(c, "revert", request(a, a->id), &ret);

	if (!code && a->json)
		vp_client_print(ret);
	else if (!code)
		print_one(a, ret);
	json_decref(ret);
	return code;
}

/* Newest first, each by its id, so that a poke that arrives meanwhile is left alone. */
static int revert_all(struct vp_client *c, const struct revert_args *a)
{
	json_t *pokes = NULL, *done = json_array(), *out;
	int code = vp_client_call(c, "query-pokes", json_object(), &pokes);
	size_t i = json_array_size(pokes);

	while (!code && i--) {
		json_t *ret = NULL;
		uint64_t id = (uint64_t)vp_client_int(json_array_get(pokes, i), "id");

		if (!id) { /* what an earlier version began, and never applied */
			code = vp_cmd_fail(
				"revert", VP_EXIT_REFUSED,
				"something stands that has no number (see `status`): put "
				"its old bytes back with `poke`");
			break;
		}
		code = vp_client_call(c, "revert", request(a, id), &ret);
		if (ret && !a->json)
			print_one(a, ret);
		if (ret)
			json_array_append_new(done, ret);
	}
	out = json_pack("{s:O}", "reverted", done);
	if (a->json)
		vp_client_print(out);
	else
		printf("%zu poke(s) reverted\n", json_array_size(done));
	json_decref(out);
	json_decref(done);
	json_decref(pokes);
	return code;
}

int vp_cmd_revert(int argc, char **argv)
{
	struct revert_args a = { 0 };
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open(&c, "revert", a.target,
			      10 * (unsigned int)a.timeout_ms + VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = a.all ? revert_all(&c, &a) : revert_one(&c, &a);
	return vp_client_close(&c, code);
}
