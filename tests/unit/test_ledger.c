/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: what is appended comes back, and a writer that dies leaves something to read. */
#include <sys/stat.h>
#include <unistd.h>

#include "ledger_rig.h"
#include "unit.h"

/* Before there were several words there was one, and ledgers of then are still about. */
static void test_one_word(void **state)
{
	static const char line[] =
		"{\"seq\":1,\"event\":\"begin\",\"command\":\"key-set\",\"boot\":\"0x77\","
		"\"strategy\":\"stop\",\"sites\":[],\"word\":{\"addr\":\"0x1000\",\"old\":0,"
		"\"new\":1}}\n{\"seq\":2,\"event\":\"applied\",\"of\":1,\"id\":1}\n";
	struct ledger_rig *r = *state;
	const struct vp_ledger_vm vm = vm_of(r, 0x77);
	struct vp_ledger_batch *list;
	FILE *f = fopen(r->path, "w");
	size_t n;

	assert_non_null(f);
	fputs(line, f);
	fclose(f);
	reopen(r);
	assert_int_equal(vp_ledger_batches(r->ledger, &vm, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].record.nwords, 1);
	assert_int_equal(list[0].record.words[0].addr.v, 0x1000);
	assert_int_equal(list[0].record.words[0].new_value, 1);
	vp_ledger_batches_free(list, n);
}

static void test_comes_back(void **state)
{
	struct ledger_rig *r = *state;
	const struct vp_ledger_vm vm = vm_of(r, BOOT);
	struct vp_ledger_batch *list;
	const struct vp_record *rec;
	size_t n;

	applied(r, "poke", 1, 0xffffffff81000000);
	reopen(r);
	assert_int_equal(vp_ledger_batches(r->ledger, &vm, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	rec = &list[0].record;
	assert_int_equal(rec->id, 1);
	assert_int_equal(rec->strategy, VP_STRATEGY_STOP);
	assert_string_equal(rec->note, "why");
	assert_int_equal(rec->nsites, 1);
	assert_int_equal(rec->sites[0].addr.v, 0xffffffff81000000);
	assert_int_equal(rec->sites[0].len, 2);
	assert_memory_equal(rec->sites[0].old_bytes, "\x66\x90", 2);
	assert_memory_equal(rec->sites[0].new_bytes, "\xeb\x10", 2);
	assert_int_equal(rec->sites[0].resume, VP_RESUME_FIXUP);
	assert_int_equal(rec->sites[0].fixup.v, 0xffff0000);
	assert_int_equal(rec->nwords, 2);
	assert_int_equal(rec->words[0].addr.v, 0x1000);
	assert_int_equal(rec->words[0].new_value, (uint32_t)-1);
	assert_int_equal(rec->words[1].addr.v, 0x2000);
	assert_true(vp_word_is_condition(&rec->words[1]));
	assert_string_equal(json_string_value(json_object_get(list[0].line, "kernel")), "6.1");
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(list[0].line, "sites"), 0), "symbol")),
		"symbol_ffffffff81000000");
	vp_ledger_batches_free(list, n);
}

static void test_what_stands(void **state)
{
	struct ledger_rig *r = *state;
	json_t *line;

	assert_int_equal(vp_ledger_next_id(r->ledger), 1);
	applied(r, "poke", 1, 0x100);
	applied(r, "key-set", 2, 0x200);
	begin(r, "poke", 0, BOOT, 0x300);
	assert_int_equal(vp_ledger_end(r->ledger, "failed", 0, "changed", NULL), 0);
	applied(r, "poke", 3, 0x300);
	assert_int_equal(standing(r, BOOT), 123);
	applied(r, "revert", 2, 0x200);
	begin(r, "revert", 3, BOOT, 0x300);
	assert_int_equal(vp_ledger_end(r->ledger, "failed", 0, "changed", NULL), 0);
	reopen(r);
	assert_int_equal(standing(r, BOOT), 13);
	assert_int_equal(standing(r, BOOT + 1), 0); /* a reboot takes all of it away */
	assert_int_equal(vp_ledger_next_id(r->ledger), 4);
	line = vp_ledger_line_of(r->ledger, BOOT, 3);
	assert_non_null(line);
	json_decref(line);
	assert_null(vp_ledger_line_of(r->ledger, BOOT, 4));
	assert_null(vp_ledger_line_of(r->ledger, BOOT + 1, 3));
}

