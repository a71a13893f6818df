/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is read where QEMU's process has it: that of the fake is in this one. */
#include "qemu_fixture.h"

#include <stdlib.h>
#include <unistd.h>

static void fill(struct fake_qemu *q)
{
	q->direct = true;
	for (size_t i = 0; i < FAKE_RAM; i++)
		q->ram[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

static void reads(struct fixture *f, struct vp_qemu *q, uint64_t gpa, size_t len)
{
	struct vp_target *t = vp_qemu_target(q);
	uint8_t *got = calloc(1, len);
	const struct vp_piece piece = { .gpa = VP_GPA(gpa), .into = got, .len = len };

	assert_int_equal(t->ops->read(t, VP_GPA(gpa), got, len, &f->err), 0);
	assert_memory_equal(got, f->q->ram + gpa, len);
	memset(got, 0, len);
	assert_int_equal(t->ops->read_pieces(t, &piece, 1, &f->err), 0);
	assert_memory_equal(got, f->q->ram + gpa, len);
	free(got);
}

/* Nobody is asked, and nothing stops, by both ways; in a window as well. */
static void test_read(void **state)
{
	struct fixture *f = *state;

	fill(f->q);
	for (int way = 0; way < 2; way++) {
		struct vp_qemu *q = open_well(f, way ? &f->gdb : &f->qmp);
		struct vp_target *t = vp_qemu_target(q);
		unsigned int asked = f->q->messages, stops = f->q->stops;

		reads(f, q, 0x100000, 1);
		reads(f, q, 0x17fff0, 0x20); /* of two blocks */
		reads(f, q, 0x100000, 0x100000);
		reads(f, q, 0x1ffffc, 4);
		assert_int_equal(f->q->messages, asked);
		assert_int_equal(f->q->stops, stops);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
		asked = f->q->messages;
		reads(f, q, 0x123456, 0x20000);
		assert_int_equal(f->q->messages, asked);
		t->ops->resume(t);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* The first megabyte is QEMU's to read; what is no RAM is nobody's. */
static void test_low(void **state)
{
	struct fixture *f = *state;
	struct vp_target *t;
	struct vp_qemu *q;
	unsigned int asked;
	uint8_t bytes[16];

	fill(f->q);
	q = open_well(f, &f->qmp);
	t = vp_qemu_target(q);
	asked = f->q->messages;
	reads(f, q, 0x9fff0, 16);
	assert_true(f->q->messages > asked);
	assert_int_equal(t->ops->read(t, VP_GPA(0xffff8), bytes, 16, &f->err), -EFAULT);
	assert_int_equal(t->ops->read(t, VP_GPA(0x1ffff8), bytes, 16, &f->err), -EFAULT);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
}

/* What is written by QEMU is seen, and compared. */
static void test_write(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q;

	fill(f->q);
	q = open_well(f, &f->qmp);
	use(f, q);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
}

/* It tells of another place: what is there is not what QEMU reads, so that is not read there. */
static void test_elsewhere(void **state)
{
	static const uint64_t beside[] = { 8, 0x1000, (uint64_t)-0x1000, 1ull << 46 };
	struct fixture *f = *state;

	fill(f->q);
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
		for (int way = 0; way < 2; way++) {
			struct vp_qemu *q;
			unsigned int asked;

			f->q->tells = beside[i];
			q = open_well(f, way ? &f->gdb : &f->qmp);
			asked = f->q->messages;
			reads(f, q, 0x110000, 0x1000);
			assert_int_equal(f->q->messages, asked);
			reads(f, q, 0x170000, 0x20000); /* of both */
			reads(f, q, 0x190000, 0x1000);
			assert_true(f->q->messages > asked);
			assert_int_equal(vp_qemu_close(q, &f->err), 0);
		}
}

/*
 * Over a gdbstub alone each look was a window of its own: one is enough, to connect; and one more
 * to write.
 */
static void test_windows(void **state)
{
	struct fixture *f = *state;
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };

	for (unsigned int i = 0; i < 4; i++) {
		const struct vp_piece want = { .gpa = VP_GPA(0x170000), .from = "abc", .len = 3 };
		unsigned int stops = f->q->stops;
		struct vp_qemu_info info;
		struct vp_vcpu_state s;
		struct vp_target *t;
		struct vp_qemu *q;

		set_version(f, versions[i / 2][0], versions[i / 2][1]);
		fill(f->q);
		q = open_well(f, &f->gdb);
		t = vp_qemu_target(q);
		assert_int_equal(vp_qemu_describe(q, &info, &f->err), 0);
		assert_int_equal(info.vcpus, 2);
		assert_int_equal(info.state, VP_QEMU_RUNNING);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		assert_int_equal(t->ops->writable(t, &f->err), 0);
		assert_int_equal(t->ops->hold(t, 1, &s, &f->err), 0);
		t->ops->release(t);
		assert_int_equal(t->ops->hold(t, 2, &s, &f->err), -ERANGE);
		reads(f, q, 0x110000, 0x2000);
		assert_true(runs(f));
		if (i & 1) {
			assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
			assert_int_equal(t->ops->write_pieces(t, &want, 1, &f->err), 0);
			assert_int_equal(t->ops->held(t, &f->err), 0);
			t->ops->resume(t);
		}
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
		assert_int_equal(f->q->stops - stops, 1 + (i & 1));
		assert_false(f->q->physical);
	}
}

/* A process that has ended is not read, whoever has its number now. */
static void test_ended(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu_config cfg = f->qmp;
	char qmp[48], gdb[48];
	struct vp_qemu *q;
	struct vp_target *t;
	uint8_t byte;
	pid_t pid;
	int end;

	pid = other_vm(qmp, gdb, sizeof(qmp), &end);
	cfg.qmp_path = qmp;
	cfg.gdb_path = NULL;
	q = open_well(f, &cfg);
	t = vp_qemu_target(q);
	assert_int_equal(t->ops->read(t, VP_GPA(0x123456), &byte, 1, &f->err), 0);
	end_other_vm(pid, end);
	assert_int_not_equal(t->ops->read(t, VP_GPA(0x123456), &byte, 1, &f->err), 0);
	vp_qemu_close(q, &f->err);
}

#define T(t) cmocka_unit_test_setup_teardown(t, qemu_setup, qemu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_read),	   T(test_low),	    T(test_write),
		T(test_elsewhere), T(test_windows), T(test_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
