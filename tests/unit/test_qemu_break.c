/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints of the qemu target: in a window, and after a vmpoke that was killed in one. */
#include "qemu_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDR  VP_GVA(0xffffffff81000123)
#define ADDR2 VP_GVA(0xffffffff81000456)

static const char kept_text[] = "registers, and more";

static void hit(struct fake_qemu *q)
{
	q->stops_as = "debug";
	fake_qemu_pause(q);
	q->stops_as = NULL;
}

static struct vp_target *stopped(struct fixture *f, struct vp_qemu *q)
{
	struct vp_target *t = vp_qemu_target(q);

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	return t;
}

static void test_window(void **state)
{
	struct fixture *f = *state;
	const struct vp_qemu_config *ways[] = { &f->qmp, &f->gdb };

	for (size_t i = 0; i < 2; i++)
		for (int major = 7; major <= 11; major += 4) {
			struct vp_regs regs = { .rip = 0x77 };
			struct vp_vcpu_state s;
			struct vp_target *t;
			struct vp_qemu *q;

			set_version(f, major, 2);
			q = open_well(f, ways[i]);
			t = stopped(f, q);
			f->q->went_on = hit;
			assert_int_equal(t->ops->breaks->set(t, ADDR, &f->err), 0);
			assert_int_equal(t->ops->breaks->set(t, ADDR2, &f->err), 0);
			assert_int_equal(t->ops->breaks->wait(t, HANG_MS, &f->err), 0);
			assert_false(f->q->running);
			assert_int_equal(t->ops->hold(t, 1, &s, &f->err), 0);
			t->ops->release(t);
			assert_int_equal(t->ops->breaks->set_regs(t, 1, &regs, &f->err), 0);
			assert_int_equal(f->q->regs[1][128], 0x77);
			assert_int_equal(t->ops->breaks->clear(t, ADDR, &f->err), 0);
			f->q->went_on = NULL;
			assert_int_equal(t->ops->breaks->wait(t, 20, &f->err), -ETIMEDOUT);
			assert_int_equal(f->q->nbreaks, 1);
			assert_int_equal(t->ops->held(t, &f->err), 0); /* it was us */
			t->ops->resume(t);
			t->ops->unlock(t);
			assert_int_equal(f->q->nbreaks, 0); /* what is forgotten is cleared */
			assert_int_equal(vp_qemu_close(q, &f->err), 0);
			assert_true(runs(f));
		}
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);
	uint8_t bytes[VP_KEPT_MAX + 1] = { 0 };

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->breaks->set(t, ADDR, &f->err), -EPERM);
	assert_int_equal(t->ops->breaks->wait(t, 1, &f->err), -EPERM);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	for (uint64_t i = 0; i < VP_BREAKS_MAX; i++)
		assert_int_equal(t->ops->breaks->set(t, VP_GVA(ADDR.v + i), &f->err), 0);
	assert_int_equal(t->ops->breaks->set(t, ADDR2, &f->err), -ENOSPC);
	assert_int_equal(t->ops->breaks->keep(t, bytes, VP_KEPT_MAX, &f->err), 0);
	assert_int_equal(t->ops->breaks->keep(t, bytes, VP_KEPT_MAX + 1, &f->err), -EINVAL);
	/* Somebody else's state: it is not let go on. */
	pthread_mutex_lock(&f->q->lock);
	f->q->state = "postmigrate";
	pthread_mutex_unlock(&f->q->lock);
	usleep(20000); /* for as long as no migration takes what was just seen is believed */
	assert_int_equal(t->ops->breaks->wait(t, 1, &f->err), -EBUSY);
	assert_false(f->q->running);
	f->q->state = "paused";
	t->ops->resume(t);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	f->q->migrate = "active";
	assert_int_equal(t->ops->breaks->set(t, ADDR, &f->err), -EBUSY);
	f->q->migrate = NULL;
	t->ops->resume(t);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

