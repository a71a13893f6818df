/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger as a table for people: a row for each batch, whatever VM and boot it was of. */
#include <string.h>

#include "control/ledger_internal.h"

/* Events that end a batch or an operation; the first four are fates, too. */
static const char *const ends[] = { "applied", "failed", "undone", "abandoned", "done" };

static bool is_revert(const json_t *begin)
{
	const char *command = vp_ledger_text(begin, "command");

	return !strcmp(command, "revert") || !strcmp(command, VP_LEDGER_REMOVE);
}

/* The row of this "seq": its index + 1; 0: there is none. */
static size_t find_row(const json_t *rows, int64_t seq)
{
	size_t i = json_array_size(rows);

	while (seq && i && vp_ledger_int(json_array_get(rows, i - 1), "seq") != seq)
		i--;
	return seq ? i : 0;
}

static void copy(json_t *row, const char *as, const json_t *line, const char *key)
{
	json_t *value = json_object_get(line, key);

	if (value)
		json_object_set(row, as, value);
}

static json_t *new_row(json_t *rows, const json_t *line, const char *fate)
{
	static const char *const keys[] = { "seq", "when", "user", "boot", "vm", "command" };
	json_t *row = json_pack("{s:s}", "fate", fate);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		copy(row, keys[i], line, keys[i]);
	json_array_append_new(rows, row);
	return row;
}

/* A batch, or what takes more than one: then the row becomes that of its batch, if it gets one. */
static void begin(json_t *rows, const json_t *line)
{
	const json_t *sites = json_object_get(line, "sites");
	const json_t *hotfix = json_object_get(line, "hotfix");
	size_t operation = find_row(rows, vp_ledger_int(line, "operation"));
	json_t *row;

	if (operation)
		json_array_remove(rows, operation - 1);
	row = new_row(rows, line, vp_fate_name(VP_FATE_OPEN));
	if (hotfix) {
		json_object_set_new(row, "hotfix", json_true());
		copy(row, "what", hotfix, "name");
		copy(row, "signed", hotfix, "signed");
	}
	copy(row, "what", line, "note");
	copy(row, "id", line, is_revert(line) && json_object_get(line, "id") ? "id" : "batch");
	copy(row, "replaces", line, "replaces");
	if (sites)
		json_object_set_new(row, "sites", json_integer((json_int_t)json_array_size(sites)));
	if (is_revert(line))
		json_object_set_new(row, "revert", json_true());
}

static bool same(const json_t *a, const json_t *b, const char *key)
{
	return !strcmp(vp_ledger_text(a, key), vp_ledger_text(b, key));
}

static bool is_applied(const json_t *row)
{
	return !strcmp(vp_ledger_text(row, "fate"), vp_fate_name(VP_FATE_APPLIED)) &&
	       !json_object_get(row, "revert");
}

static void set_fate(json_t *row, enum vp_fate fate)
{
	json_object_set_new(row, "fate", json_string(vp_fate_name(fate)));
}

/*
 * The newest batch of that number is taken back: rather one of the same process, but a VM may have
 * been saved and restored.
 */
static void take_back(json_t *rows, const json_t *revert)
{
	for (int any_vm = 0; any_vm < 2; any_vm++)
		for (size_t i = json_array_size(rows); i--;) {
			json_t *row = json_array_get(rows, i);

			if (!is_applied(row) || !same(row, revert, "boot") ||
			    vp_ledger_int(row, "id") != vp_ledger_int(revert, "id") ||
			    (!any_vm && !same(row, revert, "vm")))
				continue;
			set_fate(row, VP_FATE_REVERTED);
			return;
		}
}

/* A hotfix in the place of all others. */
static void replace(json_t *rows, const json_t *by)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (row != by && is_applied(row) && json_object_get(row, "hotfix") &&
		    same(row, by, "boot") && same(row, by, "vm"))
			set_fate(row, VP_FATE_REVERTED);
	}
}

/* How it ended: "applied", "failed", ... */
static void end(json_t *rows, const json_t *line)
{
	size_t at = find_row(rows, vp_ledger_int(line, "of"));
	const char *event = vp_ledger_text(line, "event");
	json_t *row = at ? json_array_get(rows, at - 1) : NULL;

	if (!row || strcmp(vp_ledger_text(row, "fate"), vp_fate_name(VP_FATE_OPEN)) != 0)
		return;
	if (vp_ledger_int(line, "id"))
		copy(row, "id", line, "id");
	copy(row, "text", line, "text");
	json_object_set(row, "fate", json_object_get(line, "event"));
	if (strcmp(event, "applied") != 0)
		return;
	if (json_object_get(row, "revert"))
		take_back(rows, row);
	if (json_is_true(json_object_get(row, "replaces")))
		replace(rows, row);
}

static bool is_end(const char *event)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!strcmp(event, ends[i]))
			return true;
	return false;
}

static void add(json_t *rows, const json_t *line)
{
	const char *event = vp_ledger_text(line, "event");
	json_t *row;

	if (json_object_get(line, "damaged")) {
		row = new_row(rows, line, "DAMAGED LINE");
		copy(row, "text", line, "damaged");
	} else if (!strcmp(event, "begin") || !strcmp(event, "operation")) {
		begin(rows, line);
	} else if (!strcmp(event, "put-aside")) {
		row = new_row(rows, line, "damaged ledger put aside");
		copy(row, "text", line, "text");
	} else if (is_end(event)) {
		end(rows, line);
	}
}

json_t *vp_ledger_rows(const json_t *lines)
{
	json_t *rows = json_array();
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line) add(rows, line);
	return rows;
}
