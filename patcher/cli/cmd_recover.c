/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke recover: after a vmpoke was killed while it had a guest stopped. */
#include <getopt.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/options.h"

static const char help[] =
	"usage: vmpoke recover TARGET [--abandon ID] [--put-aside] [--json]\n"
	"\n"
	"Find out whether a vmpoke was killed (kill -9, out of memory) while it worked on a guest\n"
	"of QEMU or libvirt, and put that right: half a batch is taken back, and a guest that it\n"
	"had stopped goes on. Memory that hotfixes left in the guest is freed, once nobody is\n"
	"inside of it. A guest that its owner has paused stays paused. Guests of\n"
	"`vmpoke run` need none of this: what is killed there is only the client.\n"
	"\n"
	"  --abandon ID  end batch ID, which cannot be put right because somebody else has "
	"changed\n"
	"                its bytes, as it stands: first look (read, status, regs)\n"
	"  --put-aside   the ledger has a damaged line: put the file aside (it is not deleted) "
	"and\n"
	"                go on with a new one that has all that can be read\n"
	"  --json        print one JSON object\n"
	"\n"
	"Exit code: 0, also if nothing was wrong; 1 the bytes are right and the guest goes on, "
	"but\n"
	"the ledger cannot be written; 2 bad options; 3 somebody else has changed the bytes, or "
	"the\n"
	"ledger is damaged: nothing is written; 4 no such target, or it does not answer; 9 the "
	"old\n"
	"bytes could not be put back, or the call of a guest function has not returned; 5 "
	"somebody\n"
	"is inside of a hotfix's memory that is to be freed: run this again later.\n";

struct recover_args {
	struct vp_recover what;
	const char *target;
	bool json;
};

static int parse(int argc, char **argv, struct recover_args *a)
{
	const struct vp_option options[] = {
		VP_NUMBER("abandon", &a->what.abandon, 1, INT64_MAX),
		VP_FLAG("put-aside", &a->what.put_aside),
		VP_FLAG("json", &a->json),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 1, 1);

	a->target = argv[optind];
	return code;
}

/* Is the guest paused all the same? */
static bool is_paused(struct vp_client *c)
{
	json_t *status = NULL;
	bool paused = !vp_client_call(c, "query-status", json_object(), &status) &&
		      !json_is_true(json_object_get(status, "running"));

	json_decref(status);
	return paused;
}

static void print_json(const struct vp_recovered *done, bool marked, bool paused)
{
	json_t *out = json_pack("{s:b, s:I, s:b}", "interrupted", (int)marked, "undone-sites",
				(json_int_t)done->sites, "paused", (int)paused);

	if (done->freed)
		json_object_set_new(out, "freed-bytes", json_integer((json_int_t)done->freed));
	if (done->abandoned)
		json_object_set_new(out, "abandoned", json_integer((json_int_t)done->abandoned));
	if (*done->aside)
		json_object_set_new(out, "put-aside", vp_qmp_text(done->aside));
	if (done->unwritten)
		json_object_set_new(out, "unwritten", vp_qmp_text(done->why.text));
	vp_client_print(out);
	json_decref(out);
}

static void print_text(const struct vp_recovered *done, bool marked, bool paused)
{
	if (*done->aside)
		printf("the damaged ledger is now %s\n", done->aside);
	if (done->abandoned)
		printf("batch %llu is abandoned: its bytes stay as they are\n",
		       (unsigned long long)done->abandoned);
	if (done->freed)
		printf("freed %llu bytes of the guest's memory that hotfixes had left there\n",
		       (unsigned long long)done->freed);
	if (!marked && !done->sites && !done->abandoned && !done->freed)
		printf("no vmpoke was interrupted here\n");
	else
		printf("a vmpoke was interrupted here: %zu site(s) put back%s\n", done->sites,
		       paused ? "" : ", the guest runs");
	if (paused)
		printf("the guest is paused, by its owner; or by a vmpoke that was killed while it "
		       "connected to the gdbstub: then `vmpoke recover qemu+gdb:PATH`\n");
}

static int report(struct vp_client *c, bool json)
{
	struct vp_recovered done;
	bool marked = vp_remote_recovered(c->remote, &done), paused = is_paused(c);

	if (json)
		print_json(&done, marked, paused);
	else
		print_text(&done, marked, paused);
	if (!done.unwritten)
		return VP_EXIT_OK;
	return vp_cmd_fail("recover", VP_EXIT_FAILED,
			   "the bytes are right, but %s: run this again when it can",
			   done.why.text);
}

int vp_cmd_recover(int argc, char **argv)
{
	struct vp_client c = { .cmd = "recover" };
	struct recover_args a = { 0 };
	struct vp_remote_config cfg;
	struct vp_err err;
	int rc, code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	if (!vp_remote_is(a.target))
		return vp_cmd_fail("recover", VP_EXIT_USAGE,
				   "%s is a name as VMs of `vmpoke run` have it, which need no "
				   "recovery",
				   a.target);
	if (vp_remote_check(a.target, &err))
		return vp_cmd_fail("recover", VP_EXIT_USAGE, "%s", err.text);
	code = vp_client_remote_config("recover", &cfg);
	if (code)
		return code;
	cfg.recover = &a.what;
	rc = vp_remote_open(a.target, &cfg, &c.remote, &err);
	if (rc)
		return vp_cmd_fail("recover", vp_exit_code_of_open(rc), "%s", err.text);
	code = report(&c, a.json);
	return vp_client_close(&c, code);
}
