/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke demo: the options; demo.c does the work. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/demo.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke demo [OPTION...]\n"
	"\n"
	"Boot the test guest and rewrite its hot code while every vCPU keeps running and\n"
	"checking it: each call must behave like a version that was installed.\n"
	"\n"
	"  --vcpus N             1 to 64 (default 4)\n"
	"  --pokes N             batches to apply, 1 to 10000000 (default 1000)\n"
	"  --strategy int3|stop  how (default int3)\n"
	"  --serializer HOW      how vCPUs are made to serialize: auto, kick, kick-membarrier or\n"
	"                        membarrier (default auto: the best that is right here)\n"
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

static int parse(int argc, char **argv, struct demo_args *a)
{
	const char *strategy = NULL, *serializer = NULL;
	uint64_t vcpus = a->cfg.vcpus;
	const struct vp_option options[] = {
		VP_NUMBER("vcpus", &vcpus, 1, VP_VCPU_MAX),
		VP_NUMBER("pokes", &a->cfg.pokes, 1, 10000000),
		VP_CHOICE("strategy", &strategy, vp_strategy_choices),
		VP_CHOICE("serializer", &serializer, vp_serializer_choices),
		VP_NUMBER("seed", &a->cfg.seed, 1, INT64_MAX),
		VP_FLAG("naive", &a->cfg.naive),
		VP_FLAG("hotplug", &a->cfg.hotplug),
		VP_FLAG("json", &a->json),
		VP_TEXT("kvm", &a->cfg.kvm_path),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 0, 0);

	if (code >= 0)
		return code;
	a->cfg.vcpus = (unsigned int)vcpus;
	a->cfg.serializer = vp_options_serializer(serializer);
	if (strategy && !strcmp(strategy, vp_strategy_name(VP_STRATEGY_STOP)))
		a->cfg.strategy = VP_STRATEGY_STOP;
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