/* An owner's `cont` before we let it go on: told, and held again. */
static void test_owner_goes_on(void **state)
{
	struct fixture *f = *state;
	const struct vp_qemu_config *ways[] = { &f->qmp, &f->gdb };

	for (size_t i = 0; i < 2; i++) {
		struct vp_qemu *q = open_well(f, ways[i]);
		struct vp_target *t = stopped(f, q);

		f->q->went_on = hit;
		assert_int_equal(t->ops->breaks->set(t, ADDR, &f->err), 0);
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
		assert_int_equal(t->ops->breaks->wait(t, HANG_MS, &f->err), -EAGAIN);
		assert_int_equal(t->ops->breaks->wait(t, HANG_MS, &f->err), 0);
		f->q->went_on = NULL;
		t->ops->resume(t);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* --- killed ------------------------------------------------------------------------ */

/* In a process of its own: set breakpoints, keep something, then die, or leave. */
static void in_process(const struct vp_qemu_config *cfg, bool leave)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		const struct vp_regs regs = { 0 };
		struct vp_err why = { 0 };
		struct vp_qemu *q;
		struct vp_target *t;
		int rc = vp_qemu_open(cfg, &q, &why);

		if (rc)
			_exit(2);
		t = vp_qemu_target(q);
		rc = t->ops->lock(t, &why) || t->ops->stop(t, HANG_MS, &why) ||
		     t->ops->breaks->set(t, ADDR, &why) || t->ops->breaks->set(t, ADDR2, &why) ||
		     t->ops->breaks->keep(t, kept_text, sizeof(kept_text), &why) ||
		     t->ops->breaks->set_regs(t, 0, &regs, &why);
		if (rc)
			_exit(3);
		if (!leave)
			kill(getpid(), SIGKILL);
		t->ops->breaks->leave(t);
		t->ops->unlock(t);
		_exit(vp_qemu_close(q, &why) ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (leave)
		assert_int_equal(status, 0);
	else
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Its breakpoints are gone, and what it has kept is there. */
static int take_over(void *arg, struct vp_target *t, const char *identity, const char *process,
		     struct vp_err *err)
{
	struct fixture *f = arg;
	char text[VP_KEPT_MAX];
	size_t len;

	(void)identity, (void)process;
	assert_int_equal(f->q->nbreaks, 0);
	assert_int_equal(t->ops->breaks->kept(t, text, 3, &len, err), -EBADMSG);
	assert_int_equal(t->ops->breaks->kept(t, text, sizeof(text), &len, err), 0);
	assert_int_equal(len, sizeof(kept_text));
	assert_string_equal(text, kept_text);
	return 0;
}

static int leave_again(void *arg, struct vp_target *t, const char *identity, const char *process,
		       struct vp_err *err)
{
	take_over(arg, t, identity, process, err);
	assert_int_equal(t->ops->breaks->set(t, ADDR2, err), 0);
	t->ops->breaks->leave(t);
	return vp_err_set(err, -ETIMEDOUT, "not yet");
}

static void recover(struct fixture *f, struct vp_qemu_config way)
{
	struct vp_qemu *q;

	way.repair_arg = f;
	way.repair = leave_again;
	refused(f, &way, -ETIMEDOUT, "not yet");
	assert_true(runs(f));
	assert_int_equal(f->q->nbreaks, 1);
	refused(f, &f->gdb, -EUCLEAN, "vmpoke recover");
	way.repair = take_over;
	q = open_well(f, &way);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
	assert_int_equal(f->q->nbreaks, 0);
}

static void test_killed(void **state)
{
	struct fixture *f = *state;
	const struct {
		const struct vp_qemu_config *killed, *repairs;
	} ways[] = { { &f->qmp, &f->qmp }, { &f->gdb, &f->gdb }, { &f->qmp, &f->gdb } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (int leave = 0; leave < 2; leave++) {
			in_process(ways[i].killed, leave);
			if (leave)
				assert_true(runs(f));
			else
				assert_false(f->q->running);
			assert_int_equal(f->q->nbreaks, 2);
			/* The stub of a killed one can be had by another way when QMP has removed
			 * it. */
			if (ways[i].killed == ways[i].repairs)
				recover(f, *ways[i].repairs);
			else
				recover(f, f->qmp);
			vp_qemu_close(open_well(f, &f->qmp), NULL);
			vp_qemu_close(open_well(f, &f->gdb), NULL);
		}
}

/* A note that was written by nobody of ours. */
static void test_nonsense(void **state)
{
	static const char *const notes[] = { "x", ";1",	  ";zz", "1,2,3,4,5,6,7,8,9;",
					     "1", "1;2;", ",;",	 "1,;" };
	struct fixture *f = *state;
	char path[160], line[256] = "", text[512];
	size_t n;
	FILE *file;

	in_process(&f->qmp, false);
	snprintf(text, sizeof(text), "grep -l '^note' %s/*.mark", f->state_dir);
	file = popen(text, "r");
	assert_non_null(fgets(path, sizeof(path), file));
	pclose(file);
	path[strcspn(path, "\n")] = 0;
	file = fopen(path, "r");
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = 0;
	*strstr(line, "note ") = 0;
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		struct vp_qemu_config repair = f->qmp;

		file = fopen(path, "w");
		fprintf(file, "%snote %s\n", line, notes[i]);
		fclose(file);
		repair.repair = take_over;
		repair.repair_arg = f;
		refused(f, &repair, -EBADMSG, "makes no sense");
		assert_false(f->q->running);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_window, qemu_setup, qemu_teardown),
		cmocka_unit_test_setup_teardown(test_refused, qemu_setup, qemu_teardown),
		cmocka_unit_test_setup_teardown(test_owner_goes_on, qemu_setup, qemu_teardown),
		cmocka_unit_test_setup_teardown(test_killed, qemu_setup, qemu_teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, qemu_setup, qemu_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
