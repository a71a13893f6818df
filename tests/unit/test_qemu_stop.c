/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever goes wrong, the VM runs afterwards, or it is marked, and then `repair` makes it run. */
#include "qemu_fixture.h"

#include "target/qemu_internal.h"

#include <signal.h>
#include <unistd.h>

/* Killed while the VM runs, by whatever signal: the owner's stub is as it was. */
static void test_mode_set_back(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->gdb);
	struct vp_target *t = vp_qemu_target(q);
	uint8_t byte;

	assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), 0);
	assert_true(runs(f));
	assert_false(f->q->physical);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
}

/* Between resume() and the next stop() the VM runs, whatever lock() has needed to read. */
static void test_resume_resumes(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		struct vp_qemu *q;
		struct vp_target *t;
		struct vp_vcpu_state s;
		uint8_t byte;

		f->q->no_pmemsave = true;
		q = open_well(f, i ? &f->gdb : &f->qmp);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		for (int try = 0; try < 3; try++) {
			assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
			assert_false(f->q->running);
			assert_int_equal(t->ops->held(t, &f->err), 0);
			t->ops->resume(t);
			assert_true(runs(f));
		}
		assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), 0);
		assert_int_equal(t->ops->hold(t, 0, &s, &f->err), 0);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* Its owner lets it go on while we hold it: that is noticed, nothing hangs, it runs at last. */
static void test_cont_in_window(void **state)
{
	struct fixture *f = *state;
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };

	for (int i = 0; i < 8; i++) {
		struct vp_qemu_config cfg = i & 1 ? f->gdb : f->qmp;
		struct vp_qemu *q;
		struct vp_target *t;
		uint8_t old;
		int rc = 0;

		set_version(f, versions[i / 2 % 2][0], versions[i / 2 % 2][1]);
		cfg.timeout_ms = 2000;
		q = open_well(f, &cfg);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
		old = f->q->ram[SITE.v];
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
		if (i >= 4) /* amid the writes, or behind the last */
			rc = t->ops->swap_head(t, SITE, old, (uint8_t)~old, &f->err);
		if (!rc)
			rc = t->ops->held(t, &f->err);
		assert_int_equal(rc, -EAGAIN);
		assert_non_null(strstr(f->err.text, "go on"));
		assert_false(f->q->running);
		/* The old bytes can be put back. */
		assert_int_equal(t->ops->write(t, SITE, &old, 1, &f->err), 0);
		assert_int_equal(f->q->ram[SITE.v], old);
		rc = t->ops->held(t, &f->err); /* QMP may tell it once more */
		assert_true(!rc || (i >= 4 && rc == -EAGAIN));
		assert_int_equal(t->ops->held(t, &f->err), 0);
		t->ops->resume(t);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/*
 * A migration begins, or is over, between the look and the first write: nothing is written, and the
 * VM goes on, but not one that runs elsewhere by now. One that begins behind the first write stops
 * nothing: what stands half done must be taken back.
 */
static void test_migration_in_window(void **state)
{
	static const struct {
		const char *migrate, *state;
		bool late;
		int rc;
		const char *part;
	} cases[] = {
		{ "active", "paused", false, -EBUSY, "migrated" },
		{ "setup", "paused", false, -EBUSY, "setup" },
		{ "completed", "postmigrate", false, -EBUSY, "postmigrate" },
		{ "active", "finish-migrate", false, -EBUSY, "migrated" },
		{ "cancelled", "paused", false, 0, NULL },
		{ "active", "paused", true, 0, NULL },
	};
	struct fixture *f = *state;
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };
	size_t n = sizeof(cases) / sizeof(cases[0]);

	for (size_t i = 0; i < 4 * n; i++) {
		bool ours = !strcmp(cases[i / 4].state, "paused");
		struct vp_qemu *q;
		struct vp_target *t;
		uint8_t old;

		set_version(f, versions[i / 2 % 2][0], versions[i / 2 % 2][1]);
		f->q->migrate = NULL;
		q = open_well(f, i & 1 ? &f->gdb : &f->qmp);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->writable(t, &f->err), 0);
		assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
		old = f->q->ram[SITE.v];
		if (cases[i / 4].late)
			assert_int_equal(t->ops->swap_head(t, SITE, old, old, &f->err), 0);
		pthread_mutex_lock(&f->q->lock);
		f->q->migrate = cases[i / 4].migrate;
		f->q->state = cases[i / 4].state;
		pthread_mutex_unlock(&f->q->lock);
		for (int try = 0; try < 2; try++) {
			uint8_t to = try ? old : (uint8_t)~old;
			uint8_t from = f->q->ram[SITE.v];

			assert_int_equal(t->ops->swap_head(t, SITE, from, to, &f->err),
					 cases[i / 4].rc);
			if (cases[i / 4].rc && !strstr(f->err.text, cases[i / 4].part))
				fail_msg("'%s' lacks '%s'", f->err.text, cases[i / 4].part);
			assert_int_equal(f->q->ram[SITE.v], cases[i / 4].rc ? old : to);
		}
		t->ops->resume(t);
		t->ops->unlock(t);
		if (ours)
			assert_true(runs(f));
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_int_equal(f->q->running, ours);
		assert_false(f->q->physical); /* the stub is left as it was found */
		if (ours)
			continue;
		/* It needs no recovery; its owner decides. */
		pthread_mutex_lock(&f->q->lock);
		f->q->state = "paused";
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
	}
}

