/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke recover: after a vmpoke was killed while it had a guest stopped. */
#include <stdio.h>

#include "cli/client.h"

static const char help[] =
	"usage: vmpoke recover TARGET [--json]\n"
	"\n"
	"Find out whether a vmpoke was killed (kill -9, out of memory) while it worked on a guest\n"
	"of QEMU or libvirt, and put that right: half a batch is taken back, and a guest that it\n"
	"had stopped goes on. A guest that its owner has paused stays paused. Guests of\n"
	"`vmpoke run` need none of this: what is killed there is only the client.\n"
	"\n"
	"  --json   print one JSON object\n"
	"\n"
	"Exit code: 0, also if nothing was wrong; 2 bad options; 3 somebody else has changed the\n"
	"bytes meanwhile, nothing is written; 4 no such target, or it does not answer.\n";

static void report(const struct vp_remote *r, bool json)
{
	size_t sites;
	bool stopped = vp_remote_recovered(r, &sites);

	if (json)
		printf("{\"was-stopped\": %s, \"undone-sites\": %zu}\n", stopped ? "true" : "false",
		       sites);
	else if (!stopped && !sites)
		printf("nothing is wrong\n");
	else
		printf("%s%zu site(s) of a half-written batch put back\n",
		       stopped ? "the guest was stopped, and goes on; " : "", sites);
}

int vp_cmd_recover(int argc, char **argv)
{
	struct vp_client c = { .cmd = "recover" };
	struct vp_remote_config cfg;
	const char *target;
	struct vp_err err;
	bool json = false;
	int code = vp_client_options(argc, argv, help, &target, &json);

	if (code >= 0)
		return code;
	if (!vp_remote_is(target))
		return vp_cmd_fail("recover", VP_EXIT_USAGE,
				   "%s is a VM of `vmpoke run`, which needs no recovery", target);
	code = vp_client_remote_config("recover", &cfg);
	if (code)
		return code;
	cfg.recover = true;
	code = vp_cmd_exit_code(vp_remote_open(target, &cfg, &c.remote, &err));
	if (code)
		return vp_cmd_fail("recover", code == VP_EXIT_REFUSED ? code : VP_EXIT_UNREACHABLE,
				   "%s", err.text);
	report(c.remote, json);
	return vp_client_close(&c, code);
}
