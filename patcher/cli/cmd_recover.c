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

/* Is the guest paused all the same? */
static bool is_paused(struct vp_client *c)
{
	json_t *status = NULL;
	bool paused = !vp_client_call(c, "query-status", json_object(), &status) &&
		      !json_is_true(json_object_get(status, "running"));

	json_decref(status);
	return paused;
}

static void report(struct vp_client *c, bool json)
{
	size_t sites;
	bool marked = vp_remote_recovered(c->remote, &sites), paused = is_paused(c);

	if (json) {
		printf("{\"interrupted\": %s, \"undone-sites\": %zu, \"paused\": %s}\n",
		       marked ? "true" : "false", sites, paused ? "true" : "false");
		return;
	}
	if (!marked && !sites)
		printf("no vmpoke was interrupted here\n");
	else
		printf("a vmpoke was interrupted here: %zu site(s) put back%s\n", sites,
		       paused ? "" : ", the guest runs");
	if (paused)
		printf("the guest is paused, by its owner; or by a vmpoke that was killed while it "
		       "connected to the gdbstub: then `vmpoke recover qemu+gdb:PATH`\n");
}

int vp_cmd_recover(int argc, char **argv)
{
	struct vp_client c = { .cmd = "recover" };
	struct vp_remote_config cfg;
	const char *target;
	struct vp_err err;
	bool json = false;
	int rc, code = vp_client_options(argc, argv, help, &target, &json);

	if (code >= 0)
		return code;
	if (!vp_remote_is(target))
		return vp_cmd_fail("recover", VP_EXIT_USAGE,
				   "%s is a VM of `vmpoke run`, which needs no recovery", target);
	code = vp_client_remote_config("recover", &cfg);
	if (code)
		return code;
	cfg.recover = true;
	rc = vp_remote_open(target, &cfg, &c.remote, &err);
	if (rc)
		return vp_cmd_fail("recover", vp_client_open_exit_code(rc), "%s", err.text);
	report(&c, json);
	return vp_client_close(&c, code);
}
