/* SPDX-License-Identifier: Apache-2.0 */
/* The commands on hotfixes, where no function of the guest is called: refusals, and what the next
 * one makes of what a killed one has left. */
#include "control/hotfix.h"
#include "hotfix/call.h"
#include "linux_control.h"
#include "unit.h"

static const unsigned int one_two[] = { 1, 2 };
static struct vp_err err;

/* @args is stolen. */
static void run(struct linux_control *r, const char *name, json_t *args, int want, const char *part)
{
	json_decref(linux_control_call(r, name, args, want, &err));
	if (!strstr(err.text, part))
		fail_msg("%s: \"%s\" has no \"%s\"", name, err.text, part);
}

/* --- refusals ------------------------------------------------------------------- */

static void test_refused(void **state)
{
	struct linux_control *r = *state;
	json_t *name = json_pack("{s:s}", "name", "fix");

	run(r, "hotfix-remove", name, -EOPNOTSUPP, "functions of its guest can be called");
	run(r, "hotfix-remove", json_object(), -EINVAL, "");
	run(r, "hotfix-apply", json_pack("{s:s, s:s}", "what", "x", "object", "00"), -ENOEXEC, "");
	run(r, "hotfix-apply", json_pack("{s:s, s:s}", "what", "x", "object", "0"), -EINVAL, "hex");
	run(r, "hotfix-apply", json_pack("{s:s}", "what", "x"), -EINVAL, "");
	run(r, "hotfix-check", json_pack("{s:s, s:s}", "what", "x", "object", "00"), -ENOEXEC, "");
}

/* With a keyring: refused before anything of the object, or of the guest, is looked at. */
static void test_unsigned(void **state)
{
	struct linux_control *r = *state;
	json_t *args = json_pack("{s:s, s:s}", "what", "x", "object", "00");

	r->keyring = "/nonexistent/keyring";
	linux_control_again(r);
	run(r, "hotfix-apply", json_incref(args), -EKEYREJECTED, "x: it is not signed");
	json_object_set_new(args, "force", json_true());
	run(r, "hotfix-apply", json_incref(args), -EKEYREJECTED, "x: it is not signed");
	json_object_set_new(args, "signature", json_string("0a"));
	run(r, "hotfix-apply", json_incref(args), -EKEYREJECTED, "none of minisign");
	json_object_set_new(args, "signature", json_string("0"));
	run(r, "hotfix-apply", args, -EINVAL, "hex");
	/* It is an answer there, but this is no hotfix. */
	run(r, "hotfix-check", json_pack("{s:s, s:s}", "what", "x", "object", "00"), -ENOEXEC, "");
}

/* A batch that is a hotfix's is not reverted while something of it stands. */
static void test_revert(void **state)
{
	struct linux_control *r = *state;
	struct vp_site s = { .addr = VP_GVA(r->g->text + LG_ENTRY(0)), .len = 5 };
	json_t *more = json_pack("{s:{s:s}}", "hotfix", "name", "fix");
	const struct vp_control_batch b = { .sites = &s, .nsites = 1, .stop = true, .more = more };
	const struct vp_write_args w = { .note = "fix 1" };
	json_t *ret;
	int code;

	memcpy(s.old_bytes, "\x0f\x1f\x44\x00\x00", 5);
	memcpy(s.new_bytes, "\xe9\x10\x00\x00\x00", 5);
	ret = vp_control_apply(r->control, "hotfix-apply", &w, &b, &code, &err);
	assert_non_null(ret);
	json_decref(ret);
	json_decref(more);
	run(r, "revert", json_object(), -EBUSY, "hotfix remove TARGET fix");
	memcpy(lg_image(r->g, LG_ENTRY(0)), s.old_bytes, 5);
	run(r, "revert", json_object(), 0, "");
	run(r, "revert", json_object(), -ENOENT, "nothing is applied");
}

static int somebody(void *arg, struct vp_err *why)
{
	++*(int *)arg;
	return vp_err_set(why, -EBUSY, "somebody is inside");
}

/* Who looks in the stop refuses: nothing is written, and the ledger says so. */
static void test_inspect(void **state)
{
	struct linux_control *r = *state;
	struct vp_site s = { .addr = VP_GVA(r->g->text + LG_ENTRY(0)), .len = 5 };
	int asked = 0, code;
	const struct vp_control_batch b = {
		.sites = &s, .nsites = 1, .stop = true, .inspect = somebody, .inspect_arg = &asked
	};
	const struct vp_write_args w = { .note = "fix 1" };

	memcpy(s.old_bytes, "\x0f\x1f\x44\x00\x00", 5);
	memcpy(s.new_bytes, "\xe9\x10\x00\x00\x00", 5);
	assert_null(vp_control_apply(r->control, "hotfix-apply", &w, &b, &code, &err));
	assert_int_equal(code, -ECANCELED);
	assert_int_equal(asked, 1);
	assert_memory_equal(lg_image(r->g, LG_ENTRY(0)), s.old_bytes, 5);
	run(r, "revert", json_object(), -ENOENT, "nothing is applied");
}

/* --- after a kill --------------------------------------------------------------- */

static size_t count_left(struct linux_control *r)
{
	struct vp_operation_left *list;
	size_t n = 99;

	assert_int_equal(vp_operations_left(r->control, &list, &n, &err), 0);
	vp_operations_free(list, n);
	return n;
}

#define ALLOC 0xffffffff81000100ull
#define FREE  0xffffffff81000200ull

