/* SPDX-License-Identifier: Apache-2.0 */
/* Pokes into a Linux kernel's text through the commands: owners, conditions, the ledger. */
#include "linux_control.h"
#include "unit.h"

static struct linux_guest *the_guest; /* for the hooks */

static int setup(void **state)
{
	int rc = linux_control_setup(state);

	the_guest = rc ? NULL : ((struct linux_control *)*state)->g;
	return rc;
}

static json_t *site(uint64_t addr, const char *old_hex, const char *new_hex)
{
	return json_pack("{s:o, s:s, s:s}", "addr",
			 json_sprintf("0x%llx", (unsigned long long)addr), "old", old_hex, "new",
			 new_hex);
}

#define NOP "0f1f440000"
#define JMP "e9fbffffff" /* to itself */

static json_t *entry(struct linux_control *r, uint32_t i)
{
	return site(r->g->text + LG_ENTRY(i), NOP, JMP);
}

static uint64_t flags(struct linux_control *r, uint32_t i)
{
	return lg_get(r->g, LG_RECORD(i) + 8, 8);
}

/* The flag is set with the poke, known to the ledger, and cleared by another process's revert. */
static void test_entry(void **state)
{
	struct linux_control *r = *state;
	struct vp_err err;
	json_t *ret;

	json_decref(linux_control_call(
		r, "poke", json_pack("{s:[o,o]}", "sites", entry(r, 0), entry(r, 5)), 0, &err));
	assert_int_equal(flags(r, 0), LG_DISABLED);
	assert_int_equal(flags(r, 5), LG_DISABLED);
	assert_int_equal(flags(r, 1), 0);
	linux_control_again(r);
	ret = linux_control_call(r, "query-pokes", json_object(), 0, &err);
	assert_int_equal(json_array_size(ret), 1);
	json_decref(ret);
	json_decref(linux_control_call(r, "revert", json_object(), 0, &err));
	assert_int_equal(flags(r, 0), 0);
	assert_int_equal(flags(r, 5), 0);
	assert_memory_equal(lg_image(r->g, LG_ENTRY(5)), "\x0f\x1f\x44\x00\x00", 5);
}

static void test_int3(void **state)
{
	struct linux_control *r = *state;
	struct vp_err err;

	linux_control_call(r, "poke",
			   json_pack("{s:[o], s:s}", "sites", entry(r, 0), "strategy", "int3"),
			   -EINVAL, &err);
	assert_non_null(strstr(err.text, "use --strategy stop"));
	assert_int_equal(flags(r, 0), 0);
}

static void test_force(void **state)
{
	struct linux_control *r = *state;
	json_t *nop = site(r->g->text + LG_SITE(0), NOP, "0f1f440001"), *ret, *line;
	json_t *wrong = site(r->g->text + LG_SITE(0), "b811223344", "0f1f440001");
	struct vp_err err;

	linux_control_call(r, "poke", json_pack("{s:[O]}", "sites", nop), -EBUSY, &err);
	assert_non_null(strstr(err.text, "static key key_off"));
	linux_control_call(r, "poke", json_pack("{s:[o]}", "sites", wrong), -ESTALE, &err);
	assert_non_null(strstr(err.text, "not the old bytes"));
	ret = linux_control_call(r, "query-ledger", json_object(), 0, &err);
	assert_int_equal(json_array_size(ret), 0);
	json_decref(ret);
	ret = linux_control_call(r, "poke", json_pack("{s:[o], s:b}", "sites", nop, "force", 1), 0,
				 &err);
	assert_non_null(strstr(json_string_value(json_object_get(ret, "forced")), "key_off"));
	json_decref(ret);
	ret = linux_control_call(r, "query-ledger", json_object(), 0, &err);
	line = json_array_get(ret, 0);
	assert_true(json_is_true(json_object_get(line, "force")));
	assert_non_null(strstr(json_string_value(json_object_get(line, "forced")), "key_off"));
	json_decref(ret);
	linux_control_again(r);
	json_decref(linux_control_call(r, "revert", json_object(), 0, &err));
}

/* --- waiting ---------------------------------------------------------------------- */

static unsigned int reads_left;

static void tracer_stops(struct linux_guest *g)
{
	if (reads_left && !--reads_left)
		lg_put(g, LG_FTRACE_OPS, g->text + LG_FTRACE_END, 8);
}

