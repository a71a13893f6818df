/* SPDX-License-Identifier: Apache-2.0 */
/* The table that people see of a ledger: what became of each batch. */
#include "unit.h"

#include "control/ledger.h"

static void append(char *text, size_t size, const json_t *value)
{
	size_t at = strlen(text);

	if (json_is_integer(value))
		snprintf(text + at, size - at, "%lld ", (long long)json_integer_value(value));
	else
		snprintf(text + at, size - at, "%s ", value ? json_string_value(value) : "-");
}

/* @want: "ID COMMAND WHAT SITES FATE TEXT", a row a line; "-" for what is not there. */
static void expect(const char *lines, const char *want)
{
	static const char *const keys[] = { "id", "command", "what", "sites", "fate", "text" };
	json_error_t why;
	json_t *json = json_loads(lines, 0, &why), *rows, *row;
	char got[2048] = "";
	size_t i;

	if (!json)
		fail_msg("%s: %s", why.text, lines);
	rows = vp_ledger_rows(json);
	json_array_foreach(rows, i, row)
	{
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			append(got, sizeof(got), json_object_get(row, keys[k]));
		got[strlen(got) - 1] = '\n';
	}
	assert_string_equal(got, want);
	json_decref(rows);
	json_decref(json);
}

/* Lines: single quotes stand for double ones. */
#define WHOSE(boot, vm) "'boot': '" boot "', 'vm': '" vm "', "
#define HERE		WHOSE("0x1", "1-1")
#define BEGIN(seq, whose, command, more)                                                      \
	"{'seq': " seq ", 'event': 'begin', " whose "'sites': [{}, {}], 'command': '" command \
	"'" more "}, "
#define END(seq, event, of, more) "{'seq': " seq ", 'event': '" event "', 'of': " of more "}, "
#define APPLIED(seq, of, id)	  END(seq, "applied", of, ", 'id': " id)
#define OPERATION(seq)                                                               \
	"{'seq': " seq ", 'event': 'operation', " HERE "'command': 'hotfix-apply', " \
	"'hotfix': {'name': 'fix'}}, "
#define LAST "{'seq': 99, 'event': 'continued'}"

static void rows(const char *lines, const char *want)
{
	char *text = NULL;

	assert_true(asprintf(&text, "[%s" LAST "]", lines) > 0);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	expect(text, want);
	free(text);
}

static void fates(void **state)
{
	(void)state;
	rows("", "");
	rows(BEGIN("1", HERE, "poke", ", 'note': 'why'") APPLIED("2", "1", "1"),
	     "1 poke why 2 applied -\n");
	rows(BEGIN("1", HERE, "poke", ", 'batch': 2")
		     END("2", "failed", "1", ", 'text': 'changed'"),
	     "2 poke - 2 failed changed\n");
	rows(BEGIN("1", HERE, "poke", ", 'batch': 3") END("2", "undone", "1", ", 'id': 3"),
	     "3 poke - 2 undone -\n");
	rows(BEGIN("1", HERE, "poke", ", 'batch': 4") END("2", "abandoned", "1", ""),
	     "4 poke - 2 abandoned -\n");
	rows(BEGIN("1", HERE, "poke", ", 'batch': 5"), "5 poke - 2 unfinished -\n");
}

static void reverts(void **state)
{
	(void)state;
	rows(BEGIN("1", HERE, "poke", "") APPLIED("2", "1", "1")
		     BEGIN("3", HERE, "revert", ", 'id': 1") APPLIED("4", "3", "1"),
	     "1 poke - 2 reverted -\n1 revert - 2 applied -\n");
	rows(BEGIN("1", HERE, "poke", "") APPLIED("2", "1", "1")
		     BEGIN("3", HERE, "revert", ", 'id': 1") END("4", "failed", "3", ""),
	     "1 poke - 2 applied -\n1 revert - 2 failed -\n");
	/* Of a number that several have the newest that stands. */
	rows(BEGIN("1", HERE, "poke", ", 'note': 'a'") APPLIED("2", "1", "1")
		     BEGIN("3", HERE, "poke", ", 'note': 'b'") APPLIED("4", "3", "1")
			     BEGIN("5", HERE, "revert", ", 'id': 1") APPLIED("6", "5", "1"),
	     "1 poke a 2 applied -\n1 poke b 2 reverted -\n1 revert - 2 applied -\n");
}

