/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/history.h"

#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/colour.h"
#include "control/ledger.h"
#include "control/when.h"

#define COMMAND_TEXT 200

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* "poke", "key-set sched_schedstats on", "revert 3". */
static const char *command(const json_t *row, char *text, size_t size)
{
	const char *name = vp_client_text(row, "command"), *what = vp_client_text(row, "what");

	if (json_object_get(row, "revert") && !*what && vp_client_int(row, "id"))
		snprintf(text, size, "%s %lld", name, vp_client_int(row, "id"));
	else
		snprintf(text, size, "%s%s%s", or_dash(name), *what ? " " : "", what);
	return text;
}

/* A revert has no number of its own, nor has what was never applied. */
static const char *number(const json_t *row, char *text, size_t size)
{
	if (json_object_get(row, "revert") || !vp_client_int(row, "id"))
		return "-";
	snprintf(text, size, "%lld", vp_client_int(row, "id"));
	return text;
}

static const char *sites(const json_t *row, char *text, size_t size)
{
	if (!json_object_get(row, "sites"))
		return "-";
	snprintf(text, size, "%lld", vp_client_int(row, "sites"));
	return text;
}

/* What may need a person: no end, no line, or one that a person ended. */
static bool is_bad(const char *fate)
{
	return !strcmp(fate, "unfinished") || !strcmp(fate, "abandoned") ||
	       !strcmp(fate, "DAMAGED LINE");
}

struct widths {
	int user, command;
};

static void widen(int *width, const char *text)
{
	int len = (int)strlen(text);

	if (len > *width)
		*width = len;
}

static void print_row(const json_t *row, const struct widths *w)
{
	const char *fate = vp_client_text(row, "fate"), *why = vp_client_text(row, "text");
	char id[24], n[24], when[VP_WHEN_TEXT], what[COMMAND_TEXT];
	const json_t *by = json_object_get(row, "signed");
	bool bad = is_bad(fate);

	vp_when_local(vp_client_int(row, "when"), when);
	printf("%4s  %-25s  %-*s  %-*s  %5s  %s%s%s%s%s", number(row, id, sizeof(id)),
	       json_object_get(row, "when") ? or_dash(when) : "-", w->user,
	       or_dash(vp_client_text(row, "user")), w->command, command(row, what, sizeof(what)),
	       sites(row, n, sizeof(n)), bad ? vp_colour(VP_COLOUR_BAD) : "", fate,
	       bad ? vp_colour_end() : "", *why ? ": " : "", why);
	if (by)
		printf("; signed by %s (%s)", vp_client_text(by, "file"),
		       vp_client_text(by, "key"));
	putchar('\n');
}

/* Numbers begin anew in each life of a VM of `vmpoke run`, and what was applied before is gone. */
static void print_boot(const json_t *row, const char **boot)
{
	const char *now = vp_client_text(row, "boot");

	if (!*now)
		return;
	if (**boot && strcmp(*boot, now) != 0)
		printf("      -- another boot of the guest --\n");
	*boot = now;
}

void vp_history_print(const json_t *lines)
{
	json_t *rows = vp_ledger_rows(lines), *row;
	struct widths w = { (int)strlen("WHO"), (int)strlen("COMMAND") };
	const char *boot = "";
	char what[COMMAND_TEXT];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		widen(&w.user, vp_client_text(row, "user"));
		widen(&w.command, command(row, what, sizeof(what)));
	}
	if (json_array_size(rows))
		printf("%4s  %-25s  %-*s  %-*s  %5s  %s\n", "ID", "WHEN", w.user, "WHO", w.command,
		       "COMMAND", "SITES", "FATE");
	else
		printf("nothing was ever changed here\n");
	json_array_foreach(rows, i, row)
	{
		print_boot(row, &boot);
		print_row(row, &w);
	}
	json_decref(rows);
}
