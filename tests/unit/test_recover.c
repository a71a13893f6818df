/* SPDX-License-Identifier: Apache-2.0 */
/* A vmpoke died in the middle of a batch; or its ledger is damaged, locked, or has no room. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_rig.h"
#include "unit.h"

static void test_died_after_the_last_write(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_poke(r, 1, "now", "new");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, B), NOP5, 5);
}

static void test_died_before_the_first(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, A), NOP5, 5);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_poke(r, 0, "", "");
}

static void test_died_in_between(void **state)
{
	struct rig *r = *state;
	struct vp_err err = { "" };

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), NOP5, 4); /* the last byte is new, and equal */
	assert_int_equal(vp_control_check(r->control, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "vmpoke recover"));
	assert_memory_equal(fake_at(r->w->fake, A), JMP5, 5);
	assert_int_equal(recover(r, NULL, 0).sites, 2);
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	assert_memory_equal(fake_at(r->w->fake, B), NOP5, 5);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	assert_null(vp_control_attention(r->control));
	assert_int_equal(recover(r, NULL, 0).sites, 0);
	expect_poke(r, 0, "", "");
}

/* Half an instruction is not somebody else's. */
static void test_died_in_an_instruction(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), NOP5, 2);
	assert_int_equal(vp_control_check(r->control, NULL), -EUCLEAN);
	assert_int_equal(recover(r, NULL, 0).sites, 2);
	assert_memory_equal(fake_at(r->w->fake, B), NOP5, 5);
}

/* Looking works; writing does not. */
static void expect_to_look_only(struct rig *r, int code, const char *why)
{
	assert_non_null(strstr(vp_control_attention(r->control), why));
	succeeds(r, "read-memory", "{\"addr\": \"place_a\", \"len\": 5}");
	succeeds(r, "resolve-symbol", "{\"addr\": \"place_a\"}");
	succeeds(r, "query-registers", "{}");
	succeeds(r, "query-symbols", "{}");
	succeeds(r, "query-pokes", "{}");
	succeeds(r, "query-ledger", "{}");
	fails(r, "poke", POKE("place_a"), code, why);
	fails(r, "revert", "{}", code, why);
	fails(r, "key-set", "{\"key\": \"place_a\", \"on\": true}", code, why);
}

static void expect_last_line(struct rig *r, const char *key, const char *value)
{
	struct vp_err err;
	int code;
	json_t *lines = call(r, "query-ledger", "{}", &code, &err);
	const json_t *last = json_array_get(lines, json_array_size(lines) - 1);

	assert_string_equal(json_string_value(json_object_get(last, key)), value);
	assert_int_equal(json_integer_value(json_object_get(last, "uid")), getuid());
	json_decref(lines);
}

/* Somebody else wrote there since: a person looks, and ends it. */
static void test_abandon(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), "\x90\x90\x90\x90\x90", 5);
	assert_int_equal(vp_control_check(r->control, NULL), -EUCLEAN);
	expect_to_look_only(r, -EUCLEAN, "--abandon 1");
	recover(r, NULL, -ESTALE);
	recover(r, &(struct vp_recover){ .abandon = 2 }, -ESTALE);
	assert_memory_equal(fake_at(r->w->fake, A), JMP5, 5);
	assert_int_equal(recover(r, &(struct vp_recover){ .abandon = 1 }, 0).abandoned, 1);
	expect_last_line(r, "event", "abandoned");
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	recover(r, &(struct vp_recover){ .abandon = 1 }, -ENOENT);
	expect_poke(r, 1, "fate", "abandoned"); /* the other half stands, and is shown */
	fails(r, "revert", "{}", -ENOENT, "by its number");
	fails(r, "revert", "{\"id\": 1}", -ESTALE, "");
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	succeeds(r, "revert", "{\"id\": 1}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	expect_poke(r, 0, "", "");
}

