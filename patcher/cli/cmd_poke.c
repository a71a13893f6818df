/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke poke: replace instructions of a running guest. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmpoke/symbol.h>

#include "cli/client.h"
#include "cli/options.h"
#include "cli/poke_site.h"
#include "cli/pokes.h"

#define ELF_MAX	  (256u << 20)
#define BATCH_MAX (12u << 20) /* what becomes of it must fit into one request */

static const char help[] =
	"usage: vmpoke poke TARGET WHERE --old HEX --new NEW [OPTION...]\n"
	"       vmpoke poke TARGET --batch FILE.json [OPTION...]\n"
	"\n"
	"Replace one instruction of a running guest, or all those of a batch together. Every\n"
	"check is made before the first byte is written; all sites change, or none. Where all\n"
	"new bytes stand already nothing is written, nor recorded.\n"
	"\n"
	"  WHERE            an address (0x...) or symbol+offset\n"
	"  --old HEX        the bytes that stand there now, one whole instruction\n"
	"  --new NEW        HEX, one whole instruction of the same length; or nop, or jmp:WHERE\n"
	"                   (2 or 5 bytes), or call:WHERE (5 bytes)\n"
	"  --resume RULE    what a vCPU does that runs into the site meanwhile: park (default:\n"
	"                   wait for the new instruction), emulate (do it) or fixup\n"
	"  --fixup WHERE    go on there; implies --resume fixup\n"
	"  --batch FILE     {\"sites\": [{\"addr\": WHERE, \"old\": HEX, \"new\": NEW,\n"
	"                   \"resume\": RULE, \"fixup\": WHERE}, ...]}; the last two may be left "
	"out\n"
	"  --elf FILE       take symbols from FILE, not from the image the guest was started "
	"with\n" VP_KERNEL_HELP
	"  --strategy WHICH int3 (default where it works: the guest keeps running) or stop\n"
	"  --force          also where a jump or fixup leads to no instruction, or the guest\n"
	"                   changes the bytes itself, or may do so (see OWNERS in vmpoke(1));\n"
	"                   the ledger keeps it\n"
	"  --timeout MS     how long a vCPU may take to answer, 1 to 600000 (default 5000)\n"
	"  --dry-run        make every check, write nothing\n"
	"  --json           print one JSON object\n"
	"\n"
	"Exit code: 0, also if it was so already; 2 bad options; 3 refused, not one byte was\n"
	"changed; 4 no such target;\n"
	"5 not begun or rolled back, the old bytes stand; 7 bad FILE; 9 half a batch may stand:\n"
	"`vmpoke recover`.\n";

struct poke_args {
	const char *target, *elf, *kernel, *strategy, *batch;
	struct vp_poke_text site;
	uint64_t timeout_ms;
	bool force, dry_run, json;
};

static int parse(int argc, char **argv, struct poke_args *a)
{
	static const char *const rules[] = { "park", "emulate", "fixup", NULL };
	struct vp_poke_text *s = &a->site;
	const struct vp_option options[] = {
		VP_TEXT("old", &s->old_hex),
		VP_TEXT("new", &s->new_text),
		VP_TEXT("fixup", &s->fixup),
		VP_CHOICE("resume", &s->resume, rules),
		VP_TEXT("elf", &a->elf),
		VP_TEXT("kernel", &a->kernel),
		VP_CHOICE("strategy", &a->strategy, vp_strategy_choices),
		VP_TEXT("batch", &a->batch),
		VP_TIMEOUT_OPTION(&a->timeout_ms),
		VP_FLAG("force", &a->force),
		VP_FLAG("dry-run", &a->dry_run),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 2);

	if (code >= 0)
		return code;
	if (argc - optind != (a->batch ? 1 : 2))
		return vp_cmd_fail("poke", VP_EXIT_USAGE, "%s",
				   a->batch ? "with --batch only a TARGET is wanted"
					    : "a TARGET and a WHERE are wanted; see --help");
	a->target = argv[optind];
	s->where = a->batch ? NULL : argv[optind + 1];
	if (a->batch && (s->old_hex || s->new_text || s->fixup || s->resume))
		return vp_cmd_fail("poke", VP_EXIT_USAGE,
				   "--old, --new, --resume and --fixup stand in FILE with --batch");
	if (s->resume && !strcmp(s->resume, "fixup") && !s->fixup)
		return vp_cmd_fail("poke", VP_EXIT_USAGE, "--resume fixup wants --fixup WHERE");
	if (!a->batch && (!s->old_hex || !s->new_text))
		return vp_cmd_fail("poke", VP_EXIT_USAGE, "--old and --new are needed; see --help");
	return -1;
}

