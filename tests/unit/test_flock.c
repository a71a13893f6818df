/* SPDX-License-Identifier: Apache-2.0 */
/* Lock files: who has one, and what is said while it is waited for. */
#include "unit.h"

#include "base/tell.h"
#include "target/flock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[40];
static char told[256];
static uint64_t last_done, last_total;

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/vmpoke-flock-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static int open_file(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void test_is_free(void **state)
{
	int fd = open_file();

	(void)state;
	assert_int_equal(vp_flock(fd, 0), 0);
	assert_int_equal(vp_flock(fd, 0), 0); /* ours already */
	close(fd);
}

static void test_holder(void **state)
{
	int a = open_file(), b = open_file();
	char text[160], want[32];

	(void)state;
	assert_int_equal(vp_flock(a, 0), 0);
	assert_int_equal(vp_flock(b, 0), -EWOULDBLOCK);
	vp_flock_holder(b, text, sizeof(text));
	snprintf(want, sizeof(want), "process %d of ", (int)getpid());
	assert_memory_equal(text, want, strlen(want));
	assert_non_null(strstr(text, "test_flock"));
	close(a);
	vp_flock_holder(b, text, sizeof(text));
	assert_string_equal(text, "another process"); /* nobody, by now */
	close(b);
}

static void progress(const char *what, uint64_t done, uint64_t total)
{
	snprintf(told, sizeof(told), "%s", what);
	last_done = done;
	last_total = total;
}

/* A child holds it until we have told that we wait. */
static void test_says_whom_it_waits_for(void **state)
{
	static const struct vp_listener listener = { .progress = progress };
	int ready[2], fd = open_file();
	char want[48], byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		int own = open(path, O_RDWR);

		if (flock(own, LOCK_EX) || write(ready[1], "", 1) != 1)
			_exit(1);
		usleep(50000); /* of those 20 s that are waited for */
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	vp_listen(&listener);
	assert_int_equal(vp_flock(fd, 20000), 0);
	vp_listen(NULL);
	snprintf(want, sizeof(want), "waiting for process %d of ", (int)child);
	assert_memory_equal(told, want, strlen(want));
	assert_int_equal(last_done, 20000); /* over */
	assert_int_equal(last_total, 20000);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	close(ready[1]);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_is_free, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_says_whom_it_waits_for, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
