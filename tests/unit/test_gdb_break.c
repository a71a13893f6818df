/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints and registers over the gdbstub. */
#include "unit.h"

#include "fake_qemu.h"
#include "target/gdb.h"

#include <unistd.h>

#define HANG_MS	 20000u
#define SHORT_MS 500u
#define ADDR	 VP_GVA(0xffffffff81000123)

struct world {
	struct fake_qemu *q;
	struct vp_gdb *g;
	struct vp_err err;
};

static void dial(struct world *w, unsigned int ms)
{
	int was, sock = vp_gdb_dial(w->q->gdb_path, &w->err);

	assert_true(sock >= 0);
	if (vp_gdb_open(sock, ms, &w->g, &was, &w->err))
		fail_msg("%s", w->err.text);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->q = fake_qemu_new();
	dial(w, HANG_MS);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	vp_gdb_close(w->g);
	fake_qemu_free(w->q);
	free(w);
	return 0;
}

static int set(struct world *w, vp_gva addr)
{
	return vp_gdb_change_breaks(w->g, NULL, 0, &addr, 1, &w->err);
}

static int clear(struct world *w, vp_gva addr)
{
	return vp_gdb_change_breaks(w->g, &addr, 1, NULL, 0, &w->err);
}

/* All that was sent so far has been taken. */
static void settle(struct world *w)
{
	assert_int_equal(clear(w, ADDR), 0);
	assert_int_equal(clear(w, ADDR), 0);
}

static void test_break(void **state)
{
	struct world *w = *state;

	assert_int_equal(set(w, ADDR), 0);
	assert_int_equal(set(w, VP_GVA(5)), 0);
	assert_int_equal(w->q->nbreaks, 2);
	assert_int_equal(w->q->breaks[0], ADDR.v);
	assert_int_equal(clear(w, ADDR), 0);
	assert_int_equal(w->q->nbreaks, 1);
	assert_int_equal(clear(w, ADDR), 0); /* it is not set */
	w->q->no_breaks = true;
	assert_int_equal(set(w, ADDR), -EOPNOTSUPP);
	assert_non_null(strstr(w->err.text, "0xffffffff81000123"));
	/* The connection is good after all of it. */
	assert_int_equal(clear(w, VP_GVA(5)), 0);
	assert_int_equal(w->q->nbreaks, 0);
}

/* Many at once: those that go make room for those that come. */
static void test_change(void **state)
{
	struct world *w = *state;
	vp_gva all[12];

	for (uint64_t i = 0; i < 12; i++)
		all[i] = VP_GVA(ADDR.v + i);
	assert_int_equal(vp_gdb_change_breaks(w->g, NULL, 0, all, 8, &w->err), 0);
	assert_int_equal(vp_gdb_change_breaks(w->g, all, 4, all + 8, 4, &w->err), 0);
	assert_int_equal(w->q->nbreaks, 8);
	/* One is not to be had: the other is there, and it is named. */
	assert_int_equal(vp_gdb_change_breaks(w->g, all + 4, 1, all, 2, &w->err), -EOPNOTSUPP);
	assert_non_null(strstr(w->err.text, "0xffffffff81000124"));
	assert_int_equal(w->q->nbreaks, 8);
	assert_int_equal(vp_gdb_change_breaks(w->g, all, 12, NULL, 0, &w->err), 0);
	/* An owner's `cont` before one of them: told, and it can be said again. */
	for (unsigned int bits = 1; bits < 1u << 12; bits <<= 2) {
		settle(w);
		w->q->eager = bits;
		assert_int_equal(vp_gdb_change_breaks(w->g, all, 8, all + 8, 4, &w->err), -EAGAIN);
		assert_true(vp_gdb_ran(w->g));
		assert_int_equal(vp_gdb_change_breaks(w->g, all, 12, NULL, 0, &w->err), 0);
		assert_int_equal(w->q->nbreaks, 0);
	}
}

