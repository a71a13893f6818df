/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix build: a hotfix object of a C source. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <jansson.h>
#include <vmpoke/hotfix.h>

#include "build/build.h"
#include "cli/cmd.h"
#include "cli/cmd_hotfix.h"
#include "cli/options.h"

#define ME "hotfix build"

static const char help[] =
	"usage: vmpoke hotfix build SOURCE.c --headers DIR [OPTION...]\n"
	"       vmpoke hotfix build --source TREE --patch DIFF [--headers DIR] [OPTION...]\n"
	"\n"
	"Compile a hotfix with the flags of the kernel it is for, and check the result: a C "
	"source\n"
	"that says what it replaces, or what a diff changes in the source that the kernel was "
	"built\n"
	"of. docs/writing-hotfixes.md tells what is in a source, and what of a diff can be had.\n"
	"\n"
	"  --headers DIR    the kernel's headers: Debian's linux-headers-VERSION-amd64,\n"
	"                   installed or unpacked with those it depends on, or a folder that\n"
	"                   the kernel was built in (default, for a diff: TREE)\n"
	"  --source TREE    the kernel's source, of the version that the guest runs; nothing is\n"
	"                   written there\n"
	"  --patch DIFF     a unified diff of it, as for `patch -p1`\n"
	"  --name NAME      what the hotfix of a diff is called (default: as DIFF)\n"
	"  -o FILE          the object (default: as SOURCE or DIFF, with .o, in this folder)\n"
	"  --cc CC          another compiler than the one that built the kernel\n"
	"  --module NAME    the functions are those of this module (of a diff: kbuild tells)\n"
	"  --why            of a diff: a line for each function that is not simply the kernel's,\n"
	"                   what becomes of it and why; also if there is to be no object\n"
	"  --keep           leave the temporary folder, and tell where it is\n"
	"  --keep-debug     with debug information; two builds then differ\n"
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0; 1 it does not compile; 2 bad options; 3 it compiles, and cannot be a\n"
	"hotfix, or no code changes by the diff; 6 make, the compiler or memory is missing;\n"
	"7 SOURCE, TREE, DIFF or DIR is missing or of the wrong kind, the diff does not apply,\n"
	"FILE cannot be written.\n";

struct build_args {
	struct vp_build_opts opts;
	const char *tree;
	char out[PATH_MAX], name[VMPOKE_NAME_MAX + 1];
	bool json, why;
	json_t *functions; /* --why --json */
};

static const char *base_of(const char *path)
{
	return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

/* "CVE-2024-1 (v2).patch": CVE-2024-1_v2. */
static int name_hotfix(struct build_args *a)
{
	const char *base = a->opts.name ? a->opts.name : base_of(a->opts.patch);
	const char *end = a->opts.name ? NULL : strrchr(base, '.');
	size_t n = 0, len = end && end > base ? (size_t)(end - base) : strlen(base);

	for (size_t i = 0; i < len && n < sizeof(a->name) - 1; i++)
		if (isalnum((unsigned char)base[i]) || strchr("._+-", base[i]))
			a->name[n++] = base[i];
		else if (a->opts.name)
			n = sizeof(a->name);
		else if (n && a->name[n - 1] != '_')
			a->name[n++] = '_';
	if (!n || n == sizeof(a->name) || (a->opts.name && len >= sizeof(a->name)))
		return vp_cmd_fail(ME, VP_EXIT_USAGE,
				   "--name is to be of letters, digits and ._+-, %d at most",
				   VMPOKE_NAME_MAX);
	a->name[n] = '\0';
	a->opts.name = a->name;
	return -1;
}

/* What is not told is made of the names that are. */
static int name_output(struct build_args *a)
{
	const char *base = base_of(a->opts.patch ? a->opts.patch : a->opts.source);
	const char *end = strrchr(base, '.');
	size_t len = end && end > base ? (size_t)(end - base) : strlen(base);

	if (!a->opts.patch && (strlen(base) < 3 || strcmp(base + strlen(base) - 2, ".c")))
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "%s: the name of a source ends in .c",
				   a->opts.source);
	if (len + 3 > sizeof(a->out))
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "the name is too long");
	snprintf(a->out, sizeof(a->out), "%.*s.o", (int)len, base);
	if (!a->opts.out)
		a->opts.out = a->out;
	return a->opts.patch ? name_hotfix(a) : -1;
}

