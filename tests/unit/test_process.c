/* SPDX-License-Identifier: Apache-2.0 */
/* Processes by number and start, and who is at the other end of a socket. */
#include "unit.h"

#include "target/process.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void test_find(void **state)
{
	struct vp_process self, none;
	char other[VP_PROCESS_TEXT + 24], want[32];
	char *at;

	(void)state;
	assert_true(vp_process_find(getpid(), &self));
	snprintf(want, sizeof(want), "%d-%llu-", (int)getpid(), (unsigned long long)self.start);
	assert_memory_equal(self.text, want, strlen(want));
	assert_false(vp_process_gone(self.text));
	assert_true(vp_process_since(self.text) <= time(NULL) + 2);
	assert_true(vp_process_since(self.text) > time(NULL) - 600);
	assert_int_equal(vp_process_since("nonsense"), 0);
	assert_false(vp_process_find(0, &none));
	assert_false(vp_process_find(-1, &none));
	assert_string_equal(none.text, "");

	/* The same number, another start: that one is gone. */
	snprintf(other, sizeof(other), "%d-%llu%s", (int)getpid(),
		 (unsigned long long)self.start + 1, strchr(strchr(self.text, '-') + 1, '-'));
	assert_true(vp_process_gone(other));
	/* Another boot of the host. */
	strcpy(other, self.text);
	at = strchr(strchr(other, '-') + 1, '-') + 1;
	*at = *at == '0' ? '1' : '0';
	assert_true(vp_process_gone(other));
	/* Another namespace: it cannot be known. */
	snprintf(other, sizeof(other), "%s0", self.text);
	assert_false(vp_process_gone(other));
	assert_false(vp_process_gone(""));
	assert_false(vp_process_gone("1-2"));
	assert_false(vp_process_gone("nonsense"));
}

static void test_ended(void **state)
{
	struct vp_process p;
	siginfo_t info;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		pause();
		_exit(0);
	}
	assert_true(vp_process_find(pid, &p));
	assert_false(vp_process_gone(p.text));
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* a zombie now */
	assert_true(vp_process_gone(p.text));
	waitpid(pid, NULL, 0);
	assert_true(vp_process_gone(p.text));
	assert_false(vp_process_find(pid, &p));
}

/* It is the sender who is named, not who made the socket. */
static void test_sender(void **state)
{
	char control[VP_PROCESS_CONTROL], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int pair[2];
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(vp_process_ask(pair[0]), 0);
	pid = fork();
	if (!pid)
		_exit(write(pair[1], "x", 1) != 1);
	assert_int_equal(recvmsg(pair[0], &msg, 0), 1);
	assert_int_equal(vp_process_sender(&msg), pid);
	assert_int_equal(vp_process_listener(pair[0]), getpid());
	assert_int_equal(vp_process_listener(-1), 0);
	waitpid(pid, NULL, 0);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
