/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke bench: the options, and what becomes of the figures. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/bench_vm.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/progress.h"

#define FILE_MAX (64u << 20)

static const char help[] =
	"usage: vmpoke bench [OPTION...]\n"
	"       vmpoke bench TARGET [--key NAME | --site WHERE --old HEX --new NEW] [OPTION...]\n"
	"       vmpoke bench --from FILE [--output FILE] [--html FILE] [--json]\n"
	"\n"
	"Measure what patching costs. Without TARGET: all ways to do it, in turn, on a guest of\n"
	"our own. With TARGET: what commands cost that VM; nothing is written to it unless a key\n"
	"or a site is named, which is then switched there and back, and in the end as it was.\n"
	"\n"
	"  --runs N         rounds, 1 to 1000 (default 10)\n"
	"  --vcpus N        where something else than vCPUs varies, 1 to 64 (default 4)\n"
	"  --max-vcpus N    where vCPUs do, up to so many, 1 to 16 (default 16)\n"
	"  --only PART      one part of it: latency, sites, kept, exits or demo\n"
	"  --against FILE   another vmpoke, perhaps an older one: its demo beside ours\n"
	"  --key NAME       switch this static key of TARGET there and back\n"
	"  --site WHERE     the same for one instruction, as `vmpoke poke` has it\n"
	"  --old HEX        the bytes that stand there now\n"
	"  --new NEW        HEX; or nop, jmp:WHERE, call:WHERE\n" VP_KERNEL_HELP
	"  --from FILE      measure nothing: show what --json or --output wrote (of any number\n"
	"                   of runs, one behind the other)\n"
	"  --output FILE    write the figures there, as JSON\n"
	"  --html FILE      write a page with plots there\n"
	"  --json           print JSON, not tables\n"
	"  --kvm PATH       default /dev/kvm\n"
	"\n"
	"Exit code: 0; 1 a file could not be written; 2 bad options; 6 KVM or memory missing;\n"
	"7 bad FILE; 8 the guest of the bench did not do as it must; with TARGET as for poke.\n";

struct bench_args {
	struct vp_bench_config own;
	struct vp_bench_vm_config vm;
	const char *from, *output, *html;
	bool json;
};

static int check(const struct bench_args *a)
{
	const struct vp_poke_text *s = &a->vm.site;
	const char *what = NULL;

	if (a->vm.target && (a->from || a->own.against || a->own.only || a->own.kvm_path))
		what = "with a TARGET there is no --from, --against, --only and --kvm";
	else if (!a->vm.target && (a->vm.key || s->where || a->vm.kernel))
		what = "--key, --site and --kernel want a TARGET";
	else if (a->vm.key && s->where)
		what = "--key or --site, not both";
	else if (s->where ? !s->old_hex || !s->new_text : s->old_hex || s->new_text)
		what = "--site, --old and --new go together";
	else if (a->from && (a->own.against || a->own.only || a->own.kvm_path))
		what = "with --from nothing is measured: no --against, --only and --kvm";
	else if (a->own.only && !strcmp(a->own.only, "demo") && !a->own.against)
		what = "--only demo wants --against FILE";
	return what ? vp_cmd_fail("bench", VP_EXIT_USAGE, "%s", what) : -1;
}

static int parse(int argc, char **argv, struct bench_args *a)
{
	uint64_t runs = 10, vcpus = 4, max_vcpus = 16;
	const struct vp_option options[] = {
		VP_NUMBER("runs", &runs, 1, 1000),
		VP_NUMBER("vcpus", &vcpus, 1, VP_VCPU_MAX),
		VP_NUMBER("max-vcpus", &max_vcpus, 1, 16),
		VP_CHOICE("only", &a->own.only, vp_bench_parts),
		VP_TEXT("against", &a->own.against),
		VP_TEXT("key", &a->vm.key),
		VP_TEXT("site", &a->vm.site.where),
		VP_TEXT("old", &a->vm.site.old_hex),
		VP_TEXT("new", &a->vm.site.new_text),
		VP_TEXT("kernel", &a->vm.kernel),
		VP_TEXT("from", &a->from),
		VP_TEXT("output", &a->output),
		VP_TEXT("html", &a->html),
		VP_FLAG("json", &a->json),
		VP_TEXT("kvm", &a->own.kvm_path),
		VP_TARGET_OF(0, 1),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 0, 1);

	if (code >= 0)
		return code;
	a->vm.target = argv[optind];
	a->vm.runs = a->own.runs = (unsigned int)runs;
	a->own.vcpus = (unsigned int)vcpus;
	a->own.max_vcpus = (unsigned int)max_vcpus;
	if (a->vm.key && vp_client_check_where("bench", a->vm.key))
		return VP_EXIT_USAGE;
	return check(a);
}

