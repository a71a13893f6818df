/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that runs within a window and is let go on by its monitor, as libvirt's domains are. */
#include "qemu_fixture.h"

#include "target/qemu_internal.h"

#include <unistd.h>

#define ADDR VP_GVA(0xffffffff81000123)

/* A libvirt, over QMP. */
static struct {
	struct vp_monitor_ops ops;
	struct fake_qemu *vm;
	bool by_owner;	  /* it was he who paused it, through this libvirt */
	unsigned int lag; /* so often it has not heard yet that the VM stopped */
	bool refuses;	  /* to let it go on: the lease is somebody else's */
	bool silent;	  /* it does not say how the domain is */
	unsigned int resumes, for_good;
} way;

static int way_pause(struct vp_monitor *m, struct vp_err *err)
{
	(void)m, (void)err;
	pthread_mutex_lock(&way.vm->lock);
	fake_qemu_pause(way.vm);
	pthread_mutex_unlock(&way.vm->lock);
	way.by_owner = true; /* it cannot tell us from him */
	return 0;
}

static int way_resume(struct vp_monitor *m, bool again, struct vp_err *err)
{
	(void)m;
	if (way.refuses)
		return vp_err_set(err, -EREMOTEIO, "the lease is somebody else's");
	pthread_mutex_lock(&way.vm->lock);
	way.by_owner = false;
	way.resumes++;
	way.for_good += !again;
	fake_qemu_cont(way.vm);
	if (way.vm->went_on && again)
		way.vm->went_on(way.vm);
	pthread_mutex_unlock(&way.vm->lock);
	return 0;
}

static int way_seen(struct vp_monitor *m, enum vp_seen *seen, struct vp_err *err)
{
	(void)m;
	if (way.silent)
		return vp_err_set(err, -ETIMEDOUT, "it does not answer");
	pthread_mutex_lock(&way.vm->lock);
	*seen = way.by_owner ? VP_SEEN_PAUSED : VP_SEEN_STOPPED;
	if (way.vm->running || way.lag)
		*seen = VP_SEEN_RUNNING;
	way.lag -= !way.vm->running && way.lag;
	pthread_mutex_unlock(&way.vm->lock);
	return 0;
}

static struct vp_qemu *open_way(struct fixture *f, const struct vp_qemu_config *cfg)
{
	struct vp_qemu *q = NULL;
	struct vp_monitor *m;

	if (vp_monitor_qmp_open(f->q->qmp_path, HANG_MS, &m, &f->err))
		fail_msg("%s", f->err.text);
	way.ops = *m->ops;
	way.ops.pause = way_pause;
	way.ops.resume = way_resume;
	way.ops.seen = way_seen;
	way.vm = f->q;
	way.by_owner = way.refuses = way.silent = false;
	way.lag = way.resumes = way.for_good = 0;
	m->ops = &way.ops;
	if (vp_qemu_open_monitor(cfg, "fake", m, &q, &f->err))
		fail_msg("%s", f->err.text);
	return q;
}

static struct vp_target *stopped(struct fixture *f, struct vp_qemu *q)
{
	struct vp_target *t = vp_qemu_target(q);

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	assert_int_equal(t->ops->breaks->set(t, ADDR, &f->err), 0);
	return t;
}

static int done(struct vp_target *t, struct vp_qemu *q, struct vp_err *err)
{
	t->ops->resume(t);
	t->ops->unlock(t);
	return vp_qemu_close(q, err);
}

static void hit(struct fake_qemu *vm)
{
	vm->stops_as = "debug";
	fake_qemu_pause(vm);
	vm->stops_as = NULL;
}

/* What happens while it is waited for. */
enum later { HIT, PAUSE, PAUSE_CONT_HIT };

static void owner(bool pauses)
{
	pthread_mutex_lock(&way.vm->lock);
	way.by_owner = pauses;
	if (pauses)
		fake_qemu_pause(way.vm);
	else
		fake_qemu_cont(way.vm);
	pthread_mutex_unlock(&way.vm->lock);
}

static void *happen(void *arg)
{
	const enum later *what = arg;
	bool runs = false;

	while (!runs) {
		usleep(10000);
		pthread_mutex_lock(&way.vm->lock);
		runs = way.vm->running;
		pthread_mutex_unlock(&way.vm->lock);
	}
	if (*what != HIT)
		owner(true);
	usleep(60000);
	if (*what == PAUSE)
		return NULL;
	if (*what == PAUSE_CONT_HIT)
		owner(false);
	usleep(30000);
	pthread_mutex_lock(&way.vm->lock);
	hit(way.vm);
	pthread_mutex_unlock(&way.vm->lock);
	return NULL;
}

static int wait_while(struct vp_target *t, enum later what, unsigned int ms, struct vp_err *err)
{
	pthread_t thread;
	int rc;

	assert_int_equal(pthread_create(&thread, NULL, happen, &what), 0);
	rc = t->ops->breaks->wait(t, ms, err);
	pthread_join(thread, NULL);
	return rc;
}

/* Of a QEMU that tells of the stop, and of one that does not. */
static void each(void **state, void (*test)(struct fixture *f))
{
	for (int major = 7; major <= 11; major += 4) {
		set_version(*state, major, 2);
		test(*state);
	}
}

