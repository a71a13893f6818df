/* SPDX-License-Identifier: Apache-2.0 */
/* Ledgers that have grown long. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger_rig.h"
#include "unit.h"

static char *begin_text(char *to, const char *command, uint64_t seq, uint64_t id, uint64_t addr)
{
	return to + sprintf(to,
			    "{\"seq\":%llu,\"event\":\"begin\",\"command\":\"%s\",\"id\":%llu,"
			    "\"boot\":\"0x%llx\",\"sites\":[{\"addr\":\"0x%llx\",\"old\":\"6690\","
			    "\"new\":\"eb10\"}]}\n",
			    (unsigned long long)seq, command, (unsigned long long)id,
			    (unsigned long long)BOOT, (unsigned long long)addr);
}

static char *applied_text(char *to, uint64_t seq, uint64_t id)
{
	return to + sprintf(to, "{\"seq\":%llu,\"event\":\"applied\",\"of\":%llu,\"id\":%llu}\n",
			    (unsigned long long)seq, (unsigned long long)seq - 1,
			    (unsigned long long)id);
}

/*
 * A MiB of batches, written at once: as many as are returned, of which the n-th is at @addr + n *
 * @step; each with its revert, if @reverts.
 */
static uint64_t grow(struct ledger_rig *r, uint64_t addr, uint64_t step, bool reverts)
{
	uint64_t seq = 0, id = vp_ledger_next_id(r->ledger), first = id;
	char *text = malloc(2 << 20), *end = text;
	json_t *lines = vp_ledger_history(r->ledger, NULL);

	assert_non_null(text);
	seq = json_array_size(lines);
	json_decref(lines);
	for (; end - text < 1 << 20; id++, addr += step) {
		end = begin_text(end, "poke", ++seq, 0, addr);
		end = applied_text(end, ++seq, id);
		if (!reverts)
			continue;
		end = begin_text(end, "revert", ++seq, id, addr);
		end = applied_text(end, ++seq, id);
	}
	append_text(r, text);
	free(text);
	reopen(r);
	return id - first;
}

/* What has grown long is put away; numbers and history go on, and so does what stands. */
static void test_put_away(void **state)
{
	struct ledger_rig *r = *state;
	char path[80];
	struct stat st;
	json_t *lines;
	uint64_t id = 1;

	applied(r, "poke", id, IN_MODULE); /* stands, all the time */
	id += grow(r, 0x100, 0, true);
	begin(r, "poke", 0, BOOT, 0x200); /* no end */
	assert_int_equal(vp_ledger_rotate(r->ledger, 0, NULL), 0);
	assert_int_equal(stat(r->path, &st), 0);
	assert_true(st.st_size < 5000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(standing(r, BOOT), 1);
		assert_int_equal(with_fate(r, BOOT, VP_FATE_REVERTED), id); /* the newest of them */
		assert_int_equal(count_unfinished(r, BOOT), 1);
		assert_int_equal(vp_ledger_next_id(r->ledger), id + 1);
		reopen(r);
	}
	assert_int_equal(vp_ledger_rotate(r->ledger, 0, NULL), 0); /* not long: stays */
	applied(r, "poke", id + 1, 0x300);
	lines = vp_ledger_history(r->ledger, NULL);
	assert_int_equal(json_array_size(lines), 2 + 4 * (id - 1) + 1 + 1 + 2);
	for (size_t i = 0; i < json_array_size(lines); i++)
		assert_int_equal(
			json_integer_value(json_object_get(json_array_get(lines, i), "seq")),
			i + 1);
	json_decref(lines);
	snprintf(path, sizeof(path), "%s.1", r->path);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s.2", r->path);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* Of a VM whose earlier lives are gone for good, nothing of them is kept. */
static void test_put_away_dead_lives(void **state)
{
	struct ledger_rig *r = *state;
	char path[80];

	grow(r, 0x100, 0, false);
	assert_int_equal(vp_ledger_rotate(r->ledger, BOOT + 1, NULL), 0);
	assert_int_equal(standing(r, BOOT), 0);
	snprintf(path, sizeof(path), "%s.1", r->path);
	assert_int_equal(unlink(path), 0);
}

/* What cannot be dropped is no reason to try again with each command. */
static void test_put_away_in_vain(void **state)
{
	struct ledger_rig *r = *state;
	char path[80];
	struct stat st, now;

	grow(r, 0x1000, 0x10, false);
	assert_int_equal(vp_ledger_rotate(r->ledger, 0, NULL), 0);
	assert_int_equal(stat(r->path, &st), 0);
	reopen(r);
	assert_int_equal(vp_ledger_rotate(r->ledger, 0, NULL), 0);
	assert_int_equal(stat(r->path, &now), 0);
	assert_int_equal(st.st_ino, now.st_ino);
	snprintf(path, sizeof(path), "%s.1", r->path);
	assert_int_equal(unlink(path), 0);
}

/* Long files take time, not memory, and are not refused. */
static void test_long(void **state)
{
	struct ledger_rig *r = *state;
	char *line = malloc(1 << 21);
	size_t used = 0;
	pid_t child;
	int status;

	assert_non_null(line);
	used += (size_t)sprintf(line, "{\"seq\":1,\"event\":\"begin\",\"command\":\"poke\","
				      "\"boot\":\"0x5\",\"sites\":[");
	for (int i = 0; i < 10000; i++)
		used += (size_t)sprintf(
			line + used,
			"%s{\"addr\":\"0xffffffff81%06x\",\"old\":\"6690\",\"new\":\"eb10\","
			"\"symbol\":\"a_symbol_with_quite_a_name+0x10\"}",
			i ? "," : "", i * 16);
	used += (size_t)sprintf(line + used, "]}\n");
	vp_ledger_close(r->ledger);
	r->ledger = NULL;
	for (int i = 0; i < 60; i++) { /* 60 MB, which are half a GB as JSON */
		int fd = open(r->path, O_WRONLY | O_APPEND);

		assert_int_equal(write(fd, line, used), used);
		close(fd);
	}
	free(line);
	child = fork();
	if (!child) {
		struct rusage before, after;

		getrusage(RUSAGE_SELF, &before);
		if (open_ledger(r, NULL) || vp_ledger_trouble(r->ledger))
			_exit(1);
		getrusage(RUSAGE_SELF, &after);
		_exit(after.ru_maxrss - before.ru_maxrss < 350 << 10 ? 0 : 2); /* KiB */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, ledger_rig_setup, ledger_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_put_away),
		T(test_put_away_dead_lives),
		T(test_put_away_in_vain),
		T(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
