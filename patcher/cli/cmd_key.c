/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke key: the static keys of a Linux guest (S7). */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke key list TARGET [NAME] [--kernel FILE] [--json]\n"
	"       vmpoke key set TARGET NAME on|off [OPTION...]\n"
	"\n"
	"List the static keys (jump labels) of a Linux guest, or switch one: all its sites and "
	"its\n"
	"count together, so that the guest's own later switches stay right. NAME is the symbol of\n"
	"the key, or its address. A key whose sites contradict its count is not touched.\n"
	"\n" VP_KERNEL_HELP "  --strategy WHICH int3 (default where it works) or stop\n"
	"  --timeout MS     how long a vCPU may take to answer, 1 to 600000 (default 5000)\n"
	"  --dry-run        make every check, write nothing\n"
	"  --json           print JSON\n"
	"\n"
	"Exit code: as for poke; 0 also if the key stood so already.\n";

struct key_args {
	const char *target, *name, *kernel, *strategy;
	uint64_t timeout_ms;
	bool set, on, dry_run, json;
};

static int parse(int argc, char **argv, struct key_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("kernel", &a->kernel),
		VP_CHOICE("strategy", &a->strategy, vp_strategy_choices),
		VP_TIMEOUT_OPTION(&a->timeout_ms),
		VP_FLAG("dry-run", &a->dry_run),
		VP_FLAG("json", &a->json),
		VP_TARGET(1),
		VP_OPTIONS_END,
	};
	int n, code = vp_options_parse(argc, argv, help, options, 0, 4);

	if (code >= 0)
		return code;
	n = argc - optind;
	if (!n)
		return vp_cmd_fail("key", VP_EXIT_USAGE, "list or set is missing; see --help");
	a->set = !strcmp(argv[optind], "set");
	if (!a->set && strcmp(argv[optind], "list"))
		return vp_cmd_fail("key", VP_EXIT_USAGE, "\"%s\" is not list or set", argv[optind]);
	if (a->set ? n != 4 : n < 2 || n > 3)
		return vp_cmd_fail("key", VP_EXIT_USAGE, "%s",
				   a->set ? "set takes a TARGET, a NAME, and on or off"
					  : "list takes a TARGET and perhaps a NAME");
	a->target = argv[optind + 1];
	a->name = n > 2 ? argv[optind + 2] : NULL;
	if (a->name && vp_client_check_where("key", a->name))
		return VP_EXIT_USAGE;
	if (!a->set)
		return -1;
	a->on = !strcmp(argv[optind + 3], "on");
	if (!a->on && strcmp(argv[optind + 3], "off"))
		return vp_cmd_fail("key", VP_EXIT_USAGE, "\"%s\" is not on or off",
				   argv[optind + 3]);
	return -1;
}

static void print_key(const json_t *key)
{
	const char *broken = vp_client_text(key, "broken");

	printf("%-4s %3lld  %4lld site(s)", vp_client_int(key, "enabled") > 0 ? "on" : "off",
	       vp_client_int(key, "enabled"), vp_client_int(key, "sites"));
	if (vp_client_int(key, "init-sites"))
		printf(" + %lld of boot", vp_client_int(key, "init-sites"));
	printf("  %s%s%s\n", vp_client_text(key, "name"), *broken ? "  BROKEN: " : "", broken);
}

static int list(struct vp_client *c, const struct key_args *a)
{
	json_t *keys = NULL, *key;
	size_t i;
	int code = vp_client_call(c, "query-keys", json_pack("{s:s*}", "key", a->name), &keys);

	if (!code && a->json)
		vp_client_print(keys);
	else if (!code)
		json_array_foreach(keys, i, key) print_key(key);
	json_decref(keys);
	return code;
}

/* Switching back took a batch back, which is not there any more. */
static void tell_back(const struct key_args *a, const json_t *ret)
{
	if (json_object_get(ret, "took-back"))
		vp_common_hint(
			"  which took poke %lld back; to have it again: vmpoke key set %s %s %s\n",
			vp_client_int(ret, "id"), a->target, a->name, a->on ? "off" : "on");
	else
		vp_client_tell_revert(a->target, ret);
}

static int set(struct vp_client *c, const struct key_args *a)
{
	json_t *args = json_pack("{s:s, s:b, s:b, s:s*}", "key", a->name, "on", (int)a->on,
				 "dry-run", (int)a->dry_run, "strategy", a->strategy);
	json_t *ret = NULL;
	long long sites;
	int code;

	if (a->timeout_ms)
		json_object_set_new(args, "timeout", json_integer((json_int_t)a->timeout_ms));
	code = vp_client_call(c, "key-set", args, &ret);
	sites = vp_client_int(ret, "sites");
	if (!code && a->json)
		vp_client_print(ret);
	else if (!code && !sites)
		printf("%s is %s already\n", a->name, a->on ? "on" : "off");
	else if (!code)
		printf("%s %s %s, %lld site(s)\n", a->name, a->dry_run ? "could be" : "is",
		       a->on ? "on" : "off", sites);
	if (!code && !a->json && sites && !a->dry_run)
		tell_back(a, ret);
	json_decref(ret);
	return code;
}

int vp_cmd_key(int argc, char **argv)
{
	struct key_args a = { 0 };
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = vp_client_open_linux(&c, "key", a.target,
				    10 * (unsigned int)a.timeout_ms + VP_CLIENT_TIMEOUT_MS,
				    a.kernel);
	if (!code)
		code = a.set ? set(&c, &a) : list(&c, &a);
	return vp_client_close(&c, code);
}