static int load_symbols(const char *path, struct vp_symtab **out)
{
	struct vp_err err;
	void *image = NULL;
	size_t len;
	int ret = vp_cmd_read_file(path, ELF_MAX, &image, &len, &err);

	if (!ret)
		ret = vp_symtab_load(image, len, path, out, &err);
	free(image);
	return ret ? vp_cmd_fail("poke", VP_EXIT_FILE, "%s", err.text) : VP_EXIT_OK;
}

/* Fill @list with the sites of a batch file. An exit code. */
static int batch_sites(struct vp_poke_names *names, const char *path, json_t *list)
{
	struct vp_err err;
	void *text = NULL;
	size_t len;
	int code;

	if (vp_cmd_read_file(path, BATCH_MAX, &text, &len, &err))
		return vp_cmd_fail("poke", VP_EXIT_FILE, "%s", err.text);
	code = vp_poke_batch_json(names, path, text, len, list);
	free(text);
	return code;
}

static void print_result(const char *target, const json_t *ret)
{
	long long sites = vp_client_int(ret, "sites");

	if (vp_poke_is_already(ret)) {
		fputs("already so: the new bytes stand there", stdout);
		vp_poke_tell_already(ret);
	} else if (json_is_true(json_object_get(ret, "dry-run"))) {
		printf("%lld site(s) checked, nothing written\n", sites);
	} else {
		printf("poke %lld: %lld site(s) applied, %lld syncs\n", vp_client_int(ret, "id"),
		       sites, vp_client_int(ret, "syncs"));
		vp_client_tell_revert(target, ret);
	}
	if (*vp_client_text(ret, "forced"))
		printf("forced: %s\n", vp_client_text(ret, "forced"));
}

static int poke(struct vp_poke_names *names, const struct poke_args *a)
{
	json_t *sites = json_array(), *site, *args, *ret = NULL;
	int code;

	if (a->batch) {
		code = batch_sites(names, a->batch, sites);
	} else {
		code = vp_poke_site_json(names, &a->site, &site);
		if (!code)
			json_array_append_new(sites, site);
	}
	if (!code) {
		args = json_pack("{s:O, s:b, s:b, s:s*}", "sites", sites, "force", (int)a->force,
				 "dry-run", (int)a->dry_run, "strategy", a->strategy);
		if (a->timeout_ms)
			json_object_set_new(args, "timeout",
					    json_integer((json_int_t)a->timeout_ms));
		code = vp_client_call(names->client, "poke", args, &ret);
	}
	if (!code && a->json)
		vp_client_print(ret);
	else if (!code)
		print_result(a->target, ret);
	json_decref(ret);
	json_decref(sites);
	return code;
}

int vp_cmd_poke(int argc, char **argv)
{
	struct poke_args a = { 0 };
	struct vp_symtab *symbols = NULL;
	struct vp_client c;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = a.elf ? load_symbols(a.elf, &symbols) : VP_EXIT_OK;
	if (!code) {
		/* A batch may wait that long in each of its steps, and for another one before. */
		code = vp_client_open_linux(&c, "poke", a.target,
					    10 * (unsigned int)a.timeout_ms + VP_CLIENT_TIMEOUT_MS,
					    a.kernel);
		if (!code)
			code = poke(&(struct vp_poke_names){ &c, symbols }, &a);
		code = vp_client_close(&c, code);
	}
	vp_symtab_free(symbols);
	return code;
}
