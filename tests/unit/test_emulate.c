/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "x86/emulate.h"

#define AT    0xffffffff81000000ull
#define STACK 0xffff888000010000ull

enum { CF = 1 << 0, PF = 1 << 2, ZF = 1 << 6, SF = 1 << 7, TF = 1 << 8, OF = 1 << 11 };

/* A stack of one slot. */
struct slot {
	uint64_t addr, value;
	unsigned int loads, stores;
	int rc;
};

static int slot_load(void *arg, vp_gva addr, uint64_t *value)
{
	struct slot *s = arg;

	s->loads++;
	if (s->rc)
		return s->rc;
	assert_int_equal(addr.v, s->addr);
	*value = s->value;
	return 0;
}

static int slot_store(void *arg, vp_gva addr, uint64_t value)
{
	struct slot *s = arg;

	s->stores++;
	if (s->rc)
		return s->rc;
	assert_int_equal(addr.v, s->addr);
	s->value = value;
	return 0;
}

static struct vp_regs start_regs(void)
{
	struct vp_regs r = { .rip = AT, .rflags = 0x202 };

	for (unsigned int i = 0; i < VP_GPR_COUNT; i++)
		r.gpr[i] = 0x1111111111111111ull * i;
	r.gpr[VP_RSP] = STACK;
	return r;
}

static int run(const char *bytes, size_t n, struct vp_regs *r, struct slot *slot)
{
	struct vp_stack_ops ops = { slot_load, slot_store, slot };
	struct vp_insn insn;

	assert_int_equal(vp_insn_decode((const uint8_t *)bytes, n, VP_GVA(r->rip), &insn, NULL), 0);
	return vp_emulate(&insn, r, &ops);
}

#define RUN(bytes, r, slot) run(bytes, sizeof(bytes) - 1, r, slot)

static void expect_regs(const struct vp_regs *got, const struct vp_regs *want)
{
	assert_memory_equal(got, want, sizeof(*got));
}

static void nop_jmp(void **state)
{
	struct vp_regs r = start_regs(), want = r;

	(void)state;
	assert_int_equal(RUN("\x66\x90", &r, NULL), 0);
	want.rip = AT + 2;
	expect_regs(&r, &want);
	assert_int_equal(RUN("\xe9\xf9\xff\x00\x00", &r, NULL), 0);
	want.rip = AT + 2 + 5 + 0xfff9;
	expect_regs(&r, &want);
	assert_int_equal(RUN("\xeb\xfe", &r, NULL), 0);
	expect_regs(&r, &want);
}

static void mov_imm(void **state)
{
	struct vp_regs r = start_regs(), want = r;

	(void)state;
	assert_int_equal(RUN("\xb8\xff\xff\xff\xff", &r, NULL), 0);
	want.gpr[VP_RAX] = 0xffffffff;
	want.rip = AT + 5;
	expect_regs(&r, &want);
	assert_int_equal(RUN("\x49\xc7\xc7\xfe\xff\xff\xff", &r, NULL), 0);
	want.gpr[VP_R15] = -2ull;
	want.rip += 7;
	expect_regs(&r, &want);
	assert_int_equal(RUN("\x48\xbc\x08\x07\x06\x05\x04\x03\x02\x01", &r, NULL), 0);
	want.gpr[VP_RSP] = 0x0102030405060708;
	want.rip += 10;
	expect_regs(&r, &want);
}

static void call_ret(void **state)
{
	struct vp_regs r = start_regs(), want = r;
	struct slot slot = { .addr = STACK - 8 };

	(void)state;
	assert_int_equal(RUN("\xe8\xfb\x0f\x00\x00", &r, &slot), 0);
	want.rip = AT + 0x1000;
	want.gpr[VP_RSP] = STACK - 8;
	expect_regs(&r, &want);
	assert_int_equal(slot.value, AT + 5);
	assert_int_equal(slot.stores, 1);

	assert_int_equal(RUN("\xc2\x10\x00", &r, &slot), 0);
	want.rip = AT + 5;
	want.gpr[VP_RSP] = STACK + 0x10;
	expect_regs(&r, &want);

	slot.addr = STACK + 0x10;
	assert_int_equal(RUN("\xc3", &r, &slot), 0);
	want.gpr[VP_RSP] = STACK + 0x18;
	expect_regs(&r, &want);
	assert_int_equal(slot.loads, 2);
	assert_int_equal(slot.stores, 1);
}

static void stack_out_of_reach(void **state)
{
	struct vp_regs r = start_regs(), want = r;
	struct slot slot = { .rc = -EIO };

	(void)state;
	assert_int_equal(RUN("\xe8\x00\x00\x00\x00", &r, &slot), -EFAULT);
	assert_int_equal(RUN("\xc3", &r, &slot), -EFAULT);
	assert_int_equal(slot.stores + slot.loads, 2);
	expect_regs(&r, &want);
}