/* In the order of QEMU's target description, each of the vCPU that is meant. */
static void test_regs(void **state)
{
	static const enum vp_gpr order[] = { VP_RAX, VP_RBX, VP_RCX, VP_RDX, VP_RSI, VP_RDI,
					     VP_RBP, VP_RSP, VP_R8,  VP_R9,  VP_R10, VP_R11,
					     VP_R12, VP_R13, VP_R14, VP_R15 };
	struct world *w = *state;
	struct vp_regs regs = { .rip = 0xffffffff81234567, .rflags = 0x246 };
	uint64_t value;

	for (uint64_t i = 0; i < VP_GPR_COUNT; i++)
		regs.gpr[order[i]] = 0x0102030405060700 + i;
	assert_int_equal(vp_gdb_set_regs(w->g, 1, &regs, &w->err), 0);
	for (uint64_t i = 0; i < VP_GPR_COUNT; i++) {
		memcpy(&value, w->q->regs[1] + 8 * i, 8);
		assert_int_equal(value, 0x0102030405060700 + i);
	}
	memcpy(&value, w->q->regs[1] + 128, 8);
	assert_int_equal(value, regs.rip);
	assert_int_equal(w->q->regs[1][136], 0x46);
	assert_int_equal(w->q->regs[1][137], 2);
	assert_int_equal(w->q->regs[0][0], 0);
	w->q->deaf = true;
	assert_int_equal(vp_gdb_set_regs(w->g, 0, &regs, &w->err), -EIO);
}

/* --- running --------------------------------------------------------------------- */

static void hit(struct fake_qemu *q)
{
	q->stops_as = "debug";
	fake_qemu_pause(q);
	q->stops_as = NULL;
}

static void test_run(void **state)
{
	static const int versions[][2] = { { 7, 2 }, { 11, 1 } };
	struct world *w = *state;
	uint8_t byte;

	for (size_t i = 0; i < 2; i++) {
		w->q->major = versions[i][0];
		w->q->minor = versions[i][1];
		w->q->went_on = hit;
		assert_int_equal(vp_gdb_read(w->g, VP_GPA(0x100000), &byte, 1, &w->err), 0);
		assert_int_equal(vp_gdb_run(w->g, HANG_MS, &w->err), 0);
		assert_false(w->q->running);
		/* Nobody comes: it is stopped, and the connection is good. */
		w->q->went_on = NULL;
		assert_int_equal(vp_gdb_run(w->g, 30, &w->err), -ETIMEDOUT);
		assert_non_null(strstr(w->err.text, "30 ms"));
		assert_false(w->q->running);
		assert_int_equal(set(w, ADDR), 0);
		assert_int_equal(clear(w, ADDR), 0);
		/* Its owner lets it go on before: it is held again, and the mode is put back later.
		 */
		assert_int_equal(vp_gdb_read(w->g, VP_GPA(0x100000), &byte, 1, &w->err), 0);
		settle(w);
		w->q->eager = 1;
		assert_int_equal(vp_gdb_run(w->g, HANG_MS, &w->err), -EAGAIN);
		assert_true(vp_gdb_ran(w->g));
		settle(w);
		assert_false(w->q->running);
		w->q->went_on = hit;
		assert_int_equal(vp_gdb_run(w->g, HANG_MS, &w->err), 0);
		assert_false(w->q->physical);
	}
	assert_int_equal(vp_gdb_detach(w->g, true, &w->err), 0);
}

/* Its owner lets it go on before: the packet is lost, nothing was done, and that is told. */
static void test_owner_goes_on(void **state)
{
	struct world *w = *state;
	struct vp_regs regs = { .rip = 5 };

	for (unsigned int bits = 1; bits <= 2; bits++) { /* Hg; G */
		settle(w);
		w->q->eager = bits;
		assert_int_equal(vp_gdb_set_regs(w->g, 0, &regs, &w->err), -EAGAIN);
		assert_true(vp_gdb_ran(w->g));
		assert_int_equal(w->q->regs[0][128], 0);
	}
	settle(w);
	w->q->eager = 4; /* g: they are set */
	assert_int_equal(vp_gdb_set_regs(w->g, 0, &regs, &w->err), 0);
	assert_int_equal(w->q->regs[0][128], 5);
}

/* Whatever comes in place of an answer: an error, in time. */
static void test_faults(void **state)
{
	struct world *w = *state;
	struct vp_regs regs = { .rip = 5 };

	for (int fault = FAKE_SILENT; fault < FAKE_FAULTS; fault++)
		for (unsigned int at = 1; at <= 5; at++) {
			int rc;

			vp_gdb_close(w->g);
			fake_qemu_free(w->q);
			w->q = fake_qemu_new();
			dial(w, SHORT_MS);
			w->q->went_on = hit;
			w->q->fault = (enum fake_fault)fault;
			w->q->fault_at = w->q->messages + at;
			rc = set(w, ADDR);
			if (!rc)
				rc = vp_gdb_set_regs(w->g, 0, &regs, &w->err);
			if (!rc)
				rc = vp_gdb_run(w->g, SHORT_MS, &w->err);
			if (rc >= 0 && fault != FAKE_ODD && at < 5)
				fail_msg("fault %d at %u was not seen", fault, at);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_break, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
