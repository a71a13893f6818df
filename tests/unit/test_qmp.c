/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP server and client against each other and against peers that misbehave. */
#include "qmp_rig.h"

#include "target/qmp_wire.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	struct qmp_rig rig;
	int memfd, calls;
};

static json_t *cmd_echo(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct fixture *f = arg;

	(void)fd, (void)code, (void)err;
	f->calls++;
	return json_deep_copy(args);
}

static json_t *cmd_fail(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)arg, (void)args, (void)fd;
	*code = vp_err_set(err, -ESTALE, "site 3: other bytes\nstand \xff there");
	return NULL;
}

static json_t *cmd_give(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct fixture *f = arg;

	(void)args, (void)code, (void)err;
	*fd = f->memfd;
	return json_object();
}

/* Send many events: more than a client that does not read is allowed to leave waiting. */
static json_t *cmd_burst(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct fixture *f = arg;
	char *pad = calloc(1, 100001);
	int i;

	(void)args, (void)fd, (void)code, (void)err;
	memset(pad, 'x', 100000);
	for (i = 0; i < 8; i++)
		vp_qmp_server_event(f->rig.server, "BURST", json_pack("{s:s}", "pad", pad));
	free(pad);
	return json_object();
}

static const struct vp_qmp_command commands[] = {
	{ "echo", cmd_echo, VP_QMP_IN_TURN }, { "fail", cmd_fail, VP_QMP_IN_TURN },
	{ "give", cmd_give, VP_QMP_IN_TURN }, { "burst", cmd_burst, VP_QMP_AT_ONCE },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->memfd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(write(f->memfd, "guest RAM", 9), 9);
	qmp_rig_start(&f->rig, commands, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qmp_rig_stop(&f->rig);
	close(f->memfd);
	free(f);
	return 0;
}

/* --- raw clients --- */

/* Send all of it, however often the peer hangs up in the middle. */
static void put(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void put_text(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

static void expect_error(int fd, const char *error_class, const char *errno_name)
{
	json_t *j = qmp_get(fd), *e = json_object_get(j, "error");

	assert_non_null(j);
	assert_non_null(e);
	assert_string_equal(json_string_value(json_object_get(e, "class")), error_class);
	assert_string_equal(json_string_value(json_object_get(e, "errno")), errno_name);
	assert_true(json_string_length(json_object_get(e, "desc")) > 0);
	json_decref(j);
}

static void expect_return(int fd)
{
	json_t *j = qmp_get(fd);

	assert_non_null(json_object_get(j, "return"));
	json_decref(j);
}

static void expect_closed(int fd)
{
	assert_null(qmp_get(fd));
	close(fd);
}

/* The server still serves others. */
static void expect_alive(struct fixture *f)
{
	struct vp_qmp *q;
	struct vp_err err = { "" };
	json_t *ret;

	assert_int_equal(vp_qmp_connect(f->rig.path, HANG_MS, &q, &err), 0);
	assert_int_equal(vp_qmp_call(q, "echo", json_pack("{s:s}", "a", "b"), &ret, NULL, &err), 0);
	assert_string_equal(json_string_value(json_object_get(ret, "a")), "b");
	json_decref(ret);
	vp_qmp_close(q);
}

/* --- tests --- */

static void test_dialogue(void **state)
{
	struct fixture *f = *state;
	struct vp_err err = { "" };
	struct vp_qmp *q;
	struct stat st;
	json_t *ret;

	assert_int_equal(stat(f->rig.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(vp_qmp_connect(f->rig.path, HANG_MS, &q, &err), 0);
	assert_int_equal(vp_qmp_call(q, "echo", json_object(), &ret, NULL, &err), 0);
	assert_int_equal(json_object_size(ret), 0);
	json_decref(ret);
	assert_int_equal(vp_qmp_call(q, "query-commands", json_object(), &ret, NULL, &err), 0);
	assert_int_equal(json_array_size(ret), 2 + 4);
	json_decref(ret);

	assert_int_equal(vp_qmp_call(q, "fail", json_object(), &ret, NULL, &err), -ESTALE);
	assert_string_equal(err.text, "site 3: other bytes?stand ? there");
	assert_null(ret);
	assert_int_equal(vp_qmp_call(q, "no-such", json_object(), NULL, NULL, &err), -ENOSYS);
	assert_false(vp_qmp_is_broken(q));
	vp_qmp_close(q);
}

static void test_negotiation(void **state)
{
	struct fixture *f = *state;
	int fd = qmp_dial(&f->rig);
	json_t *j = qmp_get(fd);

	assert_non_null(
		json_object_get(json_object_get(json_object_get(j, "QMP"), "version"), "qemu"));
	json_decref(j);
	put_text(fd, "{\"execute\":\"echo\"}");
	expect_error(fd, "CommandNotFound", "ENOSYS");
	put_text(fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}");
	expect_error(fd, "GenericError", "EINVAL");
	put_text(fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}");
	expect_return(fd);
	put_text(fd, "{\"execute\":\"qmp_capabilities\"}");
	expect_error(fd, "CommandNotFound", "ENOSYS");
	assert_int_equal(f->calls, 0);
	close(fd);
}

static void test_framing(void **state)
{
	static const char slow[] = " {\"execute\": \"echo\", \"arguments\": {\"q\": \"}\\\"{\"}}";
	struct fixture *f = *state;
	static char many[3000 * 40];
	int i, fd = qmp_dial_ready(&f->rig);
	size_t n;
	json_t *j;

	put_text(fd, "{\"execute\":\"echo\",\"id\":1}{\"execute\":\"echo\",\"id\":{\"n\":[2]}}");
	j = qmp_get(fd);
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 1);
	json_decref(j);
	j = qmp_get(fd);
	assert_true(json_is_object(json_object_get(j, "id")));
	json_decref(j);

	for (i = 0; slow[i]; i++) {
		put(fd, slow + i, 1);
		if (i % 7 == 0)
			usleep(1000);
	}
	j = qmp_get(fd);
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "return"), "q")),
			    "}\"{");
	json_decref(j);

	/* Many in one write, read late: each is answered, in order. */
	for (i = 0, n = 0; i < 3000; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n,
				      "{\"execute\":\"echo\",\"id\":%d}\n", i);
	put(fd, many, n);
	for (i = 0; i < 3000; i++) {
		j = qmp_get(fd);
		assert_int_equal(json_integer_value(json_object_get(j, "id")), i);
		json_decref(j);
	}
	close(fd);
}

