/* SPDX-License-Identifier: Apache-2.0 */
/* The ledgers of two VMs of ours are never one. */
#include <sys/stat.h>
#include <unistd.h>

#include "control/ledger.h"
#include "unit.h"

static char dir[] = "/tmp/vmpoke-unit-XXXXXX";

static int setup(void **state)
{
	char path[64];

	(void)state;
	if (!mkdtemp(dir) || chdir(dir) || mkdir("a", 0700) || mkdir("b", 0700))
		return -1;
	snprintf(path, sizeof(path), "%s/a", dir);
	return symlink(path, "link");
}

static int teardown(void **state)
{
	(void)state;
	return unlink("link") || rmdir("a") || rmdir("b") || chdir("/") || rmdir(dir);
}

static void name(const char *socket, char *out)
{
	struct vp_err err = { "" };

	if (vp_ledger_path_for("/state", socket, out, 256, &err))
		fail_msg("%s: %s", socket, err.text);
	assert_memory_equal(out, "/state/ledger/vm-x-", 19);
	assert_int_equal(strlen(out), 19 + 16 + strlen(".jsonl"));
}

static void test_name(void **state)
{
	char a[256], b[256], same[256], path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/a/x", dir);
	name(path, a);
	snprintf(path, sizeof(path), "%s/b/x", dir);
	name(path, b);
	assert_string_not_equal(a, b);
	name("a/x", same); /* whatever way one takes to it */
	assert_string_equal(a, same);
	name("link/x", same);
	assert_string_equal(a, same);
	name("b/../a//x", same);
	assert_string_equal(a, same);
	assert_int_equal(chdir("a"), 0);
	name("x", same);
	assert_string_equal(a, same);
	assert_int_equal(chdir(".."), 0);
}

static void test_refused(void **state)
{
	struct vp_err err = { "" };
	char out[256];

	(void)state;
	assert_int_equal(vp_ledger_path_for("/state", "nowhere/x", out, sizeof(out), &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "nowhere/x"));
	assert_int_equal(vp_ledger_path_for("/state", "a/", out, sizeof(out), &err), -EINVAL);
	assert_int_equal(vp_ledger_path_for("/state", "a/x", out, 20, &err), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
