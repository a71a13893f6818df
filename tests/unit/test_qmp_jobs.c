/* SPDX-License-Identifier: Apache-2.0 */
/* A command that takes long keeps nobody waiting but its own client. */
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp_rig.h"

struct fixture {
	struct qmp_rig rig;
	sem_t begun, released, ended;
	atomic_int calls;
};

static json_t *count(struct fixture *f)
{
	return json_pack("{s:i}", "call", atomic_fetch_add(&f->calls, 1) + 1);
}

/* As long as the test wants. */
static json_t *cmd_linger(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	struct fixture *f = arg;
	json_t *ret;

	(void)args, (void)fd, (void)code, (void)err;
	sem_post(&f->begun);
	sem_wait(&f->released);
	ret = count(f);
	sem_post(&f->ended);
	return ret;
}

static json_t *cmd_count(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	(void)args, (void)fd, (void)code, (void)err;
	return count(arg);
}

static json_t *cmd_who(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err)
{
	uid_t uid;
	pid_t pid;

	(void)arg, (void)args, (void)fd, (void)code, (void)err;
	vp_qmp_server_peer(&uid, &pid);
	return json_pack("{s:i, s:i}", "uid", (int)uid, "pid", (int)pid);
}

static const struct vp_qmp_command commands[] = {
	{ "linger-aside", cmd_linger, VP_QMP_ASIDE },
	{ "linger-in-turn", cmd_linger, VP_QMP_IN_TURN },
	{ "count-in-turn", cmd_count, VP_QMP_IN_TURN },
	{ "count-at-once", cmd_count, VP_QMP_AT_ONCE },
	{ "who-at-once", cmd_who, VP_QMP_AT_ONCE },
	{ "who-in-turn", cmd_who, VP_QMP_IN_TURN },
	{ NULL, NULL, VP_QMP_IN_TURN },
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	sem_init(&f->begun, 0, 0);
	sem_init(&f->released, 0, 0);
	sem_init(&f->ended, 0, 0);
	qmp_rig_start(&f->rig, commands, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qmp_rig_stop(&f->rig);
	free(f);
	return 0;
}

/* --- raw clients --- */

static void put(int fd, const char *command, int id)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "{\"execute\": \"%s\", \"id\": %d}", command, id);

	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* The reply to request @id: a member of what it returns. */
static int answer(int fd, int id, const char *key)
{
	json_t *json = qmp_get(fd);
	int value;

	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "id")), id);
	value = (int)json_integer_value(json_object_get(json_object_get(json, "return"), key));
	json_decref(json);
	return value;
}

static bool has_answer(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* --- tests --- */

static void test_aside(void **state)
{
	struct fixture *f = *state;
	int slow = qmp_dial_ready(&f->rig), slower = qmp_dial_ready(&f->rig),
	    other = qmp_dial_ready(&f->rig);

	put(slow, "linger-aside", 1);
	put(slower, "linger-aside", 2);
	sem_wait(&f->begun);
	sem_wait(&f->begun); /* both at a time */
	put(other, "count-in-turn", 3);
	assert_int_equal(answer(other, 3, "call"), 1);
	put(other, "count-at-once", 4);
	assert_int_equal(answer(other, 4, "call"), 2);
	put(slow, "count-at-once", 5); /* its own next one waits */
	put(other, "count-at-once", 6);
	assert_int_equal(answer(other, 6, "call"), 3);
	assert_false(has_answer(slow));
	sem_post(&f->released);
	sem_post(&f->released);
	assert_true(answer(slow, 1, "call") >= 4);
	assert_true(answer(slower, 2, "call") >= 4);
	assert_true(answer(slow, 5, "call") >= 5);
	close(slow);
	close(slower);
	close(other);
}

static void test_in_turn(void **state)
{
	struct fixture *f = *state;
	int first = qmp_dial_ready(&f->rig), second = qmp_dial_ready(&f->rig),
	    third = qmp_dial_ready(&f->rig), other = qmp_dial_ready(&f->rig);

	put(first, "linger-in-turn", 1);
	sem_wait(&f->begun);
	put(second, "count-in-turn", 2);
	put(other, "count-at-once", 3); /* taken after that of the second, and answered before */
	assert_int_equal(answer(other, 3, "call"), 1);
	put(third, "count-in-turn", 4);
	put(other, "count-at-once", 5);
	assert_int_equal(answer(other, 5, "call"), 2);
	assert_false(has_answer(second));
	sem_post(&f->released);
	assert_int_equal(answer(first, 1, "call"), 3);
	assert_int_equal(answer(second, 2, "call"), 4);
	assert_int_equal(answer(third, 4, "call"), 5);
	close(first);
	close(second);
	close(third);
	close(other);
}

/* Whoever comes into the place of a client that vanished does not get its answer. */
static void test_vanished(void **state)
{
	struct fixture *f = *state;
	int slow = qmp_dial_ready(&f->rig), other, next;
	json_t *event;

	put(slow, "linger-aside", 1);
	sem_wait(&f->begun);
	close(slow);
	other = qmp_dial_ready(&f->rig);
	vp_qmp_server_event(f->rig.server, "NEWS", NULL); /* sending it finds out who is gone */
	event = qmp_get(other);
	assert_non_null(json_object_get(event, "event"));
	json_decref(event);
	next = qmp_dial_ready(&f->rig);
	sem_post(&f->released);
	sem_wait(&f->ended);
	put(next, "count-in-turn", 2);
	assert_int_equal(answer(next, 2, "call"), 2);
	put(next, "count-in-turn", 3);
	assert_int_equal(answer(next, 3, "call"), 3);
	close(next);
	close(other);
}

/* Who stops the server while a command runs: it is finished, and answered. */
static void test_stop(void **state)
{
	struct fixture *f = *state;
	int slow = qmp_dial_ready(&f->rig), late = qmp_dial_ready(&f->rig);

	put(slow, "linger-aside", 1);
	sem_wait(&f->begun);
	vp_qmp_server_stop(f->rig.server);
	put(late, "count-in-turn", 2); /* may be taken so far, and then counts first */
	sem_post(&f->released);
	assert_in_range(answer(slow, 1, "call"), 1, 2);
	close(slow);
	close(late);
}

static void test_who(void **state)
{
	struct fixture *f = *state;
	int fd = qmp_dial_ready(&f->rig);

	put(fd, "who-in-turn", 1);
	assert_int_equal(answer(fd, 1, "pid"), getpid());
	put(fd, "who-at-once", 2);
	assert_int_equal(answer(fd, 2, "uid"), getuid());
	close(fd);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_aside), TEST(test_in_turn), TEST(test_vanished),
		TEST(test_stop),  TEST(test_who),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