/* It is not the stub that lets it go on, and no byte to it that stops it. */
static void stops_at_breakpoint(struct fixture *f)
{
	struct vp_qemu *q = open_way(f, &f->qmp);
	struct vp_target *t = stopped(f, q);
	unsigned int stops = f->q->stops, conts = f->q->conts;

	f->q->went_on = hit;
	way.lag = 3;
	assert_int_equal(t->ops->breaks->wait(t, HANG_MS, &f->err), 0);
	assert_int_equal(way.resumes, 1);
	f->q->went_on = NULL;
	assert_int_equal(wait_while(t, HIT, HANG_MS, &f->err), 0);
	assert_int_equal(way.resumes, 2);
	assert_false(f->q->running);
	assert_int_equal(f->q->stops, stops + 2);
	assert_int_equal(t->ops->breaks->clear(t, ADDR, &f->err), 0);
	assert_int_equal(t->ops->held(t, &f->err), 0);
	assert_int_equal(f->q->stops, stops + 2);
	assert_int_equal(way.for_good, 0);
	assert_int_equal(done(t, q, &f->err), 0);
	assert_true(runs(f));
	assert_int_equal(way.for_good, 1);
	assert_int_equal(f->q->conts, conts);
	assert_false(f->q->physical);
}

static void test_breakpoint(void **state)
{
	each(state, stops_at_breakpoint);
}

static void reaches_none(struct fixture *f)
{
	struct vp_qemu *q = open_way(f, &f->qmp);
	struct vp_target *t = stopped(f, q);

	assert_int_equal(t->ops->breaks->wait(t, 50, &f->err), -ETIMEDOUT);
	assert_false(f->q->running);
	assert_int_equal(t->ops->held(t, &f->err), 0);
	assert_int_equal(done(t, q, &f->err), 0);
	assert_true(runs(f));
}

static void test_none(void **state)
{
	each(state, reaches_none);
}

/* His pause is his: it is he who ends it. */
static void owner_pauses(struct fixture *f)
{
	struct vp_qemu *q = open_way(f, &f->qmp);
	struct vp_target *t = stopped(f, q);
	struct vp_qemu_info info;

	assert_int_equal(wait_while(t, PAUSE_CONT_HIT, HANG_MS, &f->err), 0);
	assert_int_equal(way.resumes, 1);
	assert_int_equal(wait_while(t, PAUSE, 500, &f->err), -EBUSY);
	assert_non_null(strstr(f->err.text, "not let go on"));
	assert_false(f->q->running);
	assert_int_equal(t->ops->breaks->wait(t, HANG_MS, &f->err), -EBUSY);
	assert_int_equal(way.resumes, 2);
	assert_int_equal(done(t, q, &f->err), 0);
	assert_int_equal(way.resumes, 2);
	assert_false(f->q->running);
	assert_int_equal(f->q->nbreaks, 0);
	owner(false);
	q = open_way(f, &f->qmp);
	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_string_equal(info.interrupted, "");
	vp_qemu_close(q, NULL);
}

static void test_owner(void **state)
{
	each(state, owner_pauses);
}

/* It stays paused, and marked; when that is over, recovery has it go on. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->qmp;
	struct vp_qemu *q = open_way(f, &f->qmp);
	struct vp_target *t = stopped(f, q);

	f->q->ram[SITE.v] = 0x90;
	way.refuses = true;
	assert_int_equal(t->ops->breaks->wait(t, HANG_MS, &f->err), -EREMOTEIO);
	assert_int_equal(done(t, q, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "vmpoke recover"));
	assert_false(f->q->running);
	looked_at(f);
	repair.repair = repaired;
	repair.repair_arg = f;
	assert_int_equal(vp_qemu_close(open_way(f, &repair), &f->err), 0);
	assert_true(runs(f));
	assert_int_equal(way.for_good, 1);
}

/* Who does not answer is no breakpoint that was not reached; nor is the stub asked, which stops it.
 */
static void test_silent(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_way(f, &f->qmp);
	struct vp_target *t = stopped(f, q);
	unsigned int stops = f->q->stops;

	way.silent = true;
	assert_int_equal(t->ops->breaks->wait(t, 50, &f->err), -EIO);
	assert_true(f->q->running);
	assert_int_equal(f->q->stops, stops);
	way.silent = false;
	done(t, q, &f->err);
	assert_true(runs(f));
}

/* It says that it stops, and does not. */
static void test_does_not_stop(void **state)
{
	const struct vp_regs regs = { 0 };
	struct fixture *f = *state;
	struct vp_qemu_config cfg = f->qmp;
	struct vp_target *t;
	struct vp_qemu *q;

	cfg.timeout_ms = 800;
	q = open_way(f, &cfg);
	t = stopped(f, q);
	assert_int_equal(t->ops->breaks->set_regs(t, 0, &regs, &f->err), 0);
	pthread_mutex_lock(&f->q->lock);
	f->q->mute_stub = true;
	pthread_mutex_unlock(&f->q->lock);
	assert_int_equal(t->ops->breaks->wait(t, 20, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "does not stop"));
	fake_qemu_heal(f->q);
	t->ops->abandon(t);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), -EIO);
}

/* It runs, by the monitor's hand, and is marked. */
static void leaves(struct fixture *f)
{
	struct vp_qemu_config repair = f->qmp;
	struct vp_qemu *q = open_way(f, &f->qmp);
	struct vp_target *t = stopped(f, q);
	unsigned int stops = f->q->stops;

	f->q->ram[SITE.v] = 0x90;
	t->ops->breaks->leave(t);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), -EIO);
	assert_true(runs(f));
	assert_int_equal(way.for_good, 1);
	assert_int_equal(f->q->stops, stops);
	assert_int_equal(f->q->nbreaks, 1);
	repair.repair = repaired;
	repair.repair_arg = f;
	assert_int_equal(vp_qemu_close(open_way(f, &repair), &f->err), 0);
	assert_int_equal(f->q->nbreaks, 0);
	assert_true(runs(f));
}

static void test_leave(void **state)
{
	each(state, leaves);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, qemu_setup, qemu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_breakpoint), TEST(test_none),	  TEST(test_owner),
		TEST(test_refused),    TEST(test_silent), TEST(test_does_not_stop),
		TEST(test_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