/* The migration is over between the last look and the stop: not ours to let go on, nor marked. */
static void test_stopped_by_migration(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_info info;
	struct vp_qemu *q;

	f->q->stops_as = "postmigrate";
	not_stopped(f, -EBUSY, "postmigrate");
	assert_false(f->q->running);
	q = open_well(f, &f->qmp);
	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_string_equal(info.interrupted, "");
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_int_equal(f->q->resumes, 0);

	/* Over the stub alone: it is opened, and then stands between two windows. */
	for (int i = 0; i < 2; i++) {
		struct vp_target *t;
		uint8_t byte;

		set_version(f, i ? 11 : 7, i ? 1 : 2);
		f->q->stops_as = NULL;
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
		q = open_well(f, &f->gdb);
		t = vp_qemu_target(q);
		assert_true(runs(f));
		pthread_mutex_lock(&f->q->lock);
		f->q->stops_as = "postmigrate";
		fake_qemu_pause(f->q);
		pthread_mutex_unlock(&f->q->lock);
		assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), -EBUSY);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_false(f->q->running);
	}
}

/* Through the stub alone recover asks, too, before it puts bytes back. */
static void test_recover_while_migrating(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->gdb;

	f->q->ram[SITE.v] = 0x90;
	be_killed(&f->gdb);
	f->q->migrate = "active";
	repair.repair = repaired;
	repair.repair_arg = f;
	refused(f, &repair, -EBUSY, "migrated");
	assert_int_equal(f->q->ram[SITE.v], 0xcc);
	assert_false(f->q->running);
	refused(f, &f->gdb, -EUCLEAN, "vmpoke recover");
	f->q->migrate = NULL;
	vp_qemu_close(open_well(f, &repair), NULL);
	assert_true(runs(f));
	assert_int_equal(f->q->ram[SITE.v], 0x90);
}

static void test_signals_wait(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);
	sigset_t set;

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	assert_true(sigismember(&set, SIGINT) && sigismember(&set, SIGTERM) &&
		    sigismember(&set, SIGTSTP));
	assert_true(sigismember(&set, SIGPIPE) && sigismember(&set, SIGXCPU) &&
		    sigismember(&set, SIGUSR1) && sigismember(&set, SIGRTMIN));
	assert_false(sigismember(&set, SIGSEGV)); /* blocked it would end us all the same */
	t->ops->resume(t);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	assert_false(sigismember(&set, SIGINT) || sigismember(&set, SIGTERM));
	t->ops->unlock(t);
	vp_qemu_close(q, NULL);
}

static void test_killed(void **state)
{
	struct fixture *f = *state;

	const struct {
		const struct vp_qemu_config *killed, *repairs;
	} ways[] = { { &f->qmp, &f->qmp }, { &f->gdb, &f->gdb }, { &f->gdb, &f->qmp } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct vp_qemu_config repair = *ways[i].repairs;
		struct vp_qemu_info info;
		struct vp_qemu *q;

		f->q->ram[SITE.v] = 0x90;
		be_killed(ways[i].killed);
		assert_false(f->q->running);
		assert_int_equal(f->q->ram[SITE.v], 0xcc);
		looked_at(f);
		refused(f, &f->gdb, -EUCLEAN, "vmpoke recover");
		repair.repair_arg = f;
		repair.repair = not_repaired;
		refused(f, &repair, -ESTALE, "ledger is lost");
		assert_false(f->q->running);
		looked_at(f);
		repair.repair = repaired;
		q = open_well(f, &repair);
		assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
		assert_true(info.recovered);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
		assert_int_equal(f->q->ram[SITE.v], 0x90);
		/* Both ways are free again; the socket of the stub has a mark of its own. */
		if (ways[i].killed != ways[i].repairs) {
			repair = f->gdb;
			repair.repair = repaired;
			repair.repair_arg = f;
			vp_qemu_close(open_well(f, &repair), NULL);
		}
		vp_qemu_close(open_well(f, &f->gdb), NULL);
		vp_qemu_close(open_well(f, &f->qmp), NULL);
		assert_true(runs(f));
	}
}

