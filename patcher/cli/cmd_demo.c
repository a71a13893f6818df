/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke demo: the options; demo.c does the work. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/demo.h"

static const char help[] =
	"usage: vmpoke demo [OPTION...]\n"
	"\n"
	"Boot the test guest and rewrite its hot code while every vCPU keeps running and\n"
	"checking it: each call must behave like a version that was installed.\n"
	"\n"
	"  --vcpus N             1 to 64 (default 4)\n"
	"  --pokes N             batches to apply, 1 to 10000000 (default 1000)\n"
	"  --strategy int3|stop  how (default int3)\n"
	"  --naive               the negative control: plain byte stores, no int3, no sync;\n"
	"                        this goes wrong, and the demo says where\n"
	"  --hotplug             meanwhile add and remove vCPUs\n"
	"  --seed N              choose other sites and versions (default 1)\n"
	"  --json                print one JSON object\n"
	"  --kvm PATH            default /dev/kvm\n"
	"\n"
	"Exit code: 0 if all went well; 1 if not; 2 bad options; 6 KVM or memory missing;\n"
	"8 the test guest did not come up.\n";

struct demo_args {
	struct vp_demo_config cfg;
	bool json;
};

static int bad(const char *option, const char *value, const char *want)
{
	return vp_cmd_fail("demo", VP_EXIT_USAGE, "--%s %s is not %s", option, value, want);
}

static int parse_strategy(const char *text, enum vp_strategy *out)
{
	if (!strcmp(text, "int3"))
		*out = VP_STRATEGY_INT3;
	else if (!strcmp(text, "stop"))
		*out = VP_STRATEGY_STOP;
	else
		return -EINVAL;
	return 0;
}

/* One option. Returns an exit code, or -1 to go on. */
static int parse_option(int c, char **argv, struct demo_args *a)
{
	uint64_t n;

	switch (c) {
	case 'v':
		if (vp_cmd_number(optarg, 1, VP_VCPU_MAX, &n))
			return bad("vcpus", optarg, "1 to 64");
		a->cfg.vcpus = (unsigned int)n;
		return -1;
	case 'p':
		if (vp_cmd_number(optarg, 1, 10000000, &a->cfg.pokes))
			return bad("pokes", optarg, "1 to 10000000");
		return -1;
	case 's':
		if (parse_strategy(optarg, &a->cfg.strategy))
			return bad("strategy", optarg, "int3 or stop");
		return -1;
	case 'S':
		if (vp_cmd_number(optarg, 1, INT64_MAX, &a->cfg.seed))
			return bad("seed", optarg, "a number above 0");
		return -1;
	case 'n':
		a->cfg.naive = true;
		return -1;
	case 'H':
		a->cfg.hotplug = true;
		return -1;
	case 'j':
		a->json = true;
		return -1;
	case 'K':
		a->cfg.kvm_path = optarg;
		return -1;
	case 'h':
		fputs(help, stdout);
		return VP_EXIT_OK;
	default:
		return vp_cmd_fail("demo", VP_EXIT_USAGE, "bad option %s; see --help",
				   argv[optind - 1]);
	}
}

static int parse(int argc, char **argv, struct demo_args *a)
{
	static const struct option options[] = {
		{ "vcpus", required_argument, NULL, 'v' },
		{ "pokes", required_argument, NULL, 'p' },
		{ "strategy", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'S' },
		{ "naive", no_argument, NULL, 'n' },
		{ "hotplug", no_argument, NULL, 'H' },
		{ "json", no_argument, NULL, 'j' },
		{ "kvm", required_argument, NULL, 'K' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c, code = -1;

	opterr = 0;
	while (code < 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		code = parse_option(c, argv, a);
	if (code >= 0)
		return code;
	if (optind < argc)
		return vp_cmd_fail("demo", VP_EXIT_USAGE, "what is \"%s\"? see --help",
				   argv[optind]);
	if (a->cfg.hotplug && a->cfg.vcpus == VP_VCPU_MAX)
		return vp_cmd_fail("demo", VP_EXIT_USAGE,
				   "--hotplug needs room: --vcpus 63 at most");
	return -1;
}

int vp_cmd_demo(int argc, char **argv)
{
	struct demo_args a = {
		.cfg = { .vcpus = 4, .pokes = 1000, .strategy = VP_STRATEGY_INT3, .seed = 1 },
	};
	struct vp_demo_result res;
	struct vp_err err = { "" };
	int rc, code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	a.cfg.progress = isatty(STDERR_FILENO);
	rc = vp_demo_run(&a.cfg, &res, &err);
	if (rc)
		return vp_cmd_fail("demo",
				   rc == -ESRCH || rc == -ETIMEDOUT ? VP_EXIT_GUEST : VP_EXIT_HOST,
				   "%s", err.text);
	if (a.json) {
		json_t *out = vp_demo_json(&a.cfg, &res);

		json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
		json_decref(out);
	} else {
		vp_demo_print(&a.cfg, &res);
	}
	return res.ok ? VP_EXIT_OK : VP_EXIT_FAILED;
}
