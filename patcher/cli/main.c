/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke: a table of subcommands. Each owns its options. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vmpoke/version.h>

#include "cli/cmd.h"
#include "cli/cmd_hotfix.h"
#include "cli/complete.h"

static const struct vp_cmd commands[] = {
	{ "run", "boot a guest that can be patched", vp_cmd_run, NULL },
	{ "demo", "rewrite a running guest's hot code and check every call", vp_cmd_demo, NULL },
	{ "bench", "measure what patching costs, here or a VM", vp_cmd_bench, NULL },
	{ "doctor", "say what this host can do, and what it lacks", vp_cmd_doctor, NULL },
	{ "list", "list the guests that can be reached", vp_cmd_list, NULL },
	{ "info", "describe a running guest and its kernel", vp_cmd_info, NULL },
	{ "sym", "the address of a symbol, or the symbol at an address", vp_cmd_sym, NULL },
	{ "read", "show guest memory, as hex and as instructions", vp_cmd_read, NULL },
	{ "regs", "show the registers of every vCPU", vp_cmd_regs, NULL },
	{ "poke", "replace instructions of a running guest", vp_cmd_poke, NULL },
	{ "imm", "replace the constant of one instruction", vp_cmd_imm, NULL },
	{ "key", "list and switch the static keys of a Linux guest", vp_cmd_key, NULL },
	{ "hotfix", "replace functions of a running Linux kernel", NULL, vp_hotfix_commands },
	{ "verify", "is the kernel what it was, but for what is explained?", vp_cmd_verify, NULL },
	{ "status", "list the applied pokes and the counters", vp_cmd_status, NULL },
	{ "revert", "take back a poke", vp_cmd_revert, NULL },
	{ "recover", "put a guest right after a vmpoke was killed", vp_cmd_recover, NULL },
	{ "stop", "hold every vCPU", vp_cmd_stop, NULL },
	{ "cont", "let the vCPUs go on", vp_cmd_cont, NULL },
	{ "quit", "end a guest of `vmpoke run`", vp_cmd_quit, NULL },
	{ "vcpu", "add or remove a vCPU", vp_cmd_vcpu, NULL },
	{ NULL, NULL, NULL, NULL },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: vmpoke COMMAND [OPTION...]\n\n"
		    "Patch the code of a running guest kernel from the host.\n\n");
	vp_cmd_list_table(to, commands);
	fprintf(to, "\n`vmpoke help COMMAND` tells its options, `vmpoke version` the version.\n");
}

static int run(int argc, char **argv)
{
	return vp_cmd_dispatch("", commands, argc, argv);
}

/* `help`, `help COMMAND`, `help COMMAND SUBCOMMAND`. */
static int help(int argc, char **argv)
{
	static char option[] = "--help";
	char *args[4] = { NULL };
	int n = 0;

	if (argc < 2) {
		usage(stdout);
		return VP_EXIT_OK;
	}
	while (n < 2 && n + 1 < argc) {
		args[n] = argv[n + 1];
		n++;
	}
	args[n] = option;
	return run(n + 1, args);
}

/* What was printed must have arrived: a report that is cut short is no report. */
static int finish(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	fprintf(stderr, "vmpoke: standard output cannot be written\n");
	return code ? code : VP_EXIT_FAILED;
}

/* A descriptor of ours that got number 0, 1 or 2 would be printed to. */
static bool open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	return fd > 2 && !close(fd);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE,
	       SIG_IGN); /* a reader that went away shows in finish(); guests are let go first */
	if (!open_standard_fds())
		return VP_EXIT_HOST;
	if (argc < 2) {
		usage(stderr);
		return VP_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return finish(help(argc - 1, argv + 1));
	if (!strcmp(argv[1], "complete")) /* for the shells: docs/completions */
		return finish(vp_complete(commands, argc - 2, argv + 2));
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		printf("vmpoke %s\n", vp_version());
		return finish(VP_EXIT_OK);
	}
	return finish(run(argc - 1, argv + 1));
}