/* A bad request between matching braces costs one error, not the connection. */
static void test_bad_requests(void **state)
{
	static const char *const bad[] = {
		"{\"execute\" \"echo\"}",
		"{]",
		"{\"execute\":\"echo\",\"execute\":\"echo\"}",
		"{\"execute\":\"echo\",\"extra\":1}",
		"{\"execute\":7}",
		"{}",
		"{\"execute\":\"echo\",\"arguments\":[]}",
		"{\"execute\":\"echo\",\"id\":99999999999999999999}",
		"{\"execute\":\"\xff\"}",
	};
	struct fixture *f = *state;
	int fd = qmp_dial_ready(&f->rig);
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_text(fd, bad[i]);
		expect_error(fd, "GenericError", "EINVAL");
	}
	assert_int_equal(f->calls, 0);
	put_text(fd, "{\"execute\":\"echo\"}");
	expect_return(fd);
	close(fd);
}

static void test_garbage(void **state)
{
	struct fixture *f = *state;
	size_t n = 512u << 10, i;
	char *noise = malloc(n);
	uint64_t seed = 1;
	int fd, other = qmp_dial_ready(&f->rig);

	for (i = 0; i < n; i++)
		noise[i] = (char)unit_random(&seed);
	noise[0] = 'G';
	fd = qmp_dial_ready(&f->rig);
	put(fd, noise, n);
	expect_error(fd, "GenericError", "EPROTO");
	expect_closed(fd);

	/* Garbage that looks like an endless string, before and after the negotiation. */
	memset(noise, 'x', n);
	memcpy(noise, "{\"a", 3);
	fd = qmp_dial(&f->rig);
	json_decref(qmp_get(fd));
	put(fd, noise, n);
	expect_error(fd, "GenericError", "EMSGSIZE");
	expect_closed(fd);
	fd = qmp_dial_ready(&f->rig);
	for (i = 0; i < 40; i++) /* 20 MiB */
		put(fd, noise + (i ? 3 : 0), n - (i ? 3 : 0));
	expect_error(fd, "GenericError", "EMSGSIZE");
	expect_closed(fd);

	memset(noise, '[', 4096);
	noise[0] = '{';
	fd = qmp_dial_ready(&f->rig);
	put(fd, noise, 4096);
	expect_error(fd, "GenericError", "EPROTO");
	expect_closed(fd);

	put_text(other, "{\"execute\":\"echo\"}");
	expect_return(other);
	close(other);
	free(noise);
}

