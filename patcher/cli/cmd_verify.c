/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke verify: is the kernel what it was, but for what is explained? */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"

static const char help[] =
	"usage: vmpoke verify TARGET [--json]\n"
	"\n"
	"Is every hotfix byte for byte in place, and are the kernel's text and read-only data, "
	"and\n"
	"its modules', what they were when they were first seen in this boot? What the guest "
	"changes\n"
	"itself by its own tables (ftrace, static keys and calls, kprobes) and what vmpoke "
	"changed\n"
	"is told apart; anything else is named. The first look of a boot keeps what stands then,\n"
	"beside the ledger (docs/verify.md). The guest runs meanwhile.\n"
	"\n"
	"  --json  print one JSON object (docs/control-protocol.md)\n"
	"\n"
	"Exit code: 0: all of it is explained; 1: something differs; 2 bad options; 3 that cannot "
	"be\n"
	"told of this guest; 4 no such target.\n";

static void print_difference(const json_t *d)
{
	char where[128];

	vp_client_where(d, where, sizeof(where));
	printf("DIFFERS: %s %s%s(%s): %lld byte(s), 0x%s was, 0x%s is now",
	       vp_client_text(d, "addr"), where, *where ? " " : "", vp_client_text(d, "in"),
	       vp_client_int(d, "bytes"), vp_client_text(d, "was"), vp_client_text(d, "now"));
	if (*vp_client_text(d, "place-of"))
		printf("; a place of the guest's own (%s), which would write something else",
		       vp_client_text(d, "place-of"));
	putchar('\n');
}

static void print_regions(const json_t *v)
{
	long long bytes = 0, modules = 0;
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(v, "regions"), i, r)
	{
		*(json_is_true(json_object_get(r, "module")) ? &modules : &bytes) +=
			vp_client_int(r, "bytes");
	}
	printf("looked at: %lld bytes of the kernel, %lld of its modules\n", bytes, modules);
	if (json_is_true(json_object_get(v, "first")))
		printf("the first look of this boot: what stands now is kept, and compared with "
		       "from now on\n");
	else if (vp_client_int(v, "added"))
		printf("%lld piece(s) of memory were not known before, and are kept now\n",
		       vp_client_int(v, "added"));
}

static void print_text(const json_t *v)
{
	const json_t *item, *value;
	const char *key;
	size_t i;

	print_regions(v);
	json_array_foreach(json_object_get(v, "hotfixes"), i, item)
		printf("hotfix %s: %s%s\n", vp_client_text(item, "name"),
		       vp_client_text(item, "stands"),
		       json_is_true(json_object_get(item, "whole")) ? ", byte for byte in place"
								    : ", and ITS CODE IS CHANGED");
	json_object_foreach((json_t *)json_object_get(v, "changes"), key, value)
	{
		if (json_integer_value(value))
			printf("explained: %lld place(s) by %s\n",
			       (long long)json_integer_value(value),
			       strcmp(key, "unknown")
				       ? key
				       : "kprobes that were there at the first look");
	}
	json_array_foreach(json_object_get(v, "not-verified"), i, item)
		printf("not verified: %s: %s\n", vp_client_text(item, "what"),
		       vp_client_text(item, "why"));
	json_array_foreach(json_object_get(v, "broken-keys"), i, item)
		printf("DIFFERS: static key %s: %s\n", vp_client_text(item, "name"),
		       vp_client_text(item, "why"));
	json_array_foreach(json_object_get(v, "differences"), i, item) print_difference(item);
	if (vp_client_int(v, "more"))
		printf("DIFFERS: and %lld more\n", vp_client_int(v, "more"));
	if (json_is_true(json_object_get(v, "good")))
		printf("nothing differs that is not explained\n");
}

int vp_cmd_verify(int argc, char **argv)
{
	struct vp_client c;
	json_t *v = NULL;
	const char *target;
	bool json = false;
	int code = vp_client_options(argc, argv, help, &target, &json);

	if (code >= 0)
		return code;
	code = vp_client_open(&c, "verify", target, VP_CLIENT_TIMEOUT_MS);
	if (!code)
		code = vp_client_call(&c, "verify", json_object(), &v);
	if (!code && json)
		vp_client_print(v);
	else if (!code)
		print_text(v);
	if (!code && !json_is_true(json_object_get(v, "good")))
		code = VP_EXIT_FAILED;
	json_decref(v);
	return vp_client_close(&c, code);
}
