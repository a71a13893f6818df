/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke stop, vmpoke cont, vmpoke quit: hold every vCPU, let them go on, end the guest. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "cli/client.h"
#include "cli/options.h"

static const char stop_help[] =
	"usage: vmpoke stop TARGET [--json]\n"
	"\n"
	"Hold every vCPU of the guest until `vmpoke cont`. It can be patched meanwhile.\n"
	"\n"
	"  --json   print the state as one JSON object\n"
	"\n"
	"Exit code: 0, also if it was held already; 2 bad options; 4 no such target;\n"
	"5 a vCPU did not answer, so none is held.\n";

static const char cont_help[] =
	"usage: vmpoke cont TARGET [--json]\n"
	"\n"
	"Let the vCPUs of a guest go on after `vmpoke stop`.\n"
	"\n"
	"  --json   print the state as one JSON object\n"
	"\n"
	"Exit code: 0, also if it ran already; 2 bad options; 4 no such target.\n";

static int run(int argc, char **argv, const char *help)
{
	struct vp_client c;
	const char *target;
	json_t *status = NULL;
	bool json = false;
	int code = vp_client_options(argc, argv, help, &target, &json);

	if (code >= 0)
		return code;
	code = vp_client_open(&c, argv[0], target, VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = vp_client_call(&c, argv[0], json_object(), NULL);
	if (!code)
		code = vp_client_call(&c, "query-status", json_object(), &status);
	if (!code && json)
		vp_client_print(status);
	else if (!code)
		printf("%s\n", vp_client_text(status, "status"));
	json_decref(status);
	return vp_client_close(&c, code);
}

int vp_cmd_stop(int argc, char **argv)
{
	return run(argc, argv, stop_help);
}

int vp_cmd_cont(int argc, char **argv)
{
	return run(argc, argv, cont_help);
}

static const char quit_help[] =
	"usage: vmpoke quit TARGET\n"
	"\n"
	"End a guest of `vmpoke run`, as if its power was cut, and wait until it has ended.\n"
	"\n"
	"Exit code: 0; 1 it was told, and has not ended; 2 bad options; 3 a guest of QEMU or\n"
	"libvirt, which have commands of their own for that; 4 no such target.\n";

#define END_MS 10000u

/* It hangs up when it is gone. */
static int wait_for_end(struct vp_client *c)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	for (unsigned int ms = 0; ms < END_MS; ms += 10) {
		if (vp_client_ask(c->qmp, c->remote, "query-status", json_object(), NULL, NULL) &&
		    vp_client_is_broken(c))
			return VP_EXIT_OK;
		nanosleep(&nap, NULL);
	}
	return vp_cmd_fail("quit", VP_EXIT_FAILED, "it was told, and has not ended within %u s",
			   END_MS / 1000);
}

int vp_cmd_quit(int argc, char **argv)
{
	const struct vp_option options[] = { VP_TARGET(0), VP_OPTIONS_END };
	struct vp_client c;
	int code = vp_options_parse(argc, argv, quit_help, options, 1, 1);

	if (code >= 0)
		return code;
	code = vp_client_open(&c, "quit", argv[optind], VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = vp_client_call(&c, "quit", json_object(), NULL);
	if (!code)
		code = wait_for_end(&c);
	return vp_client_close(&c, code);
}