static void test_waits(void **state)
{
	struct linux_control *r = *state;
	struct vp_err err;

	lg_put(r->g, LG_FTRACE_OPS, r->g->text + 0x700000, 8);
	linux_control_call(r, "poke",
			   json_pack("{s:[o], s:i}", "sites", entry(r, 0), "timeout", 30), -EAGAIN,
			   &err);
	assert_non_null(strstr(err.text, "ftrace is in use"));
	reads_left = 500;
	r->g->on_read = tracer_stops;
	json_decref(linux_control_call(
		r, "poke", json_pack("{s:[o], s:i}", "sites", entry(r, 0), "timeout", 60000), 0,
		&err));
	assert_int_equal(reads_left, 0);
	assert_int_equal(flags(r, 0), LG_DISABLED);

	/* The way back waits, too. */
	lg_put(r->g, LG_FTRACE_OPS, r->g->text + 0x700000, 8);
	linux_control_call(r, "revert", json_pack("{s:i}", "timeout", 30), -EAGAIN, &err);
	assert_non_null(strstr(err.text, "ftrace_ops_list"));
	reads_left = 500;
	json_decref(linux_control_call(r, "revert", json_pack("{s:i}", "timeout", 60000), 0, &err));
	assert_int_equal(flags(r, 0), 0);
	r->g->on_read = NULL;
}

/* --- a target that does not answer -------------------------------------------------- */

/*
 * Revert again and again, with another read that fails each time, until none is left to fail. All
 * that is wanted is an error, not a crash; and what was not taken back stands as a whole.
 */
static void revert_with_each_read_failing(struct linux_control *r, int with, bool stays)
{
	struct vp_err err;
	int fd = -1, code = -1;

	for (unsigned int at = 1; code; at++) {
		json_t *args = json_pack("{s:i}", "timeout", 1);

		linux_control_again(r);
		r->g->reads = 0;
		r->g->fail_at = at;
		r->g->fail_with = with;
		r->g->fail_stays = stays;
		json_decref(
			linux_control_command("revert")->fn(r->control, args, &fd, &code, &err));
		json_decref(args);
		r->g->fail_at = 0;
		assert_true(!code || flags(r, 0) == LG_DISABLED);
		assert_true(at < 100000);
	}
	assert_int_equal(flags(r, 0), 0);
	assert_memory_equal(lg_image(r->g, LG_ENTRY(0)), "\x0f\x1f\x44\x00\x00", 5);
}

static void reads_fail(struct linux_control *r, bool sites_are_old)
{
	static const int with[] = { -EAGAIN, -EIO };
	struct vp_err err;

	for (unsigned int i = 0; i < 4; i++) {
		json_decref(linux_control_call(
			r, "poke", json_pack("{s:[o]}", "sites", entry(r, 0)), 0, &err));
		if (sites_are_old)
			memcpy(lg_image(r->g, LG_ENTRY(0)), "\x0f\x1f\x44\x00\x00", 5);
		revert_with_each_read_failing(r, with[i / 2], i % 2);
	}
}

static void test_reads_fail(void **state)
{
	reads_fail(*state, false);
}

/* Only the words are left to be taken back. */
static void test_reads_fail_words(void **state)
{
	reads_fail(*state, true);
}

/* --- a module that goes ------------------------------------------------------------- */

static void alpha_goes(struct linux_control *r)
{
	const uint64_t head = r->g->text + LG_MODULE_LIST;

	lg_set(r->g, head, LG_MODULE(1) + LG_M_LIST, 8);
	lg_set(r->g, LG_MODULE(1) + LG_M_LIST + 8, head, 8);
}

/* With the module its record is freed: what is there then is another's, and nothing waits for it.
 */
static void test_record_is_gone(void **state)
{
	const uint64_t func = LG_MODULES + 0x130;
	struct linux_control *r = *state;
	struct vp_err err;

	memcpy(lg_at(r->g, func), "\x0f\x1f\x44\x00\x00", 5);
	lg_put(r->g, LG_RECORD(8), func, 8);
	lg_put(r->g, LG_PAGE_STRUCTS + 32 + 16, 5, 4);
	json_decref(linux_control_call(
		r, "poke", json_pack("{s:[o,o]}", "sites", entry(r, 0), site(func, NOP, JMP)), 0,
		&err));
	assert_int_equal(flags(r, 8), LG_DISABLED);
	alpha_goes(r);
	lg_put(r->g, LG_PAGE_STRUCTS + 32 + 16, 4, 4);
	lg_put(r->g, LG_RECORD(8), 0x4141414141414141, 8);
	lg_put(r->g, LG_RECORD(8) + 8, 0x4242424242424242, 8);
	linux_control_again(r);
	json_decref(linux_control_call(r, "revert", json_pack("{s:i}", "timeout", 30), 0, &err));
	assert_int_equal(flags(r, 0), 0);
	assert_int_equal(flags(r, 8), 0x4242424242424242);
	assert_memory_equal(lg_image(r->g, LG_ENTRY(0)), "\x0f\x1f\x44\x00\x00", 5);
}

