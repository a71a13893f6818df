/* SPDX-License-Identifier: Apache-2.0 */
/* Which VM it is, and whose gdbstub: nothing of another VM, or of another life of it, is touched.
 */
#include "qemu_fixture.h"

#include "target/qemu_internal.h"

#include <signal.h>
#include <unistd.h>

static void test_no_uuid(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_info a, b;
	struct vp_qemu *q;
	char want[32];

	f->q->uuid = "00000000-0000-0000-0000-000000000000";
	q = open_well(f, &f->qmp);
	assert_int_equal(vp_qemu_describe(q, &a, &f->err), 0);
	vp_qemu_close(q, NULL);
	q = open_well(f, &f->gdb);
	assert_int_equal(vp_qemu_describe(q, &b, &f->err), 0);
	vp_qemu_close(q, NULL);
	snprintf(want, sizeof(want), "qemu-%d-", (int)getpid()); /* who listens is this process */
	assert_memory_equal(a.identity, want, strlen(want));
	assert_string_equal(a.identity, b.identity);
	assert_memory_equal(a.process, want + 5, strlen(want + 5));
	assert_string_equal(a.process, b.process);
}

/* Neither a UUID nor a process: two such VMs are two all the same. */
static void test_nothing_known(void **state)
{
	struct fixture *f = *state;
	struct fake_qemu *vm[2] = { f->q, fake_qemu_new() };
	struct vp_qemu_info info[2];

	for (int i = 0; i < 2; i++) {
		struct vp_qemu_config cfg = f->qmp;
		struct vp_monitor *m;
		struct vp_qemu *q;

		vm[i]->uuid = "00000000-0000-0000-0000-000000000000";
		cfg.qmp_path = vm[i]->qmp_path;
		assert_int_equal(vp_monitor_qmp_open(cfg.qmp_path, HANG_MS, &m, &f->err), 0);
		m->peer = (struct vp_process){ 0 };
		assert_int_equal(vp_qemu_open_monitor(&cfg, "fake", m, &q, &f->err), 0);
		assert_int_equal(vp_qemu_describe(q, &info[i], &f->err), 0);
		assert_memory_equal(info[i].identity, "qemu-qmp-", 9);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
	}
	assert_string_not_equal(info[0].identity, info[1].identity);
	fake_qemu_free(vm[1]);
}

/* Who was killed while he asked QEMU who it is has left a socket there; one that lives is at work.
 */
static void test_orphaned_sockets(void **state)
{
	struct fixture *f = *state;
	struct vp_process self;
	struct vp_monitor *m;
	char *at;

	assert_int_equal(vp_monitor_qmp_open(f->q->qmp_path, HANG_MS, &m, &f->err), 0);
	assert_true(vp_process_find(getppid(), &self));
	for (int gone = 0; gone < 2; gone++) {
		if (gone) { /* that number was another process */
			at = strchr(self.text, '-') + 1;
			*at = *at == '9' ? '8' : '9';
		}
		snprintf(f->q->chardev, sizeof(f->q->chardev),
			 VP_MONITOR_WHO "%s unix:", self.text);
		assert_int_equal(vp_monitor_who(m, SHORT_MS, &f->err), 0);
		assert_int_equal(!f->q->chardev[0], gone);
	}
	m->ops->close(m);
}

