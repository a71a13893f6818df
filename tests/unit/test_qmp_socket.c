/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket as a file, and who may be at its ends. */
#include "unit.h"

#include "target/qmp.h"
#include "target/qmp_wire.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_MS 20000u

struct fixture {
	char dir[32], path[48];
	struct vp_qmp_server *server;
	pthread_t thread;
};

static const struct vp_qmp_command commands[] = { { NULL, NULL, VP_QMP_IN_TURN } };

static void *serve(void *arg)
{
	vp_qmp_server_run(arg);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct vp_err err;

	strcpy(f->dir, "/tmp/vmpoke-qmp-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	assert_int_equal(vp_qmp_server_new(f->path, commands, NULL, &f->server, &err), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f->server), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vp_qmp_server_stop(f->server);
	pthread_join(f->thread, NULL);
	vp_qmp_server_free(f->server);
	assert_int_equal(rmdir(f->dir), 0); /* it was left empty */
	free(f);
	return 0;
}

/* Connect and ask something. 0 or -errno. */
static int ask(const char *path, struct vp_err *err)
{
	struct vp_qmp *q;
	int ret = vp_qmp_connect(path, HANG_MS, &q, err);

	if (ret)
		return ret;
	ret = vp_qmp_call(q, "query-commands", json_object(), NULL, NULL, err);
	vp_qmp_close(q);
	return ret;
}

/* The same as another user, in a child; does the text name @part? */
static int ask_as(uid_t uid, const char *path, const char *part)
{
	struct vp_err err = { "" };
	pid_t pid = fork();
	int st;

	if (!pid) {
		int ret = setuid(uid) ? EXIT_FAILURE : -ask(path, &err);

		_exit(strstr(err.text, part) ? ret : 255);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	return WEXITSTATUS(st);
}

static void test_stale_and_live(void **state)
{
	struct fixture *f = *state;
	struct vp_qmp_server *s = NULL;
	struct sockaddr_un addr;
	struct vp_err err = { "" };
	char path[64];
	int fd;

	assert_int_equal(vp_qmp_server_new(f->path, commands, NULL, &s, &err), -EADDRINUSE);
	assert_int_equal(ask(f->path, NULL), 0);

	snprintf(path, sizeof(path), "%s/stale", f->dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(vp_qmp_address(path, &addr, NULL), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(vp_qmp_server_new(path, commands, NULL, &s, &err), 0);
	vp_qmp_server_free(s);
	assert_int_equal(access(path, F_OK), -1);

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(vp_qmp_server_new(path, commands, NULL, &s, &err), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);

	memset(addr.sun_path, 'p', sizeof(addr.sun_path) - 1);
	addr.sun_path[sizeof(addr.sun_path) - 1] = 0;
	assert_int_equal(vp_qmp_server_new("", commands, NULL, &s, &err), -EINVAL);
	assert_int_equal(vp_qmp_connect("/nowhere/at/all", 100, &(struct vp_qmp *){ NULL }, &err),
			 -ENOENT);
}

static void test_wrong_uid(void **state)
{
	struct fixture *f = *state;

	if (geteuid())
		skip();
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(ask_as(65534, f->path, "another user"), EACCES);
	assert_int_equal(chmod(f->path, 0666), 0);
	assert_int_equal(ask_as(65534, f->path, "65534"), EPERM);
	assert_int_equal(ask(f->path, NULL), 0);
}

/* A server of another user may be an impostor: the client does not talk to it. */
static void test_wrong_server_uid(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr;
	struct vp_err err;
	char path[64];
	int s;

	if (geteuid())
		skip();
	assert_int_equal(chmod(f->dir, 0777), 0);
	snprintf(path, sizeof(path), "%s/theirs", f->dir);
	assert_int_equal(vp_qmp_address(path, &addr, NULL), 0);
	assert_int_equal(seteuid(65533), 0); /* the peer's credentials are those of listen() */
	s = vp_qmp_listen(&addr, &err);
	assert_int_equal(seteuid(0), 0);
	assert_true(s >= 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(ask_as(65534, path, "65533"), EPERM);
	close(s);
	unlink(path);
}

static json_t *tell(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)args, (void)fd, (void)code, (void)err;
	return json_pack("{s:s}", "arg", arg ? arg : "none");
}

static const struct vp_qmp_command telling[] = { { "tell", tell, VP_QMP_AT_ONCE },
						 { NULL, NULL, VP_QMP_IN_TURN } };

static void *ask_tell(void *path)
{
	json_t *ret = NULL;
	struct vp_qmp *q;

	if (vp_qmp_connect(path, HANG_MS, &q, NULL))
		return NULL;
	vp_qmp_call(q, "tell", json_object(), &ret, NULL, NULL);
	vp_qmp_close(q);
	return ret;
}

/* Who comes before anybody serves waits, and gets what handlers are given then. */
static void test_early_client(void **state)
{
	struct fixture *f = *state;
	struct vp_qmp_server *s = NULL;
	pthread_t client, server;
	struct vp_err err;
	void *ret = NULL;
	char path[64];

	snprintf(path, sizeof(path), "%s/early", f->dir);
	assert_int_equal(vp_qmp_server_new(path, telling, NULL, &s, &err), 0);
	assert_int_equal(pthread_create(&client, NULL, ask_tell, path), 0);
	vp_qmp_server_set_arg(s, "late");
	assert_int_equal(pthread_create(&server, NULL, serve, s), 0);
	assert_int_equal(pthread_join(client, &ret), 0);
	assert_non_null(ret);
	assert_string_equal(json_string_value(json_object_get(ret, "arg")), "late");
	json_decref(ret);
	vp_qmp_server_stop(s);
	pthread_join(server, NULL);
	vp_qmp_server_free(s);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_stale_and_live),
		TEST(test_early_client),
		TEST(test_wrong_uid),
		TEST(test_wrong_server_uid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