/* SDM vol. 1, appendix B, table B-1, in its own words. */
static bool table_b1(unsigned int cc, unsigned int f)
{
	bool cf = f & CF, pf = f & PF, zf = f & ZF, sf = f & SF, of = f & OF;
	const bool holds[16] = {
		of, !of, cf, !cf, zf,	    !zf,      cf || zf,	      !cf && !zf,
		sf, !sf, pf, !pf, sf != of, sf == of, zf || sf != of, !zf && sf == of,
	};

	return holds[cc];
}

/* 16 conditions, all 32 states of the five flags, with all others set or clear. */
static void jcc_every_flag(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 16 * 32 * 2; i++) {
		unsigned int cc = i & 15, bits = i >> 4 & 31;
		unsigned int f = (bits & 1 ? CF : 0) | (bits & 2 ? PF : 0) | (bits & 4 ? ZF : 0) |
				 (bits & 8 ? SF : 0) | (bits & 16 ? OF : 0);
		char near[] = { 0x0f, (char)(0x80 | cc), 0x00, 0x01, 0x00, 0x00 };
		char rel8[] = { (char)(0x70 | cc), 0x20 };
		struct vp_regs r = start_regs(), want = r;

		r.rflags = f | (i & 512 ? 0x246612u : 0x2u);
		want = r;
		assert_int_equal(run(rel8, sizeof(rel8), &r, NULL), 0);
		want.rip = AT + 2 + (table_b1(cc, f) ? 0x20 : 0);
		expect_regs(&r, &want);
		r.rip = AT;
		assert_int_equal(run(near, sizeof(near), &r, NULL), 0);
		want.rip = AT + 6 + (table_b1(cc, f) ? 0x100 : 0);
		expect_regs(&r, &want);
	}
}

static void single_step_is_refused(void **state)
{
	struct vp_regs r = start_regs(), want;
	struct slot slot = { 0 };

	(void)state;
	r.rflags |= TF;
	want = r;
	assert_int_equal(RUN("\x90", &r, &slot), -EOPNOTSUPP);
	assert_int_equal(RUN("\xe8\x00\x00\x00\x00", &r, &slot), -EOPNOTSUPP);
	assert_int_equal(RUN("\xb8\x00\x00\x00\x00", &r, &slot), -EOPNOTSUPP);
	assert_int_equal(slot.loads + slot.stores, 0);
	expect_regs(&r, &want);
}

static void resume_flag_is_cleared(void **state)
{
	struct vp_regs r = start_regs();

	(void)state;
	r.rflags |= 1u << 16;
	assert_int_equal(RUN("\x90", &r, NULL), 0);
	assert_int_equal(r.rflags, 0x202);
}

/* The real CPU must raise these faults: nothing changes, nothing is stored. */
static void not_canonical_is_refused(void **state)
{
	struct vp_regs r = start_regs(), want;
	struct slot slot = { .addr = STACK, .value = 0x0000800000000000 };

	(void)state;
	want = r;
	assert_int_equal(RUN("\xc3", &r, &slot), -EOPNOTSUPP);
	slot.value = 0xffff7fffffffffff;
	assert_int_equal(RUN("\xc3", &r, &slot), -EOPNOTSUPP);
	expect_regs(&r, &want);
	slot.value = 0x00007fffffffffff;
	assert_int_equal(RUN("\xc3", &r, &slot), 0);
	assert_int_equal(r.rip, 0x00007fffffffffff);

	r = start_regs();
	slot.value = 0xffff800000000000;
	assert_int_equal(RUN("\xc3", &r, &slot), 0);

	r.rip = 0x00007ffffffffff0;
	want = r;
	assert_int_equal(RUN("\xe8\x20\x00\x00\x00", &r, &slot), -EOPNOTSUPP);
	assert_int_equal(RUN("\xeb\x20", &r, &slot), -EOPNOTSUPP);
	expect_regs(&r, &want);
	assert_int_equal(slot.stores, 0);
}

static void others_are_refused(void **state)
{
	struct vp_regs r = start_regs(), want = r;

	(void)state;
	assert_int_equal(RUN("\xcc", &r, NULL), -EOPNOTSUPP);
	assert_int_equal(RUN("\xf3\x90", &r, NULL), -EOPNOTSUPP);
	assert_int_equal(RUN("\xf2\xe9\x00\x00\x00\x00", &r, NULL), -EOPNOTSUPP);
	expect_regs(&r, &want);
	for (int kind = VP_INSN_OTHER; kind <= VP_INSN_MOV_IMM; kind++)
		assert_int_equal(vp_can_emulate(&(struct vp_insn){ .kind = (uint8_t)kind }),
				 kind != VP_INSN_OTHER && kind != VP_INSN_INT3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nop_jmp),
		cmocka_unit_test(mov_imm),
		cmocka_unit_test(call_ret),
		cmocka_unit_test(stack_out_of_reach),
		cmocka_unit_test(jcc_every_flag),
		cmocka_unit_test(single_step_is_refused),
		cmocka_unit_test(resume_flag_is_cleared),
		cmocka_unit_test(not_canonical_is_refused),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
