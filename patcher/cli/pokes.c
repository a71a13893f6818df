/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pokes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/common.h"

#define NOTE_MAX 63 /* vp_poke_opts.note */

static int complete_one(struct vp_client *c, json_t *poke)
{
	json_t *ret = NULL, *sites;
	long long id = vp_client_int(poke, "id");
	struct vp_err err;
	int rc = 0, code;

	if (json_object_get(poke, "sites") || !id)
		return VP_EXIT_OK;
	code = vp_client_try(c, "query-pokes", json_pack("{s:I}", "id", (json_int_t)id), &ret, &rc,
			     &err);
	sites = json_object_get(json_array_get(ret, 0), "sites");
	if (sites)
		json_object_set(poke, "sites", sites);
	json_decref(ret);
	if (rc == -ENOENT) /* taken back meanwhile */
		return VP_EXIT_OK;
	return code && !vp_client_is_broken(c) ? vp_cmd_fail(c->cmd, code, "%s", err.text) : code;
}

int vp_pokes_complete(struct vp_client *c, json_t *pokes)
{
	int code = VP_EXIT_OK;

	for (size_t i = 0; i < json_array_size(pokes) && !code; i++)
		code = complete_one(c, json_array_get(pokes, i));
	return code;
}

const char *vp_poke_standing(const json_t *site)
{
	const char *now = vp_client_text(site, "now");

	return !strcmp(now, "new")	  ? "stands"
	       : !strcmp(now, "covered")  ? "stands below a newer poke"
	       : !strcmp(now, "old")	  ? "GONE: the old bytes stand there"
	       : !strcmp(now, "gone")	  ? "gone (module unloaded)"
	       : !strcmp(now, "half")	  ? "HALF of the old bytes, half of the new"
	       : !strcmp(now, "unmapped") ? "NOT MAPPED any more"
	       : *now			  ? "CHANGED by somebody else"
					  : "";
}

bool vp_poke_stands(const json_t *site)
{
	const char *now = vp_client_text(site, "now");

	return !strcmp(now, "new") || !strcmp(now, "covered");
}

bool vp_poke_is_already(const json_t *ret)
{
	return json_is_true(json_object_get(ret, "already"));
}

void vp_poke_tell_already(const json_t *ret)
{
	if (vp_client_int(ret, "by"))
		printf(", by poke %lld; nothing is written\n", vp_client_int(ret, "by"));
	else
		printf(", by no poke that is recorded; nothing is written\n");
}

/* May it be pasted into a shell as it is? What a guest calls its symbols is up to the guest. */
static bool is_plain(const char *text, bool words)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_.+:";

	for (; *text; text++)
		if (!strchr(plain, *text) && !(words && *text == ' '))
			return false;
	return true;
}

void vp_poke_tell_again(const char *target, const json_t *ret)
{
	const json_t *was = json_object_get(ret, "took-back");
	const char *command = vp_client_text(was, "command"), *note = vp_client_text(was, "note");
	const char *force = json_is_true(json_object_get(was, "force")) ? " --force" : "";
	const char *fixup = vp_client_text(was, "fixup");
	char room[128];
	const char *where = vp_client_where(was, room, sizeof(room));

	if (!*where || !is_plain(where, false))
		where = vp_client_text(was, "addr");
	/* A note may have been cut short. */
	if (!strcmp(command, "key-set") && *note && is_plain(note, true) && strlen(note) < NOTE_MAX)
		vp_common_hint("  to have it again: vmpoke key set %s %s\n", target, note);
	else if (!strcmp(command, "poke") && *vp_client_text(was, "addr"))
		vp_common_hint(
			"  to have it again: vmpoke poke %s %s --old 0x%s --new 0x%s --resume "
			"%s%s%s%s\n",
			target, where, vp_client_text(was, "old"), vp_client_text(was, "new"),
			vp_client_text(was, "resume"), *fixup ? " --fixup " : "", fixup, force);
	else
		vp_common_hint("  to have it again: what was done is in vmpoke status %s --history "
			       "--json\n",
			       target);
}
