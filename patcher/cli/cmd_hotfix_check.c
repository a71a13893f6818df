/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix check: does an object fit a guest, or the kernel in a file? */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/cmd_hotfix.h"
#include "cli/hotfix_object.h"
#include "cli/options.h"
#include "control/hotfix_file.h"
#include "target/qmp_wire.h"

#define ME "hotfix check"

static const char help[] =
	"usage: vmpoke hotfix check TARGET OBJECT [--kernel FILE] [--json]\n"
	"       vmpoke hotfix check --kernel FILE OBJECT [--json]\n"
	"\n"
	"Would the hotfix OBJECT fit this guest as it is now? All that `apply` would look at is\n"
	"looked at, but for who is inside of the functions, and every reason against it is told.\n"
	"Nothing is written. OBJECT may be a livepatch module (.ko), too.\n"
	"\n"
	"Without a target it is held against the kernel in FILE, a vmlinux or bzImage, which says\n"
	"less: a line \"told by a guest only\" for each thing that was not looked at. Functions "
	"of\n"
	"modules are refused then.\n"
	"\n" VP_KERNEL_HELP VP_KEYRING_HELP "  --json           print one JSON object\n"
	"\n"
	"Exit code: 0: it fits; 2 bad options; 3 it does not, or no Linux that is known; 4 no "
	"such\n"
	"target; 7 OBJECT is no hotfix and no livepatch module that can be taken, or FILE cannot "
	"be\n"
	"read.\n";

struct check_args {
	const char *target, *object, *kernel;
	bool json;
};

static int parse(int argc, char **argv, struct check_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("kernel", &a->kernel),
		VP_KEYRING_OPTION,
		VP_FLAG("json", &a->json),
		VP_TARGET_OF(0, 2),
		VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 1, 2);
	if (code >= 0)
		return code;
	a->object = argv[argc - 1];
	a->target = argc - optind == 2 ? argv[optind] : NULL;
	if (!a->target && !a->kernel)
		return vp_cmd_fail(ME, VP_EXIT_USAGE,
				   "a target is missing, or --kernel FILE in its place; see "
				   "--help");
	return -1;
}

static int tell(const struct check_args *a, const json_t *fit)
{
	const json_t *f;
	const json_t *memory = json_object_get(fit, "memory");
	const json_t *text;
	size_t i;

	printf("%s %s: %s\n", vp_client_text(fit, "name"), vp_client_text(fit, "version"),
	       vp_client_text(fit, "description"));
	json_array_foreach(json_object_get(fit, "functions"), i, f)
		printf("  replaces %s at 0x%llx\n", vp_client_text(f, "name"),
		       (unsigned long long)vp_client_addr(f, "addr").v);
	if (memory)
		printf("  takes %lld bytes of the guest's memory: text %lld, read-only data %lld, "
		       "data %lld\n",
		       vp_client_int(memory, "text") + vp_client_int(memory, "rodata") +
			       vp_client_int(memory, "data"),
		       vp_client_int(memory, "text"), vp_client_int(memory, "rodata"),
		       vp_client_int(memory, "data"));
	json_array_foreach(json_object_get(fit, "untold"), i, text)
		printf("  told by a guest only: %s\n", json_string_value(text));
	return vp_hotfix_blockers_tell(ME, a->object, fit);
}

/* @fit is stolen. */
static int show(const struct check_args *a, json_t *fit)
{
	int code;

	if (a->json) {
		vp_client_print(fit);
		code = json_is_true(json_object_get(fit, "fits")) ? VP_EXIT_OK : VP_EXIT_REFUSED;
	} else {
		code = tell(a, fit);
	}
	json_decref(fit);
	return code;
}

/* What apply would refuse here, where a guest of `vmpoke run` has asked its own keyrings only. */
static void add_own_refusal(const struct vp_hotfix_sent *sent, json_t *fit)
{
	const struct vp_keyrings keyrings = { .own = vp_cmd_keyring(vp_common.keyring) };
	json_t *blockers = json_object_get(fit, "blockers"), *blocker;
	struct vp_err err = { "" };
	size_t i;

	if (!vp_hotfix_sent_check(sent, &keyrings, &err))
		return;
	json_object_set_new(fit, "fits", json_false());
	json_array_foreach(blockers, i,
			   blocker) if (!strcmp(json_string_value(blocker), err.text)) return;
	json_array_append_new(blockers, vp_qmp_text(err.text));
}

static int check(struct vp_client *c, const void *arg, const struct vp_hotfix_sent *sent)
{
	const struct check_args *a = arg;
	json_t *fit = NULL;
	int code = vp_client_call(c, "hotfix-check", vp_hotfix_object_args(sent), &fit);

	if (!code)
		add_own_refusal(sent, fit);
	return code ? code : show(a, fit);
}

static int check_file(const struct check_args *a)
{
	struct vp_err err = { "" };
	json_t *fit = NULL;
	const struct vp_keyrings keyrings = { .own = vp_cmd_keyring(vp_common.keyring) };
	struct vp_hotfix_loaded object;
	int rc, code = vp_hotfix_object_read(ME, a->object, &object);
	const struct vp_hotfix_sent sent = { a->object, object.hex, object.signature };

	if (!code) {
		fit = vp_hotfix_check_file(a->kernel, &sent, &keyrings, &rc, &err);
		code = fit ? show(a, fit) : vp_cmd_fail(ME, vp_exit_code(rc), "%s", err.text);
	}
	vp_hotfix_object_free(&object);
	return code;
}

int vp_cmd_hotfix_check(int argc, char **argv)
{
	struct check_args a = { 0 };
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	return a.target ? vp_hotfix_object_with(ME, a.target, a.kernel, a.object, VP_SIGNING_TOLD,
						check, &a)
			: check_file(&a);
}
