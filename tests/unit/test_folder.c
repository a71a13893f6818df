/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: all that are missing are made, those that are there stay as they are. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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

/* Times of files are those of the kernel's tick. */
static void wait_for_tick(void)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &begin);
	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (now.tv_nsec == begin.tv_nsec && now.tv_sec == begin.tv_sec);
}

/* A socket in the place of another, often with its inode: not the same file. */
static void test_which_file(void **state)
{
	char dir[] = "/tmp/vmpoke-unit-XXXXXX", path[64], key[VP_FILE_KEY], again[VP_FILE_KEY];
	char earlier[20][VP_FILE_KEY];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	assert_int_equal(vp_file_key(path, key), -ENOENT);
	for (int i = 0; i < 20; i++) {
		wait_for_tick();
		assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
		assert_int_equal(vp_file_key(path, key), 0);
		assert_int_equal(chmod(path, 0666), 0);
		assert_int_equal(vp_file_key(path, again), 0);
		assert_string_equal(key, again);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(earlier[j], key);
		memcpy(earlier[i], key, sizeof(key));
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_made),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_which_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