static void test_unfinished(void **state)
{
	struct ledger_rig *r = *state;
	struct vp_ledger_batch *list;

	applied(r, "poke", 1, 0x100);
	assert_int_equal(count_unfinished(r, BOOT), 0);
	begin(r, "poke", 0, BOOT, 0x200);
	reopen(r); /* its writer has died */
	assert_true(vp_ledger_is_open(r->ledger, r->process));
	assert_int_equal(count_unfinished(r, BOOT + 1), 0);
	assert_int_equal(unfinished(r, BOOT, &list), 1);
	assert_int_equal(list[0].record.sites[0].addr.v, 0x200);
	assert_int_equal(list[0].record.id, 2);
	assert_int_equal(vp_ledger_end_of(r->ledger, &list[0], "abandoned", "why", NULL), 0);
	vp_ledger_batches_free(list, 1);
	reopen(r);
	assert_false(vp_ledger_is_open(r->ledger, r->process));
	assert_int_equal(count_unfinished(r, BOOT), 0);
	assert_int_equal(standing(r, BOOT), 1);
	assert_int_equal(with_fate(r, BOOT, VP_FATE_ABANDONED), 2);
	assert_int_equal(vp_ledger_next_id(r->ledger), 3);
}

/* Two clones have one UUID, and so one ledger: what is done to one was not done to the other. */
static void test_clones(void **state)
{
	struct ledger_rig *r = *state;
	struct vp_process us, init;

	assert_true(vp_process_find(getpid(), &us) && vp_process_find(1, &init));
	strcpy(r->process, init.text);
	applied(r, "poke", 1, 0x100);
	begin(r, "poke", 0, BOOT, 0x200); /* in hand */
	strcpy(r->process, us.text);
	reopen(r);
	assert_int_equal(standing(r, BOOT), 0);
	assert_int_equal(with_fate(r, BOOT, VP_FATE_ELSEWHERE), 1);
	assert_int_equal(count_unfinished(r, BOOT), 0); /* its process lives: leave it alone */
	assert_false(vp_ledger_is_open(r->ledger, us.text));
	applied(r, "poke", 3, 0x300);
	applied(r, "revert", 1, 0x100); /* in the clone it stood, too */
	strcpy(r->process, init.text);
	assert_int_equal(standing(r, BOOT), 1); /* and here it does still */
	assert_int_equal(count_unfinished(r, BOOT), 1);
	assert_int_equal(vp_ledger_end(r->ledger, "failed", 0, NULL, NULL), 0);
}

/* The name of a process with our number that began @later ticks after us. */
static void name_process(struct ledger_rig *r, long long later)
{
	struct vp_process us;
	const char *rest;

	assert_true(vp_process_find(getpid(), &us));
	rest = strchr(strchr(us.text, '-') + 1, '-');
	snprintf(r->process, sizeof(r->process), "%d-%lld%s", (int)getpid(),
		 (long long)us.start + later, rest);
}

/* A VM that was saved and restored is another process; a dead one's deeds of later are not its. */
static void test_former_life(void **state)
{
	struct ledger_rig *r = *state;

	name_process(r, -1); /* dead: that number is ours now */
	applied(r, "poke", 1, 0x100);
	begin(r, "poke", 0, BOOT, 0x200);
	name_process(r, 100000000); /* begins in a while */
	reopen(r);
	assert_int_equal(standing(r, BOOT), 1);
	assert_int_equal(count_unfinished(r, BOOT), 1);
	name_process(r, -1000); /* it ran already */
	assert_int_equal(standing(r, BOOT), 0);
	assert_int_equal(count_unfinished(r, BOOT), 0);
}

/* A cut line is dropped, and the next one does not stick to it. */
static void test_cut(void **state)
{
	struct ledger_rig *r = *state;
	char *text;

	applied(r, "poke", 1, 0x100);
	append_text(r, "{\"seq\": 3, \"event\": \"beg");
	reopen(r);
	assert_null(vp_ledger_trouble(r->ledger));
	text = file_text(r->path); /* who only looks changes nothing */
	assert_non_null(strstr(text, "\"beg"));
	free(text);
	applied(r, "poke", 2, 0x200);
	reopen(r);
	assert_int_equal(standing(r, BOOT), 12);
}