static void test_large_request(void **state)
{
	struct fixture *f = *state;
	size_t n = 4u << 20;
	char *pad = calloc(1, n + 1);
	struct vp_err err = { "" };
	struct vp_qmp *q;
	json_t *ret;

	memset(pad, 'y', n);
	assert_int_equal(vp_qmp_connect(f->rig.path, HANG_MS, &q, &err), 0);
	assert_int_equal(vp_qmp_call(q, "echo", json_pack("{s:s}", "pad", pad), &ret, NULL, &err),
			 0);
	assert_int_equal(json_string_length(json_object_get(ret, "pad")), n);
	json_decref(ret);
	vp_qmp_close(q);
	free(pad);
}

static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	int i, deaf = qmp_dial_ready(&f->rig);
	struct vp_err err = { "" };
	struct vp_qmp *q;
	char buf[4096];
	size_t got = 0;
	ssize_t n;

	assert_int_equal(vp_qmp_connect(f->rig.path, HANG_MS, &q, &err), 0);
	for (i = 0; i < 10; i++) /* 8 MB of events; the caller reads them, the other does not */
		assert_int_equal(vp_qmp_call(q, "burst", json_object(), NULL, NULL, &err), 0);
	while ((n = read(deaf, buf, sizeof(buf))) > 0)
		got += (size_t)n;
	assert_true(got < 3u << 20);
	close(deaf);
	vp_qmp_close(q);
	expect_alive(f);
}

static void test_vanishing(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 200; i++) {
		int fd = i % 2 ? qmp_dial(&f->rig) : qmp_dial_ready(&f->rig);

		put_text(fd, i % 3 ? "{\"execute\":\"burst\"}{\"execute\":\"give\"}" : "{\"exec");
		close(fd);
	}
	expect_alive(f);
}

static void test_too_many(void **state)
{
	struct fixture *f = *state;
	int fds[32], extra;
	size_t i;

	for (i = 0; i < 32; i++)
		fds[i] = qmp_dial_ready(&f->rig);
	extra = qmp_dial(&f->rig);
	expect_error(extra, "GenericError", "EBUSY");
	expect_closed(extra);
	for (i = 0; i < 32; i++)
		close(fds[i]);
	expect_alive(f);
}

static void test_fd(void **state)
{
	struct fixture *f = *state;
	struct vp_err err = { "" };
	struct vp_qmp *q;
	char buf[10] = "";
	int fd, i;

	assert_int_equal(vp_qmp_connect(f->rig.path, HANG_MS, &q, &err), 0);
	for (i = 0; i < 50; i++) {
		assert_int_equal(vp_qmp_call(q, "give", json_object(), NULL, &fd, &err), 0);
		assert_true(fd >= 0);
		assert_int_equal(pread(fd, buf, 9, 0), 9);
		assert_string_equal(buf, "guest RAM");
		close(fd);
		/* A descriptor that nobody asks for is not left behind. */
		assert_int_equal(vp_qmp_call(q, "give", json_object(), NULL, NULL, &err), 0);
		assert_int_equal(vp_qmp_call(q, "echo", json_object(), NULL, &fd, &err), 0);
		assert_int_equal(fd, -1);
	}
	fd = dup(0);
	assert_true(fd < 40);
	close(fd);
	vp_qmp_close(q);
}