/* A site of the kernel and one of a module, which is unloaded: the kernel's is taken back. */
static void module_goes(struct linux_control *r)
{
	const uint64_t func = LG_MODULES + 0x130;
	uint8_t others[5] = { 0x90, 0x90, 0x90, 0x90, 0x90 };
	struct vp_err err;
	json_t *ret, *sites;

	memcpy(lg_at(r->g, func), "\x0f\x1f\x44\x00\x00", 5);
	json_decref(linux_control_call(
		r, "poke", json_pack("{s:[o,o]}", "sites", entry(r, 0), site(func, NOP, JMP)), 0,
		&err));
	alpha_goes(r);
	memcpy(lg_at(r->g, func), others, 5); /* the memory is another's by now */
	if (!r->lives)
		linux_control_again(r);
	ret = linux_control_call(r, "query-pokes", json_object(), 0, &err);
	sites = json_object_get(json_array_get(ret, 0), "sites");
	assert_string_equal(json_string_value(json_object_get(json_array_get(sites, 0), "now")),
			    "new");
	assert_string_equal(json_string_value(json_object_get(json_array_get(sites, 1), "now")),
			    "gone");
	json_decref(ret);
	ret = linux_control_call(r, "revert", json_object(), 0, &err);
	assert_int_equal(json_integer_value(json_object_get(ret, "gone")), 1);
	assert_int_equal(json_integer_value(json_object_get(ret, "sites")), 1);
	json_decref(ret);
	assert_memory_equal(lg_image(r->g, LG_ENTRY(0)), "\x0f\x1f\x44\x00\x00", 5);
	assert_memory_equal(lg_at(r->g, func), others, 5);
	assert_int_equal(flags(r, 0), 0);
	ret = linux_control_call(r, "query-pokes", json_object(), 0, &err);
	assert_int_equal(json_array_size(ret), 0);
	json_decref(ret);
	linux_control_call(r, "revert", json_object(), -ENOENT, &err);
}

static void test_module_goes(void **state)
{
	module_goes(*state);
}

static void test_module_goes_engine_lives(void **state)
{
	struct linux_control *r = *state;

	r->lives = true;
	linux_control_again(r);
	module_goes(r);
}

/* Nothing is left of it: only the record ends, and nothing stands for ever. */
static void all_gone(struct linux_control *r)
{
	const uint64_t func = LG_MODULES + 0x130;
	struct vp_err err;
	json_t *ret;

	memcpy(lg_at(r->g, func), "\x0f\x1f\x44\x00\x00", 5);
	json_decref(linux_control_call(
		r, "poke", json_pack("{s:[o]}", "sites", site(func, NOP, JMP)), 0, &err));
	alpha_goes(r);
	memcpy(lg_at(r->g, func), "\xc3\xcc\xcc\xcc\xcc", 5);
	if (!r->lives)
		linux_control_again(r);
	json_decref(linux_control_call(r, "revert", json_object(), 0, &err));
	assert_memory_equal(lg_at(r->g, func), "\xc3\xcc\xcc\xcc\xcc", 5);
	ret = linux_control_call(r, "query-pokes", json_object(), 0, &err);
	assert_int_equal(json_array_size(ret), 0);
	json_decref(ret);
}

static void test_all_gone(void **state)
{
	struct linux_control *r = *state;

	all_gone(r);
}

static void test_all_gone_engine_lives(void **state)
{
	struct linux_control *r = *state;

	r->lives = true;
	linux_control_again(r);
	all_gone(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, linux_control_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_entry),
		TEST(test_int3),
		TEST(test_force),
		TEST(test_waits),
		TEST(test_reads_fail),
		TEST(test_reads_fail_words),
		TEST(test_record_is_gone),
		TEST(test_module_goes),
		TEST(test_module_goes_engine_lives),
		TEST(test_all_gone),
		TEST(test_all_gone_engine_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