static int parse(int argc, char **argv, struct build_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("headers", &a->opts.headers),
		VP_TEXT("source", &a->tree),
		VP_TEXT("patch", &a->opts.patch),
		VP_TEXT("name", &a->opts.name),
		VP_TEXT("o", &a->opts.out),
		VP_TEXT("cc", &a->opts.cc),
		VP_TEXT("module", &a->opts.module),
		VP_FLAG("why", &a->why),
		VP_FLAG("keep", &a->opts.keep),
		VP_FLAG("keep-debug", &a->opts.keep_debug),
		VP_FLAG("json", &a->json),
		VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 0, 1);
	if (code >= 0)
		return code;
	if (!a->opts.patch != !a->tree || !a->opts.patch != (optind < argc))
		return vp_cmd_fail(ME, VP_EXIT_USAGE,
				   "either SOURCE.c, or --source and --patch; see --help");
	if (!a->opts.patch && (!a->opts.headers || a->opts.name))
		return vp_cmd_fail(ME, VP_EXIT_USAGE,
				   a->opts.name ? "--name is for --patch: a source says its name"
						: "--headers is missing; see --help");
	if (!a->opts.patch && a->why)
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "--why is for --patch");
	if (a->opts.patch && (a->opts.module || a->opts.keep_debug))
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "--module and --keep-debug are for SOURCE.c");
	a->opts.source = a->opts.patch ? a->tree : argv[optind];
	return name_output(a);
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
	case -ENODATA:
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
	if (a->functions)
		json_object_set(all, "why", a->functions);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

/* A line for each: whoever mends the first sees the others, too. */
static void print_blockers(const struct build_args *a, const struct vp_blockers *blockers)
{
	const char *what = a->opts.patch ? a->opts.patch : a->opts.source;
	size_t kept = vp_blockers_kept(blockers);

	for (size_t i = 0; i < kept; i++)
		vp_cmd_fail(ME, VP_EXIT_REFUSED, "%s: %s", what, blockers->list[i].text);
	if (kept < blockers->n)
		vp_cmd_fail(ME, VP_EXIT_REFUSED, "%s: and %zu more", what, blockers->n - kept);
}

static void see_why(void *arg, const char *path, const struct vp_why *w)
{
	struct build_args *a = arg;

	if (a->functions)
		json_array_append_new(a->functions,
				      json_pack("{s:s, s:s, s:s, s:s, s:b}", "source", path, "name",
						w->function, "how", w->how, "why", w->why,
						"changed", w->changed));
	else
		printf("%s: %s: %s: %s\n", path, w->function, w->how, w->why);
}

static int build(struct build_args *a)
{
	struct vp_build_report report;
	struct vp_err err = { "" };
	int rc, code;

	if (a->why) {
		a->opts.why = see_why;
		a->opts.arg = a;
		a->functions = a->json ? json_array() : NULL;
	}
	rc = vp_build(&a->opts, &report, &err);
	code = exit_code(rc);

	if (report.said)
		fputs(report.said, stderr); /* printable, line by line: build/said.h */
	for (size_t i = 0; i < vp_blockers_kept(&report.notes); i++)
		fprintf(stderr, "vmpoke " ME ": %s\n", report.notes.list[i].text);
	if (rc == -EOPNOTSUPP && report.blockers.n)
		print_blockers(a, &report.blockers);
	else if (rc)
		vp_cmd_fail(ME, code, "%s", err.text);
	else
		print(a, &report);
	json_decref(a->functions);
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