/* QEMU has one gdbstub. The owner's is used if it is free, and never replaced. */
static void test_owners_stub(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q;

	snprintf(f->q->chardev, sizeof(f->q->chardev), "gdb disconnected:unix:%s,server=on",
		 f->q->gdb_path);
	q = open_well(f, &f->qmp);
	use(f, q);
	assert_false(f->q->own_stub);
	assert_int_equal(f->q->passed, -1);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	strcpy(f->q->chardev, "gdb unix:/some/where,server=on");
	not_stopped(f, -EBUSY, "debugger is attached");
	strcpy(f->q->chardev, "gdb disconnected:unix:gdb.sock,server=on");
	not_stopped(f, -EOPNOTSUPP, "relative path");
	strcpy(f->q->chardev, "gdb disconnected:tcp:0.0.0.0:1234,server=on");
	not_stopped(f, -EOPNOTSUPP, "no unix socket");
	strcpy(f->q->chardev, "vmpoke-gdb unix:");
	not_stopped(f, -EBUSY, "another vmpoke");
	/* `-gdb chardev:NAME`: QEMU would delete that device. */
	strcpy(f->q->chardev, "my-GDB0 disconnected:unix:/some/where,server=on");
	not_stopped(f, -EOPNOTSUPP, "my-GDB0");
	assert_int_equal(f->q->stops, 1);
	f->q->unused_chardev = true;
	q = open_well(f, &f->qmp);
	use(f, q);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	strcpy(f->q->chardev, "");
	assert_int_equal(f->q->stops, 2);
}

/* The path that QEMU tells leads to another VM: nothing is written, neither is left stopped. */
static void test_strangers_stub(void **state)
{
	struct fixture *f = *state;
	char qmp[48], gdb[48];
	int end;
	pid_t pid = other_vm(qmp, gdb, sizeof(qmp), &end);
	struct vp_qemu_config other = f->qmp;
	struct vp_qemu_info info;
	struct vp_qemu *q;

	snprintf(f->q->chardev, sizeof(f->q->chardev), "gdb disconnected:unix:%s,server=on", gdb);
	not_stopped(f, -EOPNOTSUPP, "another process");
	assert_true(runs(f));
	assert_int_equal(f->q->resumes, 0);
	other.qmp_path = qmp;
	q = open_well(f, &other);
	assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
	assert_int_equal(info.state, VP_QEMU_RUNNING);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	end_other_vm(pid, end);
}

/* The owner's stub cannot be reached, and somebody else has stopped the VM meanwhile: his affair.
 */
static void test_not_our_stop(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);

	snprintf(f->q->chardev, sizeof(f->q->chardev), "gdb disconnected:unix:%s/none,server=on",
		 f->q->dir);
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), -ENOENT);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_int_equal(f->q->stops, 0);
	assert_int_equal(f->q->conts, 0);
}

static void test_two_at_once(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config quick = f->qmp;
	struct vp_qemu *q;

	quick.timeout_ms = SHORT_MS;
	q = open_well(f, &f->qmp);
	refused(f, &quick, -ETIMEDOUT, "another client");
	vp_qemu_close(q, NULL);
	q = open_well(f, &f->gdb);
	quick = f->gdb;
	quick.timeout_ms = SHORT_MS;
	refused(f, &quick, -ETIMEDOUT, "another vmpoke");
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

/*
 * Killed in a window, and the VM is no more: a new one at the same sockets, which stands still
 * since its owner started it so, is no affair of `recover`.
 */
static void test_killed_and_replaced(void **state)
{
	struct fixture *f = *state;
	char qmp[48], gdb[48];
	int end;
	pid_t pid = other_vm(qmp, gdb, sizeof(qmp), &end);
	struct vp_qemu_config other = f->qmp, repair = f->qmp;
	struct vp_qemu *q;

	other.qmp_path = qmp;
	f->q->ram[SITE.v] = 0x90;
	be_killed(&other);
	kill(pid, SIGKILL);
	end_other_vm(pid, end);
	unlink(qmp);
	unlink(gdb);
	*strrchr(gdb, '/') = 0;
	rmdir(gdb);
	fake_qemu_pause(f->q);
	repair.repair = not_repaired;
	q = open_well(f, &repair);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_false(f->q->running);
	assert_int_equal(f->q->resumes, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, qemu_setup, qemu_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_no_uuid),	TEST(test_nothing_known),	TEST(test_orphaned_sockets),
		TEST(test_owners_stub), TEST(test_strangers_stub),	TEST(test_not_our_stop),
		TEST(test_two_at_once), TEST(test_killed_and_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