/* An operation that has got the memory of the guest's hotfix 1, and is killed. */
static void begin_and_die(struct linux_control *r, const char *command, bool memory)
{
	struct vp_operation op;
	const struct vp_arena_witness *w = &op.witness;

	assert_int_equal(vp_operation_begin(r->control, command,
					    json_pack("{s:{s:s}, s:s, s:s, s:[i,i,i]}", "hotfix",
						      "name", "fix", "alloc", "0xffffffff81000100",
						      "free", "0xffffffff81000200", "sizes", 4096,
						      4096, 0),
					    &op, &err),
			 0);
	assert_int_equal(vp_operation_calls(&op, &err), 0);
	if (memory)
		assert_int_equal(w->got(w->arg, 0, VP_ARENA_TEXT, VP_GVA(LG_HOTFIX(1)), 4096, &err),
				 0);
	linux_control_again(r);
}

static void test_nothing_got(void **state)
{
	struct linux_control *r = *state;

	begin_and_die(r, "hotfix-apply", false);
	assert_int_equal(count_left(r), 1);
	assert_int_equal(vp_control_check(r->control, &err), 0);
	assert_int_equal(count_left(r), 0);
}

static void test_applied(void **state)
{
	struct linux_control *r = *state;

	lg_put_hotfix(r->g, 1, "fix", 1000, one_two, 2);
	lg_redirect(r->g, 1, 1, 0);
	lg_redirect(r->g, 2, 1, 1);
	begin_and_die(r, "hotfix-apply", true);
	assert_int_equal(vp_control_check(r->control, &err), 0);
	assert_int_equal(count_left(r), 0);
	begin_and_die(r, "hotfix-remove", true);
	assert_int_equal(vp_control_check(r->control, &err), 0);
	assert_int_equal(count_left(r), 0);
}

/* Its memory is to be freed, and until then nothing is written. */
static void test_unused(void **state)
{
	struct linux_control *r = *state;
	struct vp_recovered out = { 0 };

	begin_and_die(r, "hotfix-apply", true); /* without a label, even */
	assert_int_equal(vp_control_check(r->control, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "hotfix-apply of fix"));
	lg_put_hotfix(r->g, 1, "fix", 1000, one_two, 2);
	linux_control_again(r);
	assert_int_equal(vp_control_check(r->control, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "vmpoke recover"));
	run(r, "hotfix-remove", json_pack("{s:s}", "name", "fix"), -EUCLEAN, "vmpoke recover");
	assert_int_equal(vp_control_recover_hotfixes(r->control, &out, &err), -EOPNOTSUPP);
	assert_int_equal(count_left(r), 1);
}

static void test_mixed(void **state)
{
	struct linux_control *r = *state;

	lg_put_hotfix(r->g, 1, "fix", 1000, one_two, 2);
	lg_redirect(r->g, 1, 1, 0);
	begin_and_die(r, "hotfix-remove", true);
	assert_int_equal(vp_control_check(r->control, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "in part only"));
	assert_int_equal(count_left(r), 1);
}

static struct vp_operation_left *the_one_left(struct linux_control *r)
{
	struct vp_operation_left *list;
	size_t n = 0;

	assert_int_equal(vp_operations_left(r->control, &list, &n, &err), 0);
	assert_int_equal(n, 1);
	return list;
}

static void came_back(struct linux_control *r, unsigned int nr, uint64_t fn, uint64_t result)
{
	const struct vp_call_recovered call = {
		.found = true, .returned = true, .nr = nr, .fn = VP_GVA(fn), .result = result
	};

	assert_int_equal(vp_control_call_recovered(r->control, &call, &err), 0);
}

/* What the call has given in which it was killed: once, and to the part that was next. */
static void test_call(void **state)
{
	struct linux_control *r = *state;
	struct vp_operation_left *left;

	begin_and_die(r, "hotfix-apply", true);
	came_back(r, 0, ALLOC, LG_HOTFIX(1)); /* that is known */
	left = the_one_left(r);
	assert_int_equal(left->arena.part[VP_ARENA_RODATA].size, 0);
	vp_operations_free(left, 1);
	came_back(r, 1, FREE + 1, 0x1234); /* some other function */
	came_back(r, 3, ALLOC, LG_HOTFIX(1) + 4096);
	came_back(r, 3, ALLOC, LG_HOTFIX(1) + 4096);
	left = the_one_left(r);
	assert_int_equal(left->arena.part[VP_ARENA_TEXT].at.v, LG_HOTFIX(1));
	assert_int_equal(left->arena.part[VP_ARENA_RODATA].at.v, LG_HOTFIX(1) + 4096);
	assert_int_equal(left->arena.part[VP_ARENA_RODATA].size, 4096);
	vp_operations_free(left, 1);
	came_back(r, 9, ALLOC, LG_HOTFIX(0)); /* there is no third part */
	came_back(r, 10, FREE, 0);
	left = the_one_left(r);
	assert_int_equal(left->arena.part[VP_ARENA_TEXT].size, 0);
	assert_int_equal(left->arena.part[VP_ARENA_RODATA].size, 4096);
	assert_int_equal(left->arena.part[VP_ARENA_DATA].size, 0);
	vp_operations_free(left, 1);
}

/* An allocation that failed gave nothing. */
static void test_call_failed(void **state)
{
	struct linux_control *r = *state;
	struct vp_operation_left *left;

	begin_and_die(r, "hotfix-apply", false);
	came_back(r, 0, ALLOC, 0);
	left = the_one_left(r);
	assert_int_equal(left->arena.part[VP_ARENA_TEXT].size, 0);
	vp_operations_free(left, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, linux_control_setup, linux_control_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_refused),     T(test_unsigned),	  T(test_revert), T(test_inspect),
		T(test_nothing_got), T(test_applied),	  T(test_unused), T(test_mixed),
		T(test_call),	     T(test_call_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
