/* SPDX-License-Identifier: Apache-2.0 */
/* What a window costs: nothing that can be asked before it or together is asked one by one. */
#include "qemu_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/qemu_internal.h"

#define N 200u

struct batch {
	struct vp_piece reads[N], writes[N];
	uint8_t now[N][8], want[N][8];
};

static uint64_t place(unsigned int i)
{
	return 0x100000 + i * 0x333u;
}

static void make(struct batch *b, struct fake_qemu *q, unsigned int n)
{
	const uint64_t rip = 0x1122334455667788;

	memcpy(q->regs[1] + 128, &rip, sizeof(rip));
	for (unsigned int i = 0; i < n; i++) {
		memset(q->ram + place(i), (int)i, 8);
		memset(b->want[i], 0x80 + (int)i, 8);
		b->reads[i] = (struct vp_piece){ VP_GPA(place(i)), b->now[i], NULL, 8 };
		b->writes[i] = (struct vp_piece){ VP_GPA(place(i)), NULL, b->want[i], 5 };
	}
}

static unsigned int qmp(const struct fake_qemu *q)
{
	return q->messages - q->packets;
}

/* In the window, nothing is asked one by one: not where the vCPUs stand either. */
static void compare(struct vp_target *t, const struct batch *b, unsigned int n, struct vp_err *err)
{
	uint64_t rips[4];
	size_t nrips = 4;
	bool read = false;

	assert_int_equal(t->ops->stop_reading(t, HANG_MS, b->reads, n, &read, err), 0);
	assert_true(read);
	assert_int_equal(t->ops->rips(t, rips, &nrips), 0);
	assert_int_equal(nrips, 2);
	assert_int_equal(rips[1], 0x1122334455667788);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(b->now[i][7], (uint8_t)i);
}

static void write_all(struct vp_target *t, const struct batch *b, unsigned int n,
		      struct vp_err *err)
{
	assert_int_equal(t->ops->write_pieces(t, b->writes, n, err), 0);
	assert_int_equal(t->ops->held(t, err), 0);
	t->ops->resume(t);
}

/* Compare, write, go on: three times something is sent, and QMP is asked nothing from the stop on.
 */
static void test_turns(void **state)
{
	struct fixture *f = *state;
	static const unsigned int sizes[] = { 1, 76, N };
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };
	static struct batch b;

	for (unsigned int i = 0; i < 4 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned int n = sizes[i / 4], asked, turns, more = n > 128 ? 4 : 0;
		struct vp_target *t;
		struct vp_qemu *q;

		set_version(f, versions[i % 2][0], versions[i % 2][1]);
		if (i & 2) /* its owner's stub */
			snprintf(f->q->chardev, sizeof(f->q->chardev),
				 "gdb disconnected:unix:%s,server=on", f->q->gdb_path);
		else
			f->q->chardev[0] = 0;
		make(&b, f->q, n);
		q = open_well(f, &f->qmp);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		turns = f->q->turns;
		compare(t, &b, n, &f->err);
		asked = qmp(f->q) + f->q->own_stub; /* which is taken away behind it all */
		write_all(t, &b, n, &f->err);
		assert_int_equal(qmp(f->q), asked);
		assert_in_range(f->q->turns - turns, 1, 3 + more);
		assert_false(f->q->physical);
		assert_int_equal(f->q->ram[place(n - 1)], b.want[n - 1][0]);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
	}
}

/* What is compared is what QEMU itself reads, by the way that writes: no other view decides. */
static void test_whose_view(void **state)
{
	struct fixture *f = *state;
	uint8_t old = 0x11, *moved = calloc(1, FAKE_RAM);
	static struct batch b;
	struct vp_target *t;
	struct vp_qemu *q;
	bool read = false;

	f->q->direct = true;
	make(&b, f->q, 1);
	q = open_well(f, &f->qmp);
	t = vp_qemu_target(q);
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	moved[place(0)] = 0x22; /* the process has RAM where it had it, and QEMU uses other */
	f->q->ram[place(0)] = old;
	f->q->elsewhere = moved;
	assert_int_equal(t->ops->stop_reading(t, HANG_MS, b.reads, 1, &read, &f->err), 0);
	assert_true(read);
	assert_int_equal(b.now[0][0], 0x22);
	assert_int_equal(t->ops->swap_head(t, VP_GPA(place(0)), old, 0xcc, &f->err), -EAGAIN);
	assert_int_equal(t->ops->swap_head(t, VP_GPA(place(0)), 0x22, 0xcc, &f->err), 0);
	t->ops->resume(t);
	t->ops->unlock(t);
	assert_int_equal(moved[place(0)], 0xcc);
	assert_int_equal(f->q->ram[place(0)], old);
	f->q->elsewhere = NULL;
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	free(moved);
}

/* Behind the compare its owner lets it go on, and stops it again: nothing is written. */
static void test_owner_between(void **state)
{
	struct fixture *f = *state;
	static struct batch b;
	struct vp_target *t;
	struct vp_qemu *q;

	make(&b, f->q, 3);
	q = open_well(f, &f->qmp);
	t = vp_qemu_target(q);
	assert_int_equal(t->ops->lock(t, &f->err), 0);
	compare(t, &b, 3, &f->err);
	pthread_mutex_lock(&f->q->lock);
	fake_qemu_cont(f->q);
	fake_qemu_pause(f->q);
	pthread_mutex_unlock(&f->q->lock);
	assert_int_equal(t->ops->write_pieces(t, b.writes, 3, &f->err), -EAGAIN);
	assert_non_null(strstr(f->err.text, "go on"));
	assert_int_equal(f->q->ram[place(0)], 0);
	t->ops->resume(t);
	t->ops->unlock(t);
	assert_int_equal(vp_qemu_close(q, &f->err), 0);
	assert_true(runs(f));
}

/* Its owner lets it go on as soon as it is connected to, or amid the questions. */
static void test_owner_first(void **state)
{
	struct fixture *f = *state;
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };
	static struct batch b;

	f->qmp.timeout_ms = 2000;
	for (unsigned int i = 0; i < 40; i++) {
		struct vp_qemu *q;
		struct vp_target *t;
		bool read = false;
		int rc;

		set_version(f, versions[i % 2][0], versions[i % 2][1]);
		make(&b, f->q, 3);
		q = open_well(f, &f->qmp);
		t = vp_qemu_target(q);
		assert_int_equal(t->ops->lock(t, &f->err), 0);
		f->q->eager = 1u << i / 2;
		rc = t->ops->stop_reading(t, HANG_MS, b.reads, 3, &read, &f->err);
		f->q->eager = 0;
		if (!rc && read)
			assert_int_equal(b.now[2][7], 2);
		if (!rc)
			t->ops->resume(t);
		t->ops->unlock(t);
		assert_int_equal(vp_qemu_close(q, &f->err), 0);
		assert_true(runs(f));
		assert_false(f->q->physical);
	}
}

#define T(t) cmocka_unit_test_setup_teardown(t, qemu_setup, qemu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_turns),
		T(test_whose_view),
		T(test_owner_between),
		T(test_owner_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