/* Its owner let it go on: half a batch may stand there all the same. */
static void test_killed_and_resumed(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->qmp;

	f->q->ram[SITE.v] = 0x90;
	be_killed(&f->qmp);
	pthread_mutex_lock(&f->q->lock);
	fake_qemu_cont(f->q);
	pthread_mutex_unlock(&f->q->lock);
	looked_at(f);
	assert_true(runs(f));
	repair.repair_arg = f;
	repair.repair = not_repaired;
	refused(f, &repair, -ESTALE, "ledger is lost");
	assert_true(runs(f));
	repair.repair = repaired;
	vp_qemu_close(open_well(f, &repair), NULL);
	assert_true(runs(f));
	assert_int_equal(f->q->ram[SITE.v], 0x90);
}

/*
 * Killed by one way, let go on by its owner, and then there is the stub alone, which tells nothing:
 * not connected to, where its process is seen; else it stands, and that is said.
 */
static void test_killed_and_stub_alone(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config moved = f->gdb, repair = f->gdb;
	char other[64];
	unsigned int stops;

	set_version(f, 11, 1);
	f->q->ram[SITE.v] = 0x90;
	be_killed(&f->qmp);
	pthread_mutex_lock(&f->q->lock);
	fake_qemu_cont(f->q);
	pthread_mutex_unlock(&f->q->lock);
	stops = f->q->stops;
	refused(f, &f->gdb, -EUCLEAN, "vmpoke recover");
	assert_true(runs(f));
	assert_int_equal(f->q->stops, stops);
	repair.repair = not_repaired;
	refused(f, &repair, -ESTALE, "stands still now");
	assert_false(f->q->running);
	repair.repair = repaired;
	repair.repair_arg = f;
	vp_qemu_close(open_well(f, &repair), NULL);
	assert_true(runs(f));

	be_killed(&f->qmp);
	snprintf(other, sizeof(other), "%s/moved", f->q->dir); /* not what its process calls it */
	assert_int_equal(rename(f->q->gdb_path, other), 0);
	moved.gdb_path = other;
	refused(f, &moved, -EUCLEAN, "stands still now");
	assert_int_equal(rename(other, f->q->gdb_path), 0);
	vp_qemu_close(open_well(f, &repair), NULL);
	assert_true(runs(f));
}

/*
 * Over the stub alone its owner pauses it between two windows; and lets it go on, or not. Who has
 * stopped it is not told by how long it takes.
 */
static void test_paused_between(void **state)
{
	static const struct {
		int major, minor, rc, closed;
		bool on;
	} cases[] = {
		{ 7, 2, -EBUSY, 0, false },
		{ 7, 2, 0, 0, true },
		{ 11, 1, -EUCLEAN, -EIO, true },
		{ 11, 1, -EUCLEAN, -EIO, false }, /* which looks the same */
	};
	struct fixture *f = *state;
	struct vp_qemu_config repair = f->gdb;

	repair.repair = repaired;
	repair.repair_arg = f;
	f->q->ram[SITE.v] = 0x90;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vp_qemu *q;
		struct vp_target *t;
		uint8_t byte;

		set_version(f, cases[i].major, cases[i].minor);
		q = open_well(f, &f->gdb);
		t = vp_qemu_target(q);
		assert_true(runs(f));
		pthread_mutex_lock(&f->q->lock);
		f->q->stop_ms = cases[i].on ? 700 : 0;
		fake_qemu_pause(f->q);
		if (cases[i].on)
			fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
		assert_int_equal(t->ops->read(t, SITE, &byte, 1, &f->err), cases[i].rc);
		assert_int_equal(vp_qemu_close(q, &f->err), cases[i].closed);
		f->q->stop_ms = 0;
		if (cases[i].closed) { /* marked, and `recover` lets it go on */
			assert_false(f->q->running);
			refused(f, &f->gdb, -EUCLEAN, "vmpoke recover");
			vp_qemu_close(open_well(f, &repair), NULL);
			assert_true(runs(f));
			continue;
		}
		if (cases[i].on)
			assert_true(runs(f));
		assert_int_equal(f->q->running, cases[i].on);
		pthread_mutex_lock(&f->q->lock);
		fake_qemu_cont(f->q);
		pthread_mutex_unlock(&f->q->lock);
		assert_int_equal(vp_qemu_close(open_well(f, &f->gdb), &f->err), 0);
	}
}

