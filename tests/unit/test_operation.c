/* SPDX-License-Identifier: Apache-2.0 */
/* Operations in the ledger: what a process that was killed leaves to the next one. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/operation.h"
#include "control_rig.h"
#include "unit.h"

#define TEXT   0xffffffffc0400000ull
#define RODATA 0xffffffffc0500000ull

static struct vp_err err;

static void begin(struct rig *r, struct vp_operation *op)
{
	assert_int_equal(vp_operation_begin(r->control, "hotfix-apply",
					    json_pack("{s:{s:s}, s:[i,i,i]}", "hotfix", "name",
						      "one", "sizes", 8192, 4096, 0),
					    op, &err),
			 0);
	assert_true(op->seq > 0);
}

static void got(struct vp_operation *op, unsigned int nr, enum vp_arena_kind kind, uint64_t at,
		uint64_t size)
{
	const struct vp_arena_witness *w = &op->witness;

	assert_int_equal(w->got(w->arg, nr, kind, VP_GVA(at), size, &err), 0);
}

static void freed(struct vp_operation *op, unsigned int nr, enum vp_arena_kind kind, uint64_t at)
{
	const struct vp_arena_witness *w = &op->witness;

	assert_int_equal(w->freed(w->arg, nr, kind, VP_GVA(at), &err), 0);
}

/* What is left, seen by another process. */
static size_t left(struct rig *r, struct vp_operation_left **list)
{
	size_t n = 99;

	another_process(r);
	assert_int_equal(vp_operations_left(r->control, list, &n, &err), 0);
	return n;
}

static size_t count_left(struct rig *r)
{
	struct vp_operation_left *list;
	size_t n = left(r, &list);

	vp_operations_free(list, n);
	return n;
}

static void test_done(void **state)
{
	struct rig *r = *state;
	struct vp_operation op;

	begin(r, &op);
	got(&op, 0, VP_ARENA_TEXT, TEXT, 8192);
	assert_int_equal(vp_operation_done(&op, "applied", &err), 0);
	assert_int_equal(op.seq, 0);
	assert_int_equal(count_left(r), 0);
	/* what comes behind it is written nowhere */
	got(&op, 1, VP_ARENA_DATA, TEXT, 4096);
	assert_int_equal(count_left(r), 0);
}

static void test_killed(void **state)
{
	struct rig *r = *state;
	struct vp_operation_left *list;
	struct vp_operation op;

	begin(r, &op);
	assert_int_equal(vp_operation_calls(&op, &err), 0);
	got(&op, 0, VP_ARENA_TEXT, TEXT, 8192);
	got(&op, 3, VP_ARENA_RODATA, RODATA, 4096);
	assert_int_equal(left(r, &list), 1);
	assert_string_equal(json_string_value(json_object_get(list->line, "command")),
			    "hotfix-apply");
	assert_int_equal(list->arena.part[VP_ARENA_TEXT].at.v, TEXT);
	assert_int_equal(list->arena.part[VP_ARENA_TEXT].size, 8192);
	assert_int_equal(list->arena.part[VP_ARENA_RODATA].at.v, RODATA);
	assert_int_equal(list->arena.part[VP_ARENA_DATA].size, 0);
	assert_true(list->had[VP_ARENA_RODATA] && !list->had[VP_ARENA_DATA]);
	assert_int_equal(list->last_nr, 3);

	/* The next one frees it, and is killed in its turn. */
	vp_operation_resume(r->control, list, &op);
	vp_operations_free(list, 1);
	assert_int_equal(vp_operation_calls(&op, &err), 0);
	assert_int_equal(left(r, &list), 1);
	assert_int_equal(list->last_nr, -1);
	vp_operation_resume(r->control, list, &op);
	vp_operations_free(list, 1);
	freed(&op, 3, VP_ARENA_TEXT, TEXT);
	assert_int_equal(left(r, &list), 1);
	assert_int_equal(list->arena.part[VP_ARENA_TEXT].size, 0);
	assert_true(list->had[VP_ARENA_TEXT]);
	assert_int_equal(list->arena.part[VP_ARENA_RODATA].size, 4096);
	assert_int_equal(list->last_nr, 3);
	vp_operation_resume(r->control, list, &op);
	vp_operations_free(list, 1);
	assert_int_equal(vp_operation_done(&op, "freed", &err), 0);
	assert_int_equal(count_left(r), 0);
}

/* Another boot of the guest, or another VM of its name, has none of that memory. */
static void test_not_ours(void **state)
{
	struct rig *r = *state;
	struct vp_operation op;

	begin(r, &op);
	got(&op, 0, VP_ARENA_TEXT, TEXT, 8192);
	r->boot++;
	assert_int_equal(count_left(r), 0);
	r->boot--;
	assert_int_equal(count_left(r), 1);
	begin(r, &op);
	assert_int_equal(count_left(r), 2);
}

/* A batch of one: they end apart from each other. */
static void test_beside_a_batch(void **state)
{
	struct rig *r = *state;
	struct vp_operation op;

	begin(r, &op);
	succeeds(r, "poke", POKE("place_a"));
	assert_int_equal(count_left(r), 1);
	expect_poke(r, 1, "now", "new");
	begin(r, &op);
	assert_int_equal(vp_operation_done(&op, "not applied", &err), 0);
	assert_int_equal(count_left(r), 1);
	expect_poke(r, 1, "now", "new");
	succeeds(r, "revert", "{}");
}

/* A ledger that has grown long is put away: what is unfinished goes with the new one. */
static void test_put_away(void **state)
{
	struct rig *r = *state;
	struct vp_operation_left *list;
	struct vp_operation op;
	struct stat st;
	char path[80];

	begin(r, &op);
	got(&op, 0, VP_ARENA_TEXT, TEXT, 8192);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(vp_operation_calls(&op, &err), 0);
	got(&op, 1, VP_ARENA_RODATA, RODATA, 4096);
	assert_int_equal(vp_operation_begin(r->control, "hotfix-remove", json_object(), &op, &err),
			 0);
	assert_int_equal(vp_operation_done(&op, "over", &err), 0);
	another_process(r);
	assert_int_equal(vp_ledger_rotate(r->control->ledger, 0, &err), 0);
	snprintf(path, sizeof(path), "%s.1", r->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(left(r, &list), 1);
	assert_int_equal(list->arena.part[VP_ARENA_TEXT].at.v, TEXT);
	assert_int_equal(list->arena.part[VP_ARENA_RODATA].at.v, RODATA);
	vp_operations_free(list, 1);
	unlink(path);
}

/* What cannot be written down is not done. */
static void test_no_room(void **state)
{
	struct rig *r = *state;
	struct rlimit limit, none;
	struct vp_operation op;
	struct stat st;

	signal(SIGXFSZ, SIG_IGN);
	begin(r, &op);
	assert_int_equal(stat(r->path, &st), 0);
	getrlimit(RLIMIT_FSIZE, &limit);
	none = limit;
	none.rlim_cur = (rlim_t)st.st_size;
	setrlimit(RLIMIT_FSIZE, &none);
	assert_int_not_equal(op.witness.got(&op, 0, VP_ARENA_TEXT, VP_GVA(TEXT), 8192, &err), 0);
	assert_non_null(strstr(err.text, "cannot be written"));
	setrlimit(RLIMIT_FSIZE, &limit);
	got(&op, 0, VP_ARENA_TEXT, TEXT, 8192);
	assert_int_equal(count_left(r), 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, control_rig_setup, control_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_done),		T(test_killed),	  T(test_not_ours),
		T(test_beside_a_batch), T(test_put_away), T(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
