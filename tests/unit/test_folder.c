/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: all that are missing are made, those that are there stay as they are. */
#include <sys/stat.h>
#include <unistd.h>

#include "target/folder.h"
#include "unit.h"

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_all_are_made(void **state)
{
	char dir[] = "/tmp/vmpoke-unit-XXXXXX", path[64];

	(void)state;
	umask(0);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/a//b/c/", dir);
	assert_int_equal(vp_folder_make(path, NULL), 0);
	assert_int_equal(vp_folder_make(path, NULL), 0);
	assert_int_equal(mode_of(path), 0700);
	assert_int_equal(mode_of(dir), 0755);
	snprintf(path, sizeof(path), "%s/a/b", dir);
	assert_int_equal(mode_of(path), 0700);
	snprintf(path, sizeof(path), "%s/a/d/file", dir);
	assert_int_equal(vp_folder_make_for(path, NULL), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(vp_folder_sync_for(path, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		static const char *const made[] = { "a/d", "a/b/c", "a/b", "a" };

		snprintf(path, sizeof(path), "%s/%s", dir, made[i]);
		assert_int_equal(rmdir(path), 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void test_errors(void **state)
{
	struct vp_err err = { "" };

	(void)state;
	assert_int_equal(vp_folder_make("/proc/nowhere/at", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
	assert_int_equal(vp_folder_make_for("/dev/null/x/y", &err), -ENOTDIR);
	assert_int_equal(vp_folder_make_for("file", &err), 0); /* the folder that we are in */
	assert_int_equal(vp_folder_sync_for("/nowhere/file", &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_made),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
