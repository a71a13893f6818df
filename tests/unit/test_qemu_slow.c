/* SPDX-License-Identifier: Apache-2.0 */
/* A way that stops the VM itself, as libvirt's, and is slow; and a stub that cannot be closed. */
#include "qemu_fixture.h"

#include "target/qemu_internal.h"

/* As libvirt's, over QMP: with a pause of its own; and what goes wrong with it. */
enum slow {
	SLOW_PAUSE,   /* done, but late */
	SLOW_STUB,    /* the gdbstub is there, but late */
	BROKEN_PAUSE, /* done, and the way broke off before the answer */
	REFUSED_PAUSE,
	LOST_PAUSE, /* left behind; nothing answers from then on */
	LOST_STUB,
	KEPT_STUB, /* QEMU does not take the gdbstub away */
};

static struct {
	const struct vp_monitor_ops *real;
	struct vp_monitor_ops ops;
	struct fake_qemu *vm;
	enum slow what;
	bool dead;
} slow_way;

static int slow_execute(struct vp_monitor *m, const char *command, json_t *args, int fd,
			json_t **ret, struct vp_err *err)
{
	const char *line = json_string_value(json_object_get(args, "command-line"));
	bool stub = line && !strncmp(line, "gdbserver chardev", 17);
	int rc;

	if (slow_way.dead) {
		json_decref(args);
		return vp_err_set(err, -ENOTCONN, "it did not answer earlier");
	}
	if (line && !strcmp(line, "gdbserver none") && slow_way.what == KEPT_STUB) {
		json_decref(args);
		*ret = json_string("it is in use\r\n");
		return 0;
	}
	rc = slow_way.real->execute(m, command, args, fd, ret, err);
	if (stub && slow_way.what == SLOW_STUB)
		m->slow = true;
	if (!stub || slow_way.what != LOST_STUB)
		return rc;
	slow_way.dead = true;
	json_decref(*ret);
	return vp_err_set(err, -ETIMEDOUT, "it does not answer");
}

static int slow_pause(struct vp_monitor *m, struct vp_err *err)
{
	m->slow = slow_way.what == SLOW_PAUSE;
	if (slow_way.what == REFUSED_PAUSE)
		return vp_err_set(err, -EACCES, "it may not");
	slow_way.dead = slow_way.what == LOST_PAUSE;
	if (slow_way.dead)
		return vp_err_set(err, -ETIMEDOUT, "it does not answer");
	fake_qemu_pause(slow_way.vm);
	return slow_way.what == BROKEN_PAUSE ? vp_err_set(err, -EIO, "it broke off") : 0;
}

static int slow_resume(struct vp_monitor *m, bool again, struct vp_err *err)
{
	(void)again;
	return m->ops->execute(m, "cont", json_object(), -1, NULL, err);
}

static struct vp_qemu *open_slow(struct fixture *f, enum slow what)
{
	struct vp_qemu *q = NULL;
	struct vp_monitor *m;

	if (vp_monitor_qmp_open(f->q->qmp_path, HANG_MS, &m, &f->err))
		fail_msg("%s", f->err.text);
	slow_way.vm = f->q;
	slow_way.what = what;
	slow_way.dead = false;
	slow_way.real = m->ops;
	slow_way.ops = *m->ops;
	slow_way.ops.execute = slow_execute;
	slow_way.ops.pause = slow_pause;
	slow_way.ops.resume = slow_resume;
	m->ops = &slow_way.ops;
	if (vp_qemu_open_monitor(&f->qmp, "fake", m, &q, &f->err))
		fail_msg("%s", f->err.text);
	return q;
}

/* What came late is undone, and the VM runs; what may yet come leaves the mark. */
static void test_slow_way(void **state)
{
	static const struct {
		int code, closed;
		const char *part;
	} wanted[] = {
		[SLOW_PAUSE] = { -ETIMEDOUT, 0, "undone" },
		[SLOW_STUB] = { -ETIMEDOUT, 0, "undone" },
		[BROKEN_PAUSE] = { -EIO, 0, "broke off" },
		[REFUSED_PAUSE] = { -EACCES, 0, "may not" },
		[LOST_PAUSE] = { -ETIMEDOUT, -EIO, "not answer" },
		[LOST_STUB] = { -ETIMEDOUT, -EIO, "not answer" },
	};
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->qmp;
	struct vp_qemu_info info;

	repair.repair = repaired;
	repair.repair_arg = f;
	for (enum slow what = SLOW_PAUSE; what <= LOST_STUB; what++) {
		struct vp_qemu *q = open_slow(f, what);
		struct vp_target *t = vp_qemu_target(q);

		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), wanted[what].code);
		assert_non_null(strstr(f->err.text, wanted[what].part));
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), wanted[what].closed);
		if (!wanted[what].closed) {
			assert_true(runs(f));
			q = open_well(f, &f->qmp);
			assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
			assert_string_equal(info.interrupted, "");
			vp_qemu_close(q, NULL);
			continue;
		}
		assert_non_null(strstr(f->err.text, "vmpoke recover"));
		fake_qemu_pause(f->q); /* now it comes */
		looked_at(f);
		vp_qemu_close(open_well(f, &repair), NULL);
		assert_true(runs(f));
	}
}

/* The VM goes on, but our stub stays: that is said, marked, and put right by `recover`. */
static void test_kept_stub(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->qmp;
	struct vp_qemu *q = open_slow(f, KEPT_STUB);
	struct vp_target *t = vp_qemu_target(q);

	f->q->ram[SITE.v] = 0x90;
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	t->ops->resume(t);
	t->ops->unlock(t);
	assert_true(runs(f));
	assert_int_equal(vp_qemu_close(q, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "it is in use"));
	looked_at(f);
	repair.repair = repaired;
	repair.repair_arg = f;
	assert_int_equal(vp_qemu_close(open_well(f, &repair), &f->err), 0);
	assert_false(f->q->own_stub);
	assert_true(runs(f));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, qemu_setup, qemu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_slow_way),
		TEST(test_kept_stub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