static void boots_and_clones(void **state)
{
	(void)state;
	/* Another boot is another guest; another process may be the same VM, restored. */
	rows(BEGIN("1", HERE, "poke", "") APPLIED("2", "1", "1")
		     BEGIN("3", WHOSE("0x2", "1-1"), "revert", ", 'id': 1") APPLIED("4", "3", "1"),
	     "1 poke - 2 applied -\n1 revert - 2 applied -\n");
	rows(BEGIN("1", HERE, "poke", "") APPLIED("2", "1", "1")
		     BEGIN("3", WHOSE("0x1", "2-2"), "revert", ", 'id': 1") APPLIED("4", "3", "1"),
	     "1 poke - 2 reverted -\n1 revert - 2 applied -\n");
	/* But rather the one of its own process. */
	rows(BEGIN("1", HERE, "poke", ", 'note': 'a'") APPLIED("2", "1", "1")
		     BEGIN("3", WHOSE("0x1", "2-2"), "poke", ", 'note': 'b'") APPLIED("4", "3", "1")
			     BEGIN("5", HERE, "revert", ", 'id': 1") APPLIED("6", "5", "1"),
	     "1 poke a 2 reverted -\n1 poke b 2 applied -\n1 revert - 2 applied -\n");
}

/* An operation is a row until its batch begins; a hotfix may be in the place of others. */
static void hotfixes(void **state)
{
	(void)state;
	rows(OPERATION("1") END("2", "memory", "1", ""), "- hotfix-apply fix - unfinished -\n");
	rows(OPERATION("1") END("2", "done", "1", ", 'text': 'somebody is inside'"),
	     "- hotfix-apply fix - done somebody is inside\n");
	rows(OPERATION("1") BEGIN("2", HERE, "hotfix-apply",
				  ", 'operation': 1, 'note': 'fix 1', 'hotfix': {}")
		     APPLIED("3", "2", "1") END("4", "done", "1", ""),
	     "1 hotfix-apply fix 1 2 applied -\n");
	rows(BEGIN("1", HERE, "hotfix-apply", ", 'hotfix': {'name': 'a'}") APPLIED(
		     "2", "1", "1") BEGIN("3", HERE, "poke", "") APPLIED("4", "3", "2")
		     BEGIN("5", HERE, "hotfix-apply", ", 'hotfix': {'name': 'b'}, 'replaces': true")
			     APPLIED("6", "5", "3"),
	     "1 hotfix-apply a 2 reverted -\n2 poke - 2 applied -\n3 hotfix-apply b 2 applied -\n");
	rows(BEGIN("1", HERE, "hotfix-apply", ", 'hotfix': {'name': 'a'}") APPLIED("2", "1", "1")
		     BEGIN("3", HERE, "hotfix-remove", ", 'id': 1, 'hotfix': {'name': 'a'}")
			     APPLIED("4", "3", "1"),
	     "1 hotfix-apply a 2 reverted -\n1 hotfix-remove a 2 applied -\n");
}

/* What makes no sense is passed over, and a damaged line is seen. */
static void damage(void **state)
{
	(void)state;
	rows("{'damaged': 'vm.jsonl: line 3'}, "
	     "{'seq': 4, 'event': 'put-aside', 'text': 'line 3'}, 7, null, [], "
	     "{'seq': 5, 'event': 'applied', 'of': 77}, {'event': 'applied'}, ",
	     "- - - - DAMAGED LINE vm.jsonl: line 3\n"
	     "- - - - damaged ledger put aside line 3\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fates),
		cmocka_unit_test(reverts),
		cmocka_unit_test(boots_and_clones),
		cmocka_unit_test(hotfixes),
		cmocka_unit_test(damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
