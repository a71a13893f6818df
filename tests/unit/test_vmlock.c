/* SPDX-License-Identifier: Apache-2.0 */
/* Locks and marks between processes. */
#include "unit.h"

#include "target/vmlock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[40];

static int setup(void **state)
{
	char base[] = "/tmp/vmpoke-lock-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(base));
	snprintf(dir, sizeof(dir), "%s/state", base); /* not there so far */
	return 0;
}

static int teardown(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/key.lock", dir);
	unlink(path);
	rmdir(dir);
	*strrchr(dir, '/') = 0;
	return rmdir(dir);
}

static struct vp_vmlock *open_lock(void)
{
	struct vp_vmlock *l = NULL;
	struct vp_err err = { "" };

	if (vp_vmlock_open(dir, "key", &l, &err))
		fail_msg("%s", err.text);
	return l;
}

static void test_nests(void **state)
{
	struct vp_vmlock *a = open_lock(), *b = open_lock();
	struct vp_err err;
	struct stat st;

	(void)state;
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(vp_vmlock_take(a, 0, &err), 0);
	assert_int_equal(vp_vmlock_take(a, 0, &err), 0);
	assert_int_equal(vp_vmlock_take(b, 20, &err), -ETIMEDOUT);
	vp_vmlock_drop(a);
	assert_int_equal(vp_vmlock_take(b, 0, &err), -ETIMEDOUT);
	vp_vmlock_drop(a);
	assert_int_equal(vp_vmlock_take(b, 0, &err), 0);
	vp_vmlock_close(b); /* drops it */
	assert_int_equal(vp_vmlock_take(a, 0, &err), 0);
	vp_vmlock_close(a);
	vp_vmlock_close(NULL);
}

static void test_marks(void **state)
{
	struct vp_vmlock *l = open_lock();
	struct vp_err err;

	(void)state;
	assert_int_equal(vp_vmlock_interrupted(l), 0);
	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_int_equal(vp_vmlock_mark(l, &err), 0);
	assert_int_equal(vp_vmlock_interrupted(l), 0); /* our own is none */
	vp_vmlock_unmark(l);
	vp_vmlock_close(l);
	l = open_lock();
	assert_int_equal(vp_vmlock_interrupted(l), 0);
	vp_vmlock_close(l);
}

/* A process that is killed: its lock is gone, its mark stays until somebody takes it over. */
static void test_killed(void **state)
{
	struct vp_vmlock *l;
	struct vp_err err;
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid) {
		l = open_lock();
		if (!vp_vmlock_take(l, 0, NULL) && !vp_vmlock_mark(l, NULL))
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	l = open_lock();
	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_int_equal(vp_vmlock_interrupted(l), pid);
	vp_vmlock_unmark(l); /* not ours: stays */
	assert_int_equal(vp_vmlock_interrupted(l), pid);
	assert_int_equal(vp_vmlock_mark(l, &err), 0);
	vp_vmlock_unmark(l);
	assert_int_equal(vp_vmlock_interrupted(l), 0);
	vp_vmlock_close(l);
}

/* A mark that is no number is a mark. */
static void test_garbage(void **state)
{
	struct vp_vmlock *l = open_lock();
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/key.lock", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "\xff\xff", 2), 2);
	close(fd);
	assert_int_equal(vp_vmlock_interrupted(l), -1);
	vp_vmlock_close(l);
}

static void test_folder(void **state)
{
	struct vp_vmlock *l = open_lock();
	struct vp_err err;
	char path[64];

	(void)state;
	vp_vmlock_close(l);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(vp_vmlock_open(dir, "key", &l, &err), -EACCES);
	assert_non_null(strstr(err.text, "not ours alone"));
	assert_int_equal(chmod(dir, 0700), 0);
	assert_int_equal(vp_vmlock_open("/nowhere/at/all", "key", &l, &err), -ENOENT);
	/* Not through a link that somebody laid there. */
	snprintf(path, sizeof(path), "%s/key.lock", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(vp_vmlock_open(dir, "key", &l, &err), -ELOOP);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nests),   TEST(test_marks),  TEST(test_killed),
		TEST(test_garbage), TEST(test_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
