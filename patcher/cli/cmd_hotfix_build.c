/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix build: a hotfix object of a C source. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <jansson.h>

#include "build/build.h"
#include "cli/cmd.h"
#include "cli/cmd_hotfix.h"
#include "cli/options.h"

#define ME "hotfix build"

static const char help[] =
	"usage: vmpoke hotfix build SOURCE.c --headers DIR [OPTION...]\n"
	"\n"
	"Compile a hotfix with the flags of the kernel it is for, and check the result.\n"
	"docs/writing-hotfixes.md tells what is in a source.\n"
	"\n"
	"  --headers DIR    the kernel's headers: Debian's linux-headers-VERSION-amd64,\n"
	"                   installed or unpacked with those it depends on, or a folder that\n"
	"                   the kernel was built in\n"
	"  -o FILE          the object (default: as SOURCE, with .o, in this folder)\n"
	"  --cc CC          another compiler than the one that built the kernel\n"
	"  --module NAME    the functions are those of this module\n"
	"  --keep           leave the temporary folder, and tell where it is\n"
	"  --keep-debug     with debug information; two builds then differ\n"
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 1 it does not compile; 2 bad options; 3 it compiles, and cannot be a\n"
	"hotfix; 6 make, the compiler or memory is missing; 7 SOURCE or DIR is missing or of the\n"
	"wrong kind, FILE cannot be written.\n";

struct build_args {
	struct vp_build_opts opts;
	char out[PATH_MAX];
	bool json;
};

static int parse(int argc, char **argv, struct build_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("headers", &a->opts.headers),
		VP_TEXT("o", &a->opts.out),
		VP_TEXT("cc", &a->opts.cc),
		VP_TEXT("module", &a->opts.module),
		VP_FLAG("keep", &a->opts.keep),
		VP_FLAG("keep-debug", &a->opts.keep_debug),
		VP_FLAG("json", &a->json),
		VP_OPTIONS_END,
	};
	const char *source, *base;
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 1, 1);
	if (code >= 0)
		return code;
	source = a->opts.source = argv[optind];
	if (!a->opts.headers)
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "--headers is missing; see --help");
	base = strrchr(source, '/') ? strrchr(source, '/') + 1 : source;
	if (strlen(base) < 3 || strlen(base) >= sizeof(a->out) ||
	    strcmp(base + strlen(base) - 2, ".c"))
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "%s: the name of a source ends in .c",
				   source);
	strcpy(a->out, base);
	a->out[strlen(base) - 1] = 'o';
	if (!a->opts.out)
		a->opts.out = a->out;
	return -1;
}

static int exit_code(int rc)
{
	switch (rc) {
	case 0:
		return VP_EXIT_OK;
	case -EBADMSG:
		return VP_EXIT_FAILED;
	case -EINVAL:
		return VP_EXIT_USAGE;
	case -EOPNOTSUPP:
		return VP_EXIT_REFUSED;
	case -ENOEXEC:
	case -EROFS:
		return VP_EXIT_FILE;
	default:
		return VP_EXIT_HOST;
	}
}

static void print(const struct build_args *a, const struct vp_build_report *r)
{
	json_t *all;

	if (!a->json) {
		printf("%s: %zu function(s) for %s, %zu bytes\n", a->opts.out, r->functions,
		       r->headers.release, r->bytes);
		return;
	}
	all = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "object", a->opts.out, "release",
			r->headers.release, "compiler", r->compiler, "kernel-compiler",
			r->headers.compiler, "functions", (json_int_t)r->functions, "bytes",
			(json_int_t)r->bytes);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

/* A line for each: whoever mends the first sees the others, too. */
static void print_blockers(const struct build_args *a, const struct vp_blockers *blockers)
{
	size_t kept = vp_blockers_kept(blockers);

	for (size_t i = 0; i < kept; i++)
		vp_cmd_fail(ME, VP_EXIT_REFUSED, "%s: %s", a->opts.source, blockers->list[i].text);
	if (kept < blockers->n)
		vp_cmd_fail(ME, VP_EXIT_REFUSED, "%s: and %zu more", a->opts.source,
			    blockers->n - kept);
}

static int build(const struct build_args *a)
{
	struct vp_build_report report;
	struct vp_err err = { "" };
	int rc = vp_build(&a->opts, &report, &err), code = exit_code(rc);

	if (report.said)
		fputs(report.said, stderr); /* printable, line by line: build/said.h */
	if (rc == -EOPNOTSUPP && report.blockers.n)
		print_blockers(a, &report.blockers);
	else if (rc)
		vp_cmd_fail(ME, code, "%s", err.text);
	else
		print(a, &report);
	if (report.scratch[0])
		fprintf(stderr, "vmpoke " ME ": kept %s\n", report.scratch);
	vp_build_report_free(&report);
	return code;
}

/*
 * A signal that ends us first ends what we started, and the folder goes: the signal waits
 * meanwhile, and is taken at the end, as if nothing had been.
 */
int vp_cmd_hotfix_build(int argc, char **argv)
{
	struct build_args a = { .opts = { .stop_fd = -1 } };
	sigset_t ending, before;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, &before);
	a.opts.stop_fd = signalfd(-1, &ending, SFD_CLOEXEC);
	if (a.opts.stop_fd < 0)
		code = vp_cmd_fail(ME, VP_EXIT_HOST, "signalfd: %s", strerror(errno));
	else
		code = build(&a);
	if (a.opts.stop_fd >= 0)
		close(a.opts.stop_fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return code;
}
