/* SPDX-License-Identifier: Apache-2.0 */
/* Locks and marks between processes. */
#include "unit.h"

#include "target/process.h"
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
	snprintf(path, sizeof(path), "%s/key.mark", dir);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
	*strrchr(dir, '/') = 0;
	return rmdir(dir);
}

static struct vp_vmlock *open_of(const char *process, bool own)
{
	struct vp_vmlock *l = NULL;
	struct vp_err err = { "" };

	if (vp_vmlock_open(dir, "key", &l, &err))
		fail_msg("%s", err.text);
	vp_vmlock_of(l, process, own);
	return l;
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

/* A process that lives until it is killed. */
static pid_t start_process(char *text)
{
	struct vp_process p;
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	assert_true(vp_process_find(pid, &p));
	strcpy(text, p.text);
	return pid;
}

static void end_process(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void mark_and_leave(struct vp_vmlock *l)
{
	struct vp_err err;

	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_int_equal(vp_vmlock_mark(l, &err), 0);
	vp_vmlock_close(l);
}

/* The mark of one clone is not that of the other; and it is void when its VM is no more. */
static void test_clones(void **state)
{
	char a[VP_PROCESS_TEXT], b[VP_PROCESS_TEXT], path[160];
	pid_t pid_a = start_process(a), pid_b = start_process(b);
	struct vp_vmlock *l;
	struct vp_err err;

	(void)state;
	mark_and_leave(open_of(a, true));
	l = open_of(b, true);
	assert_int_equal(vp_vmlock_interrupted(l), 0);
	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_int_equal(vp_vmlock_mark(l, &err), 0);
	vp_vmlock_unmark(l);
	vp_vmlock_close(l);
	l = open_of(a, true);
	assert_int_equal(vp_vmlock_interrupted(l), getpid());
	vp_vmlock_close(l);
	end_process(pid_a);
	l = open_of(b, true); /* whoever comes next takes it away */
	snprintf(path, sizeof(path), "%s/key-%s.mark", dir, a);
	assert_int_equal(access(path, F_OK), -1);
	vp_vmlock_close(l);
	end_process(pid_b);
}

/* One file for whatever VM is there: the mark is void when its process is gone. */
static void test_gone(void **state)
{
	char a[VP_PROCESS_TEXT];
	pid_t pid = start_process(a);
	struct vp_vmlock *l;

	(void)state;
	mark_and_leave(open_of(a, false));
	l = open_of("", false);
	assert_int_equal(vp_vmlock_interrupted(l), getpid());
	end_process(pid);
	assert_int_equal(vp_vmlock_interrupted(l), 0);
	vp_vmlock_close(l);
	mark_and_leave(open_of("", false)); /* of nobody knows whom: it stays, and bars all */
	l = open_of("1-2-3-4", true);
	assert_int_equal(vp_vmlock_interrupted(l), getpid());
	vp_vmlock_close(l);
}

/* A mark that says nothing is a mark. */
static void test_garbage(void **state)
{
	static const char *const texts[] = { "\xff\xff", "", "123\n", "vmpoke x\nqemu \n" };
	struct vp_vmlock *l = open_lock();
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/key.mark", dir);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
		close(fd);
		assert_int_equal(vp_vmlock_interrupted(l), -1);
	}
	vp_vmlock_close(l);
}

/* Whoever takes over finds what was noted; and it is gone with the mark. */
static void test_note(void **state)
{
	char longest[VP_NOTE_MAX + 2] = "";
	struct vp_vmlock *l = open_lock();
	struct vp_err err;

	(void)state;
	memset(longest, 'n', VP_NOTE_MAX);
	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_int_equal(vp_vmlock_note(l, "before", &err), 0);
	assert_int_equal(vp_vmlock_mark(l, &err), 0);
	assert_int_equal(vp_vmlock_note(l, longest, &err), 0);
	longest[VP_NOTE_MAX] = 'n';
	assert_int_equal(vp_vmlock_note(l, longest, &err), -EINVAL);
	assert_int_equal(vp_vmlock_note(l, "two\nlines", &err), -EINVAL);
	longest[VP_NOTE_MAX] = 0;
	vp_vmlock_close(l); /* as one that was killed */
	l = open_lock();
	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_string_equal(vp_vmlock_noted(l), "");
	assert_int_equal(vp_vmlock_interrupted(l), getpid());
	assert_string_equal(vp_vmlock_noted(l), longest);
	assert_int_equal(vp_vmlock_mark(l, &err), 0); /* it is carried on */
	vp_vmlock_close(l);
	l = open_lock();
	assert_int_equal(vp_vmlock_take(l, 0, &err), 0);
	assert_int_equal(vp_vmlock_interrupted(l), getpid());
	assert_string_equal(vp_vmlock_noted(l), longest);
	assert_int_equal(vp_vmlock_mark(l, &err), 0);
	vp_vmlock_unmark(l);
	assert_string_equal(vp_vmlock_noted(l), "");
	assert_int_equal(vp_vmlock_interrupted(l), 0);
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
	assert_int_equal(vp_vmlock_open("/proc/nowhere/at/all", "key", &l, &err), -ENOENT);
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
		TEST(test_nests), TEST(test_marks),   TEST(test_killed), TEST(test_clones),
		TEST(test_gone),  TEST(test_garbage), TEST(test_folder), TEST(test_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