/* What can be put right is, and not abandoned. */
static void test_abandon_what_is_well(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	recover(r, &(struct vp_recover){ .abandon = 1 }, -EINVAL);
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_poke(r, 0, "", "");
}

static void test_page_is_gone(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	fake_unmap(r->w->fake, A);
	assert_int_equal(vp_control_check(r->control, NULL), -EUCLEAN);
	assert_non_null(strstr(vp_control_attention(r->control), "--abandon 1"));
	succeeds(r, "query-registers", "{}");
	succeeds(r, "query-pokes", "{}");
	recover(r, NULL, -ESTALE);
	recover(r, &(struct vp_recover){ .abandon = 1 }, 0);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
}

/* --- a ledger in trouble ---------------------------------------------------------- */

static void test_damaged_ledger(void **state)
{
	struct rig *r = *state;
	struct vp_recovered done;
	FILE *f;

	succeeds(r, "poke", POKE("place_a"));
	f = fopen(r->path, "a");
	fputs("{\"seq\": 3,\n", f);
	fclose(f);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_to_look_only(r, -EBADMSG, "line 3");
	expect_poke(r, 1, "now", "new");
	recover(r, NULL, -EBADMSG);
	done = recover(r, &(struct vp_recover){ .put_aside = true }, 0);
	assert_string_equal(done.aside + strlen(r->path), ".damaged-1");
	expect_last_line(r, "event", "put-aside");
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	assert_int_equal(unlink(done.aside), 0);
}

/* Another vmpoke is at work, for long: what is there can be looked at. */
static void test_locked_ledger(void **state)
{
	struct rig *r = *state;
	struct vp_ledger *other;

	succeeds(r, "poke", POKE("place_a"));
	vp_control_free(r->control);
	r->control = NULL;
	assert_int_equal(vp_ledger_open(r->path, 0, &other, NULL), 0);
	open_control(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	expect_to_look_only(r, -EBUSY, "another vmpoke");
	expect_poke(r, 1, "now", "new");
	recover(r, NULL, -EBUSY);
	vp_ledger_close(other);
}

static void set_file_limit(rlim_t bytes)
{
	const struct rlimit limit = { bytes, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full: the bytes are put right, the VM may go on, and the next one writes it down. */
static void recover_without_space(struct rig *r)
{
	struct vp_recovered done;
	struct stat st;

	assert_int_equal(stat(r->path, &st), 0);
	set_file_limit((rlim_t)st.st_size);
	done = recover(r, NULL, 0);
	assert_int_equal(done.unwritten, -EFBIG);
	assert_non_null(strstr(done.why.text, "cannot be written"));
	assert_memory_equal(fake_at(r->w->fake, A), NOP5, 5);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL),
			 -EFBIG); /* to look, that is no matter */
	succeeds(r, "query-pokes", "{}");
	fails(r, "poke", POKE("place_b"), -EFBIG, "cannot be written");
	set_file_limit(RLIM_INFINITY);
	assert_int_equal(recover(r, NULL, 0).unwritten, 0);
	another_process(r);
	assert_int_equal(vp_control_check(r->control, NULL), 0);
	succeeds(r, "poke", POKE("place_b"));
}

static void test_no_space(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	recover_without_space(r);
}

static void test_no_space_nothing_written(void **state)
{
	struct rig *r = *state;

	poke_and_die(r);
	memcpy(fake_at(r->w->fake, A), NOP5, 5);
	memcpy(fake_at(r->w->fake, B), NOP5, 5);
	recover_without_space(r);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, control_rig_setup, control_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_died_after_the_last_write),
		T(test_died_before_the_first),
		T(test_died_in_between),
		T(test_died_in_an_instruction),
		T(test_abandon),
		T(test_abandon_what_is_well),
		T(test_page_is_gone),
		T(test_damaged_ledger),
		T(test_locked_ledger),
		T(test_no_space),
		T(test_no_space_nothing_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
