/* SPDX-License-Identifier: Apache-2.0 */
/* Many pieces of the fake QEMU's memory: how often it is asked, and what goes wrong amid them. */
#include "qemu_fixture.h"

#include <stdlib.h>

#define N 60u

/* Pieces of 1 to 15 bytes in three places. */
struct rig {
	struct vp_piece pieces[N];
	uint8_t got[N][16], put[N][16];
};

static uint64_t place(unsigned int i)
{
	static const uint64_t places[] = { 0x120000, 0x10000, 0x1e0000 };

	return places[i % 3] + 0x123 * (uint64_t)i;
}

static void rig_make(struct rig *r, struct fake_qemu *q)
{
	for (unsigned int i = 0; i < N; i++) {
		size_t len = i % 15 + 1;

		r->pieces[i] = (struct vp_piece){ VP_GPA(place(i)), r->got[i], r->put[i], len };
		for (size_t k = 0; k < len; k++) {
			q->ram[place(i) + k] = (uint8_t)(i + 7 * k);
			r->put[i][k] = (uint8_t)(0x80 + i + 3 * k);
		}
	}
}

static void rig_check(const struct rig *r, const struct fake_qemu *q)
{
	for (unsigned int i = 0; i < N; i++)
		assert_memory_equal(r->got[i], q->ram + place(i), r->pieces[i].len);
}

/* Over QMP one read for each place; over the gdbstub one window, and no answer is waited for. */
static void test_read(void **state)
{
	struct fixture *f = *state;
	static struct rig r;
	unsigned int asked;

	rig_make(&r, f->q);
	for (int way = 0; way < 2; way++) {
		struct vp_qemu *q = open_well(f, way ? &f->gdb : &f->qmp);
		struct vp_target *t = vp_qemu_target(q);
		unsigned int stops = f->q->stops;

		memset(r.got, 0, sizeof(r.got));
		asked = f->q->messages;
		assert_int_equal(t->ops->read_pieces(t, r.pieces, N, &f->err), 0);
		rig_check(&r, f->q);
		if (way)
			assert_int_equal(f->q->stops - stops, 1);
		else
			assert_int_equal(f->q->messages - asked, 3);
		assert_int_equal(t->ops->read_pieces(t, NULL, 0, &f->err), 0);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* Pieces beside a hole; one in it. */
static void test_holes(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q = open_well(f, &f->qmp);
	struct vp_target *t = vp_qemu_target(q);
	uint8_t a[2], b[2], c[2];
	struct vp_piece p[] = { { VP_GPA(0x100000), a, NULL, 2 },
				{ VP_GPA(0x9fffe), b, NULL, 2 },
				{ VP_GPA(0x9ffff), c, NULL, 2 } };

	f->q->ram[0x9ffff] = 0x5a;
	f->q->ram[0x100001] = 0xa5;
	assert_int_equal(t->ops->read_pieces(t, p, 2, &f->err), 0);
	assert_int_equal(a[1], 0xa5);
	assert_int_equal(b[1], 0x5a);
	assert_int_equal(t->ops->read_pieces(t, p, 3, &f->err), -EFAULT);
	assert_int_equal(t->ops->write_pieces(t, p, 2, &f->err), -EPERM); /* it runs */
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
}

static struct vp_qemu *stopped(struct fixture *f, const struct vp_qemu_config *cfg)
{
	struct vp_qemu *q = open_well(f, cfg);
	struct vp_target *t = vp_qemu_target(q);

	assert_int_equal(t->ops->lock(t, &f->err), 0);
	assert_int_equal(t->ops->stop(t, HANG_MS, &f->err), 0);
	return q;
}

static void let_go(struct fixture *f, struct vp_qemu *q)
{
	struct vp_target *t = vp_qemu_target(q);

	t->ops->resume(t);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

static void test_write(void **state)
{
	struct fixture *f = *state;
	static struct rig r;

	for (int way = 0; way < 2; way++) {
		struct vp_qemu *q;
		struct vp_target *t;

		rig_make(&r, f->q);
		q = stopped(f, way ? &f->gdb : &f->qmp);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->read_pieces(t, r.pieces, N, &f->err), 0);
		rig_check(&r, f->q);
		assert_int_equal(t->ops->write_pieces(t, r.pieces, N, &f->err), 0);
		for (unsigned int i = 0; i < N; i++)
			assert_memory_equal(f->q->ram + place(i), r.put[i], r.pieces[i].len);
		r.pieces[40].gpa = VP_GPA(0xa0000);
		f->q->ram[place(0)] = 0;
		assert_int_equal(t->ops->write_pieces(t, r.pieces, N, &f->err), -EFAULT);
		assert_int_equal(f->q->ram[place(0)], 0); /* not one of them */
		let_go(f, q);
	}
}

/* One that does not arrive is told, and the connection is good. */
static void test_swallowed(void **state)
{
	struct fixture *f = *state;
	struct vp_qemu *q;
	struct vp_target *t;
	static struct rig r;

	rig_make(&r, f->q);
	q = stopped(f, &f->qmp);
	t = vp_qemu_target(q);
	f->q->not_ram = true;
	assert_int_equal(t->ops->write_pieces(t, r.pieces, N, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "did not take the bytes"));
	f->q->not_ram = false;
	assert_int_equal(t->ops->read_pieces(t, r.pieces, N, &f->err), 0);
	rig_check(&r, f->q);
	let_go(f, q);
}

/*
 * Its owner lets the VM go on amid the pieces, once or again and again: a packet is lost, and then
 * all others are answered. That is no answer to what was asked.
 */
#define TWICE 0x11u

static void owner_amid(struct fixture *f, unsigned int eager, bool write)
{
	struct vp_qemu *q = stopped(f, &f->gdb);
	struct vp_target *t = vp_qemu_target(q);
	static struct rig r;
	int rc;

	rig_make(&r, f->q);
	assert_int_equal(t->ops->read_pieces(t, r.pieces, 1, &f->err), 0);
	assert_int_equal(t->ops->write_pieces(t, r.pieces, 1, &f->err), 0);
	pthread_mutex_lock(&f->q->lock);
	f->q->eager = eager;
	pthread_mutex_unlock(&f->q->lock);
	rc = write ? t->ops->write_pieces(t, r.pieces, N, &f->err)
		   : t->ops->read_pieces(t, r.pieces, N, &f->err);
	assert_int_equal(rc, -EAGAIN);
	if (eager == TWICE) /* once amid what is said before a write, and once amid that */
		t->ops->write_pieces(t, r.pieces, N, &f->err);
	assert_int_equal(t->ops->write_pieces(t, r.pieces, N, &f->err), 0);
	assert_int_equal(t->ops->read_pieces(t, r.pieces, N, &f->err), 0);
	rig_check(&r, f->q);
	let_go(f, q);
}

static void test_owner_amid(void **state)
{
	static const unsigned int eager[] = { 1, 2, 4, 8, 1 << 9, 1 << 20, TWICE };
	struct fixture *f = *state;

	f->gdb.timeout_ms = 2000; /* where nothing tells, half of it is waited for */
	for (unsigned int i = 0; i < sizeof(eager) / sizeof(eager[0]); i++)
		for (int how = 0; how < 2; how++) {
			set_version(f, 7, 2);
			owner_amid(f, eager[i], how);
		}
	set_version(f, 11, 1);
	owner_amid(f, 1 << 5, true);
	owner_amid(f, 1 << 6, true);
	owner_amid(f, 1 << 5, false);
}

#define T(t) cmocka_unit_test_setup_teardown(t, qemu_setup, qemu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_read), T(test_holes), T(test_write), T(test_swallowed), T(test_owner_amid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