/* The command line as it was typed: what repeats the run. */
static char *command_line(int argc, char **argv)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs("vmpoke", f);
	for (int i = 0; i < argc; i++)
		fprintf(f, strpbrk(argv[i], " \t'\"$`\\*?;&|<>()") ? " '%s'" : " %s", argv[i]);
	fclose(f);
	return text;
}

/* --- where figures come from: an exit code ---------------------------------------------- */

static int from_file(const char *path, json_t *doc)
{
	struct vp_err err;
	void *text = NULL;
	size_t len;
	int rc = vp_cmd_read_file(path, FILE_MAX, &text, &len, &err);

	if (!rc)
		rc = vp_bench_doc_load(doc, text, len, path, &err);
	free(text);
	return rc ? vp_cmd_fail("bench", VP_EXIT_FILE, "%s", err.text) : VP_EXIT_OK;
}

static int from_own(const struct bench_args *a, const char *command, json_t *doc)
{
	struct vp_bench_config cfg = a->own;
	struct vp_err err = { "" };
	int rc;

	if (cfg.against && access(cfg.against, X_OK))
		return vp_cmd_fail("bench", VP_EXIT_FILE, "%s: %s", cfg.against, strerror(errno));
	cfg.env = "own-vmm";
	cfg.what = "a guest of our own VMM, patched in kernel mode";
	cfg.command = command;
	rc = vp_bench_run(&cfg, doc, &err);
	vp_progress_wipe();
	if (!rc)
		return VP_EXIT_OK;
	return vp_cmd_fail("bench",
			   rc == -EPROTO				    ? VP_EXIT_FILE
			   : rc == -ESRCH || rc == -ETIMEDOUT || rc == -EIO ? VP_EXIT_GUEST
									    : VP_EXIT_HOST,
			   "%s", err.text);
}

static int from_vm(const struct bench_args *a, const char *command, json_t *doc)
{
	vp_bench_doc_env(doc, "vm", a->vm.target, command, a->vm.runs);
	return vp_bench_vm(&a->vm, doc);
}

/* --- where they go ------------------------------------------------------------------------ */

static void put_json(FILE *to, const json_t *doc)
{
	json_dumpf(doc, to, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	fputc('\n', to);
}

static int write_file(const char *path, const json_t *doc, void (*put)(FILE *to, const json_t *doc))
{
	FILE *f = fopen(path, "we");
	bool bad = !f;

	if (f) {
		put(f, doc);
		bad = ferror(f);
		bad |= fclose(f);
	}
	return bad ? vp_cmd_fail("bench", VP_EXIT_FAILED, "%s: %s", path, strerror(errno))
		   : VP_EXIT_OK;
}

static int show(const struct bench_args *a, const json_t *doc)
{
	int code = a->output ? write_file(a->output, doc, put_json) : VP_EXIT_OK;

	if (!code && a->html)
		code = write_file(a->html, doc, vp_bench_print_html);
	(a->json ? put_json : vp_bench_print_table)(stdout, doc);
	return code;
}

int vp_cmd_bench(int argc, char **argv)
{
	struct bench_args a = { 0 };
	char *command = command_line(argc, argv);
	json_t *doc = vp_bench_doc_new();
	int code = parse(argc, argv, &a);

	if (code < 0) {
		code = a.from	     ? from_file(a.from, doc)
		       : a.vm.target ? from_vm(&a, command ? command : "", doc)
				     : from_own(&a, command ? command : "", doc);
		if (!code)
			code = show(&a, doc);
	}
	json_decref(doc);
	free(command);
	return code;
}
