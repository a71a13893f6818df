/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke revert: take back one poke, or all of them. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"

static const char help[] =
	"usage: vmpoke revert TARGET [ID | --all] [OPTION...]\n"
	"\n"
	"Put the old bytes of an applied poke back: of poke ID, or of the newest. It is refused\n"
	"while a newer poke covers the same bytes, or if somebody else has changed them.\n"
	"\n"
	"  --all            take back every poke, newest first, until one is refused\n"
	"  --strategy WHICH int3 (default) or stop\n"
	"  --timeout MS     how long a vCPU may take to answer, 1 to 600000 (default 5000)\n"
	"  --dry-run        make every check, write nothing (not with --all)\n"
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0 (with --all also if there was none); 2 bad options; 3 refused, not one\n"
	"byte was changed by the refused one; 4 no such target; 5 rolled back.\n";

struct revert_args {
	const char *target, *strategy;
	uint64_t id, timeout_ms;
	bool all, dry_run, json;
};

static int parse_options(int argc, char **argv, struct revert_args *a)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "strategy", required_argument, NULL, 's' },
		{ "timeout", required_argument, NULL, 't' },
		{ "dry-run", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			a->all = true;
			break;
		case 's':
			a->strategy = optarg;
			break;
		case 't':
			if (vp_cmd_number(optarg, 1, 600000, &a->timeout_ms))
				return vp_cmd_fail("revert", VP_EXIT_USAGE,
						   "--timeout %s is not 1 to 600000", optarg);
			break;
		case 'd':
			a->dry_run = true;
			break;
		case 'j':
			a->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return VP_EXIT_OK;
		default:
			return vp_client_bad_option("revert", argv);
		}
	}
	return -1;
}

static int parse(int argc, char **argv, struct revert_args *a)
{
	int code = parse_options(argc, argv, a);

	if (code >= 0)
		return code;
	code = vp_client_operands(argc, argv, 1, 2);
	if (code)
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

static int revert_one(struct vp_client *c, const struct revert_args *a)
{
	json_t *ret = NULL;
	int code = vp_client_call(c, "revert", request(a, a->id), &ret);

	if (!code && a->json)
		vp_client_print(ret);
	else if (!code)
		printf("%lld site(s) %s, %lld syncs\n", vp_client_int(ret, "sites"),
		       a->dry_run ? "could be reverted; nothing written" : "reverted",
		       vp_client_int(ret, "syncs"));
	json_decref(ret);
	return code;
}

/* Newest first, each by its id, so that a poke that arrives meanwhile is left alone. */
static int revert_all(struct vp_client *c, const struct revert_args *a)
{
	json_t *pokes = NULL, *done = json_array(), *out;
	int code = vp_client_call(c, "query-pokes", NULL, &pokes);
	size_t i = json_array_size(pokes);

	while (!code && i--) {
		json_t *ret = NULL;
		uint64_t id = (uint64_t)vp_client_int(json_array_get(pokes, i), "id");

		code = vp_client_call(c, "revert", request(a, id), &ret);
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
	vp_client_close(&c);
	return code;
}