/* Several commands at once: each has its answer, and if one fails none has. */
static void test_query(void **state)
{
	const char *const well[] = { "echo", "echo", "echo" };
	const char *const bad[] = { "echo", "fail", "none" };
	struct fixture *f = *state;
	struct vp_err err = { "" };
	json_t *ret[3];
	struct vp_qmp *q;

	assert_int_equal(vp_qmp_connect(f->rig.path, HANG_MS, &q, &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vp_qmp_query(q, bad, 3, ret, &err), -ESTALE);
		assert_non_null(strstr(err.text, "fail: site 3"));
		assert_true(!ret[0] && !ret[1] && !ret[2]);
		assert_int_equal(vp_qmp_query(q, well, 3, ret, &err), 0);
		for (int n = 0; n < 3; n++) {
			assert_true(json_is_object(ret[n]));
			json_decref(ret[n]);
		}
	}
	assert_int_equal(f->calls, 12);
	assert_int_equal(vp_qmp_call(q, "burst", json_object(), NULL, NULL, &err), 0);
	qmp_rig_stop(&f->rig);
	assert_true(vp_qmp_query(q, well, 3, ret, &err) < 0);
	assert_true(vp_qmp_is_broken(q) && !ret[0] && !ret[1] && !ret[2]);
	assert_int_equal(vp_qmp_query(q, well, 3, ret, &err), -ENOTCONN);
	vp_qmp_close(q);
	qmp_rig_start(&f->rig, commands, f);
}

/* A server that is none: the client neither hangs nor grows. */
static void test_bad_server(void **state)
{
	static const struct {
		const char *say;
		int want;
		const char *late; /* what it says when it was asked whether it is a gdbstub */
	} tests[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", -EPROTO, NULL },
		{ "{}", -EPROTO, NULL },
		{ "{\"QMP\":{}}{\"maybe\":1}", -EPROTO, NULL },
		{ "{\"QMP\":{}}", -ETIMEDOUT, NULL },
		{ "", -ETIMEDOUT, NULL },
		{ "", -ETIMEDOUT, "{\"QMP\":{}}" },	 /* busy until then */
		{ "", -EPROTO, "+$PacketSize=1000#f1" }, /* one that may have stopped its VM */
		{ "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\",\"errno\":\"EBUSY\"}}",
		  -EBUSY, NULL },
		{ "{\"error\":7}", -EIO, NULL },
	};
	struct fixture *f = *state;
	struct sockaddr_un addr;
	struct vp_err err;
	char path[64];
	size_t i;
	int s;

	snprintf(path, sizeof(path), "%s/bad", f->rig.dir);
	assert_int_equal(vp_qmp_address(path, &addr, NULL), 0);
	s = vp_qmp_listen(&addr, &err);
	assert_true(s >= 0);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		struct vp_qmp *q = NULL;
		pid_t pid = fork();
		int st;

		if (!pid)
			_exit(-vp_qmp_connect(path, 300, &q, &err));
		struct pollfd p = { .fd = s, .events = POLLIN };
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
		int c = accept(s, NULL, NULL);
		put_text(c, tests[i].say);
		if (tests[i].late) {
			p.fd = c;
			assert_int_equal(poll(&p, 1, HANG_MS), 1);
			put_text(c, tests[i].late);
		}
		assert_int_equal(waitpid(pid, &st, 0), pid);
		assert_true(WIFEXITED(st));
		assert_int_equal(WEXITSTATUS(st), -tests[i].want);
		close(c);
	}
	close(s);
	unlink(path);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_dialogue),	 TEST(test_negotiation), TEST(test_framing),
		TEST(test_bad_requests), TEST(test_garbage),	 TEST(test_large_request),
		TEST(test_slow_reader),	 TEST(test_vanishing),	 TEST(test_too_many),
		TEST(test_fd),		 TEST(test_query),	 TEST(test_bad_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