/* --- everything that can go wrong ------------------------------------------------------- */

static int attempt(const struct vp_qemu_config *cfg, struct vp_err *err)
{
	struct vp_qemu *q;
	struct vp_target *t;
	uint8_t old;
	int rc = vp_qemu_open(cfg, &q, err), closed;

	if (rc)
		return rc;
	t = vp_qemu_target(q);
	rc = t->ops->read(t, SITE, &old, 1, err);
	if (!rc)
		rc = t->ops->lock(t, err);
	if (!rc) {
		rc = t->ops->stop(t, SHORT_MS, err);
		if (!rc) {
			rc = t->ops->swap_head(t, SITE, old, 0xcc, err);
			t->ops->resume(t);
		}
		t->ops->unlock(t);
	}
	closed = vp_qemu_close(q, err);
	return rc ? rc : closed;
}

static void nothing_lasts(struct fixture *f, const struct vp_qemu_config *cfg,
			  enum fake_fault fault)
{
	struct vp_qemu_config quick = *cfg, repair = *cfg;
	unsigned int n = 0, total;
	sigset_t mask;
	int rc;

	quick.timeout_ms = SHORT_MS;
	repair.repair = repaired;
	repair.repair_arg = f;
	f->q->messages = 0;
	assert_int_equal(attempt(&repair, &f->err), 0);
	total = f->q->messages;
	assert_true(total > 8);
	for (n = 1; n <= total; n++) {
		f->q->ram[SITE.v] = 0x90;
		pthread_mutex_lock(&f->q->lock);
		f->q->fault = fault;
		f->q->fault_at = n;
		f->q->messages = 0;
		pthread_mutex_unlock(&f->q->lock);
		f->err.text[0] = 0;
		rc = attempt(&quick, &f->err);
		pthread_sigmask(SIG_BLOCK, NULL, &mask);
		assert_false(sigismember(&mask, SIGINT) || sigismember(&mask, SIGTSTP));
		fake_qemu_heal(f->q);
		if (rc && (!f->err.text[0] || strpbrk(f->err.text, "\r\n\xff")))
			fail_msg("fault %d at %u: %d '%s'", fault, n, rc, f->err.text);
		/* It runs now; or the next one is told, and repair makes it run. */
		rc = attempt(cfg, &f->err);
		if (rc == -EUCLEAN && strstr(f->err.text, "vmpoke recover"))
			rc = attempt(&repair, &f->err);
		if (rc)
			fail_msg("after fault %d at %u: %d '%s'", fault, n, rc, f->err.text);
		if (!runs(f))
			fail_msg("after fault %d at %u: left stopped", fault, n);
	}
}

static void test_faults_qmp(void **state)
{
	struct fixture *f = *state;

	for (unsigned int fault = FAKE_SILENT; fault < FAKE_FAULTS; fault++)
		nothing_lasts(f, &f->qmp, fault);
}

static void test_faults_gdb(void **state)
{
	struct fixture *f = *state;

	for (unsigned int fault = FAKE_SILENT; fault < FAKE_FAULTS; fault++)
		nothing_lasts(f, &f->gdb, fault);
}

static int never_repair(void *arg, struct vp_target *t, const char *identity, const char *process,
			struct vp_err *err)
{
	(void)arg, (void)t, (void)identity, (void)process, (void)err;
	fail_msg("another's record is not ours");
	return 0;
}

/* Another keeper's mark stays as it is, however often one who may not repair it tries. */
static void test_other_keeper(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config agent = f->qmp;

	agent.keeper = "my-agent";
	be_killed(&agent);
	for (int i = 0; i < 4; i++) {
		struct vp_qemu_config cfg = i % 2 ? f->qmp : f->gdb;

		cfg.keeper = "vmpoke";
		cfg.repair = never_repair;
		refused(f, &cfg, -EUCLEAN, "my-agent");
		assert_false(f->q->running);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, qemu_setup, qemu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_mode_set_back),
		TEST(test_resume_resumes),
		TEST(test_cont_in_window),
		TEST(test_migration_in_window),
		TEST(test_recover_while_migrating),
		TEST(test_signals_wait),
		TEST(test_killed),
		TEST(test_killed_and_resumed),
		TEST(test_killed_and_stub_alone),
		TEST(test_paused_between),
		TEST(test_stopped_by_migration),
		TEST(test_faults_qmp),
		TEST(test_faults_gdb),
		TEST(test_other_keeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
