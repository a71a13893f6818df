/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hotfixes.h"

#include <stdio.h>
#include <string.h>

#include "control/when.h"

int vp_client_hotfixes(struct vp_client *c, json_t **found, int *rc, struct vp_err *why)
{
	int code;

	why->text[0] = 0;
	code = vp_client_try(c, "query-hotfixes", json_object(), found, rc, why);
	return vp_client_is_broken(c) ? code : VP_EXIT_OK;
}

/* In words. */
static const char *standing(const json_t *hotfix)
{
	const char *stands = vp_client_text(hotfix, "stands");

	if (!strcmp(stands, "unused"))
		return "NOT IN USE: no function leads to it";
	if (!strcmp(stands, "mixed"))
		return "IN PARTS: not all functions lead to it";
	return json_is_true(json_object_get(hotfix, "covered")) ? "applied, below a newer one"
								: "applied";
}

static void print_function(const json_t *f)
{
	const char *leads = vp_client_text(f, "leads");

	printf("     %s at %s: ", vp_client_text(f, "name"), vp_client_text(f, "addr"));
	if (!strcmp(leads, "here"))
		printf("leads to %s\n", vp_client_text(f, "replacement"));
	else if (!strcmp(leads, "over"))
		printf("leads to %s, which is over it\n", vp_client_text(f, "over"));
	else if (!strcmp(leads, "before"))
		printf("NOT REPLACED: what was there before stands there\n");
	else if (!strcmp(leads, "unknown"))
		printf("cannot be read (module unloaded)\n");
	else
		printf("CHANGED by somebody else: 0x%s stands there\n", vp_client_text(f, "now"));
}

/* By the word of the ledger, not of the guest. */
static void print_signer(const json_t *hotfix)
{
	const json_t *by = json_object_get(hotfix, "signed");

	if (by)
		printf("     signed by %s (%s): %s\n", vp_client_text(by, "file"),
		       vp_client_text(by, "key"), vp_client_text(by, "comment"));
}

static void print_hotfix(const json_t *hotfix)
{
	const json_t *f, *area;
	char when[VP_WHEN_TEXT];
	long long bytes = 0;
	const char *key;
	size_t i;

	json_object_foreach((json_t *)json_object_get(hotfix, "areas"), key, area) bytes +=
		vp_client_int(area, "bytes");
	printf("  %s %s  %s  %s  %s\n", vp_client_text(hotfix, "name"),
	       vp_client_text(hotfix, "version"),
	       vp_when_local(vp_client_int(hotfix, "when"), when), vp_client_text(hotfix, "who"),
	       standing(hotfix));
	if (*vp_client_text(hotfix, "description"))
		printf("     %s\n", vp_client_text(hotfix, "description"));
	print_signer(hotfix);
	if (!json_is_true(json_object_get(hotfix, "whole")))
		printf("     ITS CODE IS CHANGED: it is not what was put there\n");
	if (!json_is_true(json_object_get(hotfix, "recorded")))
		printf("     the ledger of this host has no record of it\n");
	json_array_foreach(json_object_get(hotfix, "functions"), i, f) print_function(f);
	printf("     %lld bytes at %s\n", bytes, vp_client_text(hotfix, "at"));
}

void vp_hotfixes_print(const json_t *found)
{
	const json_t *list = json_object_get(found, "hotfixes"), *item;
	size_t i;

	printf("%zu hotfix(es) in the guest's memory\n", json_array_size(list));
	json_array_foreach(list, i, item) print_hotfix(item);
	json_array_foreach(json_object_get(found, "damaged"), i, item)
		printf("  A DAMAGED LABEL of a hotfix is at %s: what it was cannot be told\n",
		       json_string_value(item));
	json_array_foreach(json_object_get(found, "livepatches"), i, item)
		printf("  livepatch %s, the guest's own: %s at %s leads to %s%s\n",
		       vp_client_text(item, "module"), vp_client_text(item, "function"),
		       vp_client_text(item, "addr"), vp_client_text(item, "replacement"),
		       json_is_true(json_object_get(item, "enabled")) ? "" : " (disabled)");
	if (*vp_client_text(found, "livepatches-untold"))
		printf("  the guest's own livepatches cannot be told: %s\n",
		       vp_client_text(found, "livepatches-untold"));
}