/* Others can be read, nothing can be written; until it is put aside, and nothing is lost. */
static void damage(struct ledger_rig *r, const char *line)
{
	struct vp_err err = { "" };
	char *name = NULL, *text;
	json_t *lines;

	applied(r, "poke", 1, 0x100);
	append_text(r, line);
	append_text(r, "{\"seq\": 9, \"event\": \"continued\", \"id\": 6}\n");
	reopen(r);
	assert_true(vp_ledger_is_damaged(r->ledger));
	assert_non_null(strstr(vp_ledger_trouble(r->ledger), "line 3"));
	assert_non_null(strstr(vp_ledger_trouble(r->ledger), "--put-aside"));
	assert_int_equal(standing(r, BOOT), 1);
	assert_int_equal(vp_ledger_end(r->ledger, "failed", 0, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "line 3"));
	assert_int_equal(vp_ledger_put_aside(r->ledger, &name, &err), 0);
	assert_string_equal(name + strlen(r->path), ".damaged-1");
	assert_null(vp_ledger_trouble(r->ledger));
	assert_int_equal(vp_ledger_put_aside(r->ledger, NULL, &err), -EINVAL);
	reopen(r);
	assert_null(vp_ledger_trouble(r->ledger));
	assert_int_equal(standing(r, BOOT), 1);
	applied(r, "poke", 7, 0x200);
	text = file_text(name); /* as it was */
	assert_non_null(strstr(text, line));
	free(text);
	lines = vp_ledger_history(r->ledger, NULL);
	assert_int_equal(json_array_size(lines), 7);
	assert_non_null(json_object_get(json_array_get(lines, 0), "damaged"));
	json_decref(lines);
	assert_int_equal(unlink(name), 0);
	free(name);
}

static void test_damaged(void **state)
{
	damage(*state, "no JSON\n");
}

/* JSON, and nonsense: a site that is none, an event of a later version, no number. */
static void test_nonsense(void **state)
{
	damage(*state, "{\"seq\": 3, \"event\": \"begin\", \"boot\": \"0x0\", \"sites\": "
		       "[{\"addr\": \"0x1\", \"old\": \"zz\", \"new\": 4}]}\n");
}

static void test_later_version(void **state)
{
	damage(*state, "{\"seq\": 3, \"event\": \"teleported\"}\n");
}

static void test_no_number(void **state)
{
	damage(*state, "{\"seq\": [], \"event\": \"failed\"}\n");
}

/* Who only looks needs no lock, and writes nothing. */
static void test_to_look(void **state)
{
	struct ledger_rig *r = *state, second = *r;
	struct vp_err err = { "" };

	applied(r, "poke", 1, 0x100);
	assert_int_equal(vp_ledger_open_to_look(r->path, &second.ledger, &err), 0);
	assert_int_equal(standing(&second, BOOT), 1);
	assert_int_equal(vp_ledger_end(second.ledger, "failed", 0, NULL, &err), -EROFS);
	vp_ledger_close(second.ledger);
	assert_int_equal(vp_ledger_open_to_look("/proc/nowhere/x", &second.ledger, &err), -ENOENT);
}

static void test_one_at_a_time(void **state)
{
	struct ledger_rig *r = *state;
	struct vp_ledger *second;
	struct vp_err err = { "" };
	struct stat st;

	assert_int_equal(vp_ledger_open(r->path, 0, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another vmpoke"));
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_no_room(void **state)
{
	struct vp_ledger *l;
	struct vp_err err = { "" };

	(void)state;
	assert_int_equal(vp_ledger_open("/proc/nowhere/x.jsonl", 0, &l, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, ledger_rig_setup, ledger_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_word),      T(test_comes_back),
		T(test_what_stands),   T(test_unfinished),
		T(test_clones),	       T(test_former_life),
		T(test_cut),	       T(test_damaged),
		T(test_nonsense),      T(test_later_version),
		T(test_no_number),     T(test_to_look),
		T(test_one_at_a_time), cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
