/* SPDX-License-Identifier: Apache-2.0 */
/* Who is inside a function: every place where it may show, and when it cannot be told. */
#include "unit.h"
#include "linux_build.h"
#include "linux_tasks.h"

#include "linux/tasks.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_linux_inside *in;
static struct vp_linux_blocker who;
static struct vp_err err;

#define FUNC	  LG_FUNC(2)
#define INSIDE(n) (g->text + FUNC + (n))

static int setup_of(enum lg_layout layout)
{
	g = lg_new(&(struct lg_opts){ .layout = layout, .slide = 0x200000 });
	return vp_linux_open(&g->target, NULL, &l, NULL);
}

static int setup(void **state)
{
	(void)state;
	return setup_of(LG_6_1);
}

static int setup_newest(void **state)
{
	(void)state;
	return setup_of(LG_7_0);
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_inside_free(in);
	in = NULL;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

static int prepare(void)
{
	struct vp_linux_range r = { VP_GVA(g->text + FUNC), 16 };

	vp_linux_inside_free(in);
	in = NULL;
	err.text[0] = '\0';
	return vp_linux_inside_new(l, &r, 1, &in, &err);
}

/* In a stop. */
static int held(void)
{
	int rc;

	err.text[0] = '\0';
	memset(&who, 0xff, sizeof(who));
	assert_int_equal(g->target.ops->lock(&g->target, NULL), 0);
	rc = vp_linux_inside_held(in, &who, &err);
	g->target.ops->unlock(&g->target);
	return rc;
}

static int look(void)
{
	assert_int_equal(prepare(), 0);
	return held();
}

static void expect(int rc, int wanted, const char *text)
{
	assert_int_equal(rc, wanted);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void nobody(void **state)
{
	(void)state;
	assert_int_equal(look(), 0);
	assert_int_equal(vp_linux_inside_cost(in).tasks, LG_NTASKS);
	assert_int_equal(vp_linux_inside_guess(in, &who, &err), 0);
	/* Below a saved stack pointer, at the function's first byte, and behind it: not inside. */
	lg_put(g, LG_TOP(2) - 0x208, INSIDE(5), 8);
	lg_put(g, LG_TOP(2) - 0x100, INSIDE(0), 8);
	lg_put(g, LG_TOP(2) - 0x0f8, INSIDE(16), 8);
	lg_put(g, LG_TOP(4) - 0x100, INSIDE(5), 8); /* it is in user mode */
	assert_int_equal(look(), 0);
}

/* Each task that does not run, from the first to the last word in use, and bytes of the function.
 */
static void asleep(void **state)
{
	static const uint32_t at[] = { 0x200, 0x100, 8 };

	(void)state;
	for (uint32_t i = 1; i < 4; i++)
		for (size_t k = 0; k < 3; k++) {
			uint32_t off = LG_TOP(i) - at[k];
			char text[64];

			snprintf(text, sizeof(text), "task %u (task_%u?) is inside filler_18+0x%x",
				 i < 2 ? 0 : 10 * i, i, k == 2 ? 15 : 1);
			lg_put(g, off, INSIDE(k == 2 ? 15 : 1), 8);
			expect(look(), -EBUSY, text);
			assert_int_equal(who.task.v, g->text + LG_TASK(i));
			assert_int_equal(who.pid, i < 2 ? 0 : 10 * i);
			assert_int_equal(who.vcpu, -1);
			assert_int_equal(who.addr.v, INSIDE(k == 2 ? 15 : 1));
			assert_int_equal(vp_linux_inside_guess(in, &who, &err), -EBUSY);
			lg_put(g, off, 0, 8);
		}
	assert_int_equal(look(), 0);
}

/* What changes between the preparation and the stop is seen. */
static void went_in_later(void **state)
{
	(void)state;
	assert_int_equal(prepare(), 0);
	lg_put(g, LG_TOP(3) - 0x2000, INSIDE(3), 8);
	assert_int_equal(held(), 0);
	lg_put(g, LG_TASK(3) + LG_T_SP, g->text + LG_TOP(3) - 0x2000, 8); /* deeper than before */
	expect(held(), -EBUSY, "task 30");
	assert_int_equal(vp_linux_inside_guess(in, &who, &err), -EBUSY); /* as it was read last */
}

/* A vCPU in the kernel: where it stands, what is above its stack pointer. */
static void runs(void **state)
{
	(void)state;
	g->vcpus[0].regs.rip = INSIDE(4);
	expect(look(), -EBUSY, "vCPU 0 is inside filler_18+0x4");
	assert_int_equal(who.vcpu, 0);
	g->vcpus[0].regs.rip = INSIDE(0);
	assert_int_equal(look(), 0);
	lg_put(g, LG_TOP(0) - 0x88, INSIDE(4), 8);
	assert_int_equal(look(), 0);
	lg_put(g, LG_TOP(0) - 0x80, INSIDE(4), 8);
	expect(look(), -EBUSY, "task 0 (task_0?)");
}

/* On the interrupt stack of CPU 1, which leads back to the task's. */
static void in_interrupt(void **state)
{
	struct vp_regs *r = &g->vcpus[1].regs;

	(void)state;
	g->vcpus[1].cs = 0x10;
	r->rip = g->text + 0x900;
	r->gpr[VP_RSP] = g->text + LG_TOP(6) - 0x40;
	lg_put(g, LG_TOP(6) - 8, g->text + LG_TOP(4) - 0x100, 8);
	assert_int_equal(look(), 0);
	lg_put(g, LG_TOP(6) - 0x20, INSIDE(2), 8);
	expect(look(), -EBUSY, "vCPU 1 is inside");
	lg_put(g, LG_TOP(6) - 0x20, 0, 8);
	lg_put(g, LG_TOP(4) - 0x108, INSIDE(2), 8);
	assert_int_equal(look(), 0);
	lg_put(g, LG_TOP(4) - 0x100, INSIDE(2), 8);
	expect(look(), -EBUSY, "task 40");
	lg_put(g, LG_TOP(6) - 8, 0xfffffe0000001000, 8); /* it interrupted an exception */
	expect(look(), -EAGAIN, "vCPU 1 is amid an exception");
}

static void cannot_be_told(void **state)
{
	(void)state;
	g->vcpus[0].regs.gpr[VP_RSP] = 0xfffffe0000002000; /* on no stack that is known */
	expect(look(), -EAGAIN, "vCPU 0 is amid an exception");
	g->vcpus[0].regs.gpr[VP_RSP] = g->text + LG_TOP(0) - 0x80;
	lg_put(g, LG_TASK(3) + LG_T_ON_CPU, 1, 4); /* two run, one vCPU is in user mode */
	expect(look(), -EAGAIN, "amid a switch");
	lg_put(g, LG_TASK(3) + LG_T_ON_CPU, 0, 4);
	lg_put(g, LG_TASK(3) + LG_T_SP, g->text + LG_TOP(3), 8);
	expect(look(), -EAGAIN, "stack pointer");
	lg_put(g, LG_TASK(3) + LG_T_STACK, 0, 8); /* a zombie's was freed */
	assert_int_equal(look(), 0);
	g->vcpus[1].nested = true; /* its registers are another guest's: the whole stack counts */
	lg_put(g, LG_STACK(4), INSIDE(2), 8);
	expect(look(), -EBUSY, "task 40");
}

/* An idle task whose CPU is off has on_cpu, and no vCPU: all of its stack counts. */
static void cpu_is_off(void **state)
{
	(void)state;
	lg_put(g, LG_TASK(1) + LG_T_ON_CPU, 1, 4);
	assert_int_equal(look(), 0);
	lg_put(g, LG_STACK(1) + 8, INSIDE(2), 8);
	expect(look(), -EBUSY, "task 0 (task_1?)");
}

static void kept_elsewhere(void **state)
{
	const uint32_t rets = LG_SIGNALS + 0x800;

	(void)state;
	lg_put(g, LG_TASK(2) + LG_T_RET_STACK, g->text + rets, 8);
	lg_put(g, rets + LG_RET_ENTRY, INSIDE(7), 8);
	lg_put(g, LG_TASK(2) + LG_T_RET_DEPTH, 0, 4); /* the first one only */
	assert_int_equal(look(), 0);
	lg_put(g, LG_TASK(2) + LG_T_RET_DEPTH, 1, 4);
	expect(look(), -EBUSY, "task 20");
	lg_put(g, LG_TASK(2) + LG_T_RET_DEPTH, 1000, 4);
	expect(look(), -EAGAIN, "function-graph");
	lg_put(g, LG_TASK(2) + LG_T_RET_DEPTH, UINT32_MAX, 4);
	lg_put(g, LG_TASK(3) + LG_T_RETHOOKS, g->text + rets, 8);
	expect(look(), -EBUSY, "kretprobe");
	assert_int_equal(who.addr.v, 0);
	assert_int_equal(who.pid, 30);
}

/* Lists that lead nowhere, or to each other, or in a circle; each is refused, and none hangs. */
static void lists(void **state)
{
	const uint32_t at[] = { LG_TASK(0) + LG_T_TASKS, LG_TASK(2) + LG_T_TASKS,
				LG_TASK(2) + LG_T_THREAD_NODE, LG_SIGNALS + LG_THREAD_HEAD,
				LG_TASK(4) + LG_T_SIGNAL };
	const uint64_t to[] = { 0,
				0x1234,
				0xffff900000000000,
				g->text + LG_TASK(2) + LG_T_TASKS,
				g->text + LG_TASK(3) + LG_T_THREAD_NODE,
				UINT64_MAX - 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		for (size_t k = 0; k < sizeof(to) / sizeof(to[0]); k++) {
			uint64_t was = lg_get(g, at[i], 8);

			if (to[k] == was)
				continue;
			lg_put(g, at[i], to[k], 8);
			expect(prepare(), -EAGAIN, "list of tasks");
			lg_put(g, at[i], was, 8);
			assert_int_equal(prepare(), 0);
			lg_put(g, at[i], to[k], 8); /* and between the two */
			expect(held(), -EAGAIN, "list of tasks");
			lg_put(g, at[i], was, 8);
		}
	assert_int_equal(look(), 0);
}

/* A task that came after the preparation, one that went. */
static void came_and_went(void **state)
{
	const uint32_t first = LG_SIGNALS + LG_THREAD_HEAD, node = LG_TASK(2) + LG_T_THREAD_NODE;

	(void)state;
	lg_put(g, node, g->text + first, 8); /* without task 3 */
	lg_put(g, first + 8, g->text + node, 8);
	lg_put(g, LG_TOP(3) - 0x10, INSIDE(9), 8);
	assert_int_equal(look(), 0);
	assert_int_equal(vp_linux_inside_cost(in).tasks, LG_NTASKS - 1);
	lg_put(g, node, g->text + LG_TASK(3) + LG_T_THREAD_NODE, 8);
	expect(held(), -EBUSY, "task 30");
	assert_int_equal(prepare(), 0);
	lg_put(g, node, g->text + first, 8);
	assert_int_equal(held(), 0);
}

static void not_known(void **state)
{
	struct linux_guest *old = lg_new(&(struct lg_opts){ .layout = LG_6_1, .no_btf = true });
	struct vp_linux_range r = { VP_GVA(g->text + FUNC), 16 }, none = { 0 };
	struct vp_linux *lo;

	(void)state;
	assert_int_equal(vp_linux_open(&old->target, NULL, &lo, NULL), 0);
	expect(vp_linux_inside_new(lo, &r, 1, &in, &err), -EOPNOTSUPP, "type information");
	vp_linux_free(lo);
	lg_free(old);
	expect(vp_linux_inside_new(l, &none, 1, &in, &err), -EINVAL, "text");
	expect(vp_linux_inside_new(l, &r, 0, &in, &err), -EINVAL, "text");
	lg_put(g, LG_TASK(0) + LG_T_STACK, g->text + LG_STACK(1), 8);
	expect(prepare(), -EOPNOTSUPP, "first task");
	lg_put(g, LG_TASK(0) + LG_T_STACK, g->text + LG_STACK(0), 8);
	lg_put(g, LG_NR_CPUS, 100000, 4);
	expect(prepare(), -EBADMSG, "100000 CPUs");
}

/* A target that stops to answer is an error of its own, at each read. */
static void target_fails(void **state)
{
	(void)state;
	for (unsigned long i = 1; i < 12; i++) {
		int rc;

		g->reads = 0;
		g->fail_at = i;
		g->fail_with = -EIO;
		g->fail_stays = true;
		rc = prepare();
		if (!rc)
			rc = held();
		if (rc)
			assert_int_equal(rc, -EIO);
		else
			assert_true(g->reads < i);
		g->fail_at = 0;
	}
	assert_int_equal(look(), 0);
}

#define T(fn)	   cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define NEWEST(fn) cmocka_unit_test_setup_teardown(fn, setup_newest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nobody),	 T(asleep),	    T(went_in_later), T(runs),
		T(in_interrupt), T(cannot_be_told), T(cpu_is_off),    T(kept_elsewhere),
		T(lists),	 T(came_and_went),  T(not_known),     T(target_fails),
		NEWEST(asleep),	 NEWEST(runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
