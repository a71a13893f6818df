/* SPDX-License-Identifier: Apache-2.0 */
/* What the local target makes of KVM's exits around an int3. */
#include <vmpoke/local.h>

#include "fake_kvm.h"
#include "target/local_internal.h"
#include "unit.h"

#define RAM   0x10000u
#define CODE  0x5000ull /* mapped at itself */
#define FLAGS 0x63ull

static struct {
	struct vp_local *l;
	struct vp_target *t;
	struct vp_local_vcpu *v;
	uint8_t *ram;
	unsigned int calls; /* of the sink */
	struct vp_trap trap;
	enum vp_verdict verdict;
	uint64_t go_to; /* with VP_VERDICT_RESUME; 0: the same place */
} w;

static enum vp_verdict sink(void *arg, struct vp_trap *trap)
{
	(void)arg;
	w.calls++;
	w.trap = *trap;
	if (w.go_to && w.verdict == VP_VERDICT_RESUME)
		trap->regs.rip = w.go_to;
	return w.verdict;
}

static void put(uint64_t gpa, uint64_t value)
{
	memcpy(w.ram + gpa, &value, sizeof(value));
}

static int setup_route(enum vp_trap_route route)
{
	const struct vp_local_config config = { .route = route, .serializer = VP_SERIALIZER_KICK };

	memset(&w, 0, sizeof(w));
	fake_kvm_reset();
	w.ram = calloc(1, RAM);
	put(0x1000, 0x2000 | FLAGS);
	put(0x2000, 0x3000 | FLAGS);
	put(0x3000, 0x4000 | FLAGS);
	put(0x4000 + 8 * (CODE >> 12), CODE | FLAGS);
	assert_int_equal(vp_local_new(&config, &w.l, NULL), 0);
	w.t = vp_local_target(w.l);
	w.t->sink.handle = sink;
	assert_int_equal(vp_local_add_ram(w.l, VP_GPA(0), w.ram, RAM, 0, NULL), 0);
	fake_kvm[0].regs.rip = CODE;
	return vp_local_vcpu_attach(w.l, 0, FAKE_KVM_FD, &fake_kvm[0].run, &w.v, NULL);
}

static int setup(void **state)
{
	(void)state;
	return setup_route(VP_ROUTE_DEBUG);
}

static int setup_emulated(void **state)
{
	(void)state;
	return setup_route(VP_ROUTE_INTERNAL_ERROR);
}

static void arm(void)
{
	w.t->ops->lock(w.t, NULL);
	assert_int_equal(w.t->ops->arm(w.t, 10000, NULL), 0);
	w.t->ops->unlock(w.t);
}

/* As while a batch is under way: KVM leaves the registers in kvm_run. */
static int setup_armed(void **state)
{
	int rc = setup(state);

	arm();
	return rc;
}

static int setup_emulated_armed(void **state)
{
	int rc = setup_emulated(state);

	arm();
	return rc;
}

static int setup_old_armed(void **state)
{
	int rc = setup_armed(state);

	fake_kvm[0].old = true;
	return rc;
}

static int teardown(void **state)
{
	(void)state;
	vp_local_vcpu_detach(w.v);
	w.t->sink.handle = NULL;
	assert_int_equal(vp_local_free(w.l), 0);
	free(w.ram);
	return 0;
}

/* --- the guest ----------------------------------------------------------------- */

/* What handle_emulation_failure() in KVM leaves behind. */
static int fails_on(struct fake_kvm_vcpu *c, const uint8_t *bytes, uint8_t n)
{
	memset(&c->run.emulation_failure, 0, sizeof(c->run.emulation_failure));
	c->run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
	c->run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	if (n) {
		c->run.internal.ndata = 4;
		c->run.emulation_failure.flags =
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		c->run.emulation_failure.insn_size = n;
		memcpy(c->run.emulation_failure.insn_bytes, bytes, n);
	}
	c->events.exception.injected = 1;
	c->events.exception.nr = UD_VECTOR;
	return 0;
}

static int halts(struct fake_kvm_vcpu *c)
{
	c->run.exit_reason = KVM_EXIT_HLT;
	return 0;
}

static int fails_once(struct fake_kvm_vcpu *c)
{
	return c->steps++ ? halts(c) : fails_on(c, (const uint8_t *)"\xcc\x00\x01", 3);
}

static int fails_once_silently(struct fake_kvm_vcpu *c)
{
	return c->steps++ ? halts(c) : fails_on(c, NULL, 0);
}

static int fails_for_ever(struct fake_kvm_vcpu *c)
{
	c->steps++;
	return fails_on(c, (const uint8_t *)"\xcc", 1);
}

/* An int3 that is in memory, and that this KVM cannot but emulate. */
static int fails_there(struct fake_kvm_vcpu *c)
{
	return c->regs.rip == CODE ? fails_for_ever(c) : halts(c);
}

static int fails_there_silently(struct fake_kvm_vcpu *c)
{
	c->steps++;
	return c->regs.rip == CODE ? fails_on(c, NULL, 0) : halts(c);
}

/* With a prefix, which is one byte more to pass over. */
static int fails_on_long_once(struct fake_kvm_vcpu *c)
{
	return c->steps++ ? halts(c) : fails_on(c, (const uint8_t *)"\x2e\xcc", 2);
}

static int fails_on_other(struct fake_kvm_vcpu *c)
{
	c->steps++;
	return fails_on(c, (const uint8_t *)"\x0f\xae\xcc", 3);
}

static int traps_once(struct fake_kvm_vcpu *c)
{
	if (c->steps++)
		return halts(c);
	c->run.exit_reason = KVM_EXIT_DEBUG;
	c->run.debug.arch.exception = BP_VECTOR;
	return 0;
}

/* The VMM wants its thread, at last. */
static void interrupt_late(struct fake_kvm_vcpu *c)
{
	(void)c;
	if (w.calls > 1000)
		vp_local_vcpu_interrupt(w.l, 0);
}

static void expect_exit(int (*guest)(struct fake_kvm_vcpu *c), unsigned int reason)
{
	fake_kvm[0].guest = guest;
	assert_int_equal(vp_local_run(w.v, NULL), 0);
	assert_int_equal(fake_kvm[0].run.exit_reason, reason);
}

/* --- an int3 of ours, by the exit that nobody expects ----------------------------- */

static void expect_ours(int (*guest)(struct fake_kvm_vcpu *c))
{
	w.calls = fake_kvm[0].steps = 0;
	w.verdict = VP_VERDICT_RESUME;
	w.go_to = CODE + 0x100;
	fake_kvm[0].regs.rip = CODE;
	expect_exit(guest, KVM_EXIT_HLT);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.trap.rip.v, CODE);
	assert_int_equal(fake_kvm[0].regs.rip, CODE + 0x100);
	assert_int_equal(fake_kvm[0].events.exception.injected, 0); /* no #UD either */
}

/* Route DEBUG: KVM emulated the instruction, for MMIO say; or this host's route is another one. */
static void test_ours_fails(void **state)
{
	(void)state;
	expect_ours(fails_there);
	w.ram[CODE] = VP_INT3;
	expect_ours(fails_there_silently);
}

/* Ours, and nothing to be done but wait: every time again, never the VMM's. */
static void test_ours_fails_often(void **state)
{
	struct fake_kvm_vcpu *c = &fake_kvm[0];

	(void)state;
	w.go_to = 0;
	c->guest = fails_for_ever;
	c->on_get_events = interrupt_late;
	assert_int_equal(vp_local_run(w.v, NULL), -EINTR);
	assert_in_range(w.calls, 1000, 1100);
	assert_int_equal(c->regs.rip, CODE);
	assert_int_equal(c->events.exception.injected, 0);
}

/* Route INTERNAL_ERROR: from a KVM that does not say what it failed on; and by KVM_EXIT_DEBUG. */
static void test_ours_where_emulated(void **state)
{
	(void)state;
	expect_ours(fails_there);
	w.ram[CODE] = VP_INT3;
	expect_ours(fails_there_silently);
	expect_ours(traps_once);
}

/* --- KVM fails to emulate what an int3 lies on, not one of ours ------------------- */

/* The guest's own text_poke, while KVM did an MMIO access: no #UD, and the CPU runs what is there.
 */
static void test_run_again(void **state)
{
	(void)state;
	w.verdict = VP_VERDICT_FOREIGN;
	expect_exit(fails_once, KVM_EXIT_HLT);
	assert_int_equal(fake_kvm[0].events.exception.injected, 0);
	assert_int_equal(fake_kvm[0].steps, 2);
	assert_int_equal(fake_kvm[0].regs.rip, CODE);
}

/* An older KVM does not say on what it failed. */
static void test_run_again_without_bytes(void **state)
{
	(void)state;
	w.verdict = VP_VERDICT_FOREIGN;
	w.ram[CODE] = VP_INT3;
	expect_exit(fails_once_silently, KVM_EXIT_HLT);
	assert_int_equal(fake_kvm[0].events.exception.injected, 0);
	w.ram[CODE] = 0x90;
	fake_kvm[0].steps = 0;
	expect_exit(fails_once_silently, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(fake_kvm[0].events.exception.nr, UD_VECTOR);
}

/* Nor whether it was an int3 of ours, which has gone since: then the CPU gets past it. */
static void test_gone_without_bytes(void **state)
{
	(void)state;
	arm();
	expect_exit(fails_once_silently, KVM_EXIT_HLT);
	assert_int_equal(fake_kvm[0].events.exception.injected, 0);
	fake_kvm[0].steps = 0;
	expect_exit(fails_there_silently, KVM_EXIT_INTERNAL_ERROR);
	assert_in_range(fake_kvm[0].steps, 2, 100);
	assert_int_equal(fake_kvm[0].events.exception.nr, UD_VECTOR);
	assert_int_equal(w.calls, 0);
}

static void test_other_failures(void **state)
{
	(void)state;
	w.verdict = VP_VERDICT_FOREIGN;
	expect_exit(fails_on_other, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(fake_kvm[0].steps, 1);
	assert_int_equal(fake_kvm[0].events.exception.injected, 1);
	assert_int_equal(w.calls, 0);
	fake_kvm[0].steps = 0;
	expect_exit(fails_for_ever, KVM_EXIT_INTERNAL_ERROR);
	assert_in_range(fake_kvm[0].steps, 2, 100);
	assert_int_equal(fake_kvm[0].events.exception.nr, UD_VECTOR);
}

/* --- the guest's own #BP --------------------------------------------------------- */

static void nmi_comes(struct fake_kvm_vcpu *c)
{
	c->events.nmi.pending = 1;
	c->events.smi.pending = 1;
	c->events.interrupt.shadow = 0;
}

/* Between the look at the events and their change an NMI and an SMI come: both stay. */
static void test_reinject_keeps_nmi(void **state)
{
	struct fake_kvm_vcpu *c = &fake_kvm[0];

	(void)state;
	w.verdict = VP_VERDICT_FOREIGN;
	c->events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			  KVM_VCPUEVENT_VALID_SMM;
	c->events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	c->on_get_events = nmi_comes;
	expect_exit(traps_once, KVM_EXIT_HLT);
	assert_int_equal(c->events.exception.injected, 1);
	assert_int_equal(c->events.exception.nr, BP_VECTOR);
	assert_int_equal(c->events.nmi.pending, 1);
	assert_int_equal(c->events.smi.pending, 1);
	assert_int_equal(c->events.interrupt.shadow, 0);
	assert_int_equal(c->regs.rip, CODE);
}

/* KVM moves RIP where it intercepted the int3; where it failed on one, that is left to us. */
static void test_reinject_moves_rip(void **state)
{
	struct fake_kvm_vcpu *c = &fake_kvm[0];

	(void)state;
	w.verdict = VP_VERDICT_FOREIGN;
	expect_exit(fails_once, KVM_EXIT_HLT);
	assert_int_equal(c->regs.rip, CODE + 1);
	assert_int_equal(c->events.exception.nr, BP_VECTOR);
	c->steps = 0;
	expect_exit(fails_on_long_once, KVM_EXIT_HLT);
	assert_int_equal(c->regs.rip, CODE + 3);
	w.ram[CODE + 3] = VP_INT3;
	c->steps = 0;
	expect_exit(fails_once_silently, KVM_EXIT_HLT);
	assert_int_equal(c->regs.rip, CODE + 4);
	c->steps = 0;
	expect_exit(traps_once, KVM_EXIT_HLT);
	assert_int_equal(c->regs.rip, CODE + 4);
	assert_int_equal(c->events.exception.nr, BP_VECTOR);
}

/* --- a debugger of the VMM's own ----------------------------------------------------- */

static void debug(uint32_t control)
{
	const struct kvm_guest_debug d = { .control = control };

	assert_int_equal(vp_local_vcpu_guest_debug(w.v, &d), 0);
}

/* An int3 that is not ours is the debugger's to look at; one that is ours it never sees. */
static void test_debugger(void **state)
{
	struct fake_kvm_vcpu *c = &fake_kvm[0];

	(void)state;
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
	assert_true(c->armed);
	w.verdict = VP_VERDICT_FOREIGN;
	c->steps = 0;
	expect_exit(traps_once, KVM_EXIT_DEBUG);
	assert_int_equal(c->run.debug.arch.exception, BP_VECTOR);
	assert_int_equal(c->regs.rip, CODE);
	assert_int_equal(c->events.exception.injected, 0);
	expect_ours(traps_once);
	debug(0);
	assert_false(c->armed);
	w.verdict = VP_VERDICT_FOREIGN;
	w.go_to = 0;
	c->steps = 0;
	expect_exit(traps_once, KVM_EXIT_HLT);
	assert_int_equal(c->events.exception.nr, BP_VECTOR); /* nobody's: it is the guest's */
}

/* A batch needs int3s: the debugger's coming and going does not take them away. */
static void test_debugger_amid_batch(void **state)
{
	struct fake_kvm_vcpu *c = &fake_kvm[0];

	(void)state;
	expect_ours(traps_once); /* it has served the arming */
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	assert_true(c->armed);
	expect_ours(traps_once);
	debug(0);
	assert_true(c->armed);
	expect_ours(traps_once);
	/* It steps, and looks for no int3s: those of the guest are the guest's. */
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	w.verdict = VP_VERDICT_FOREIGN;
	w.go_to = 0;
	c->steps = 0;
	expect_exit(traps_once, KVM_EXIT_HLT);
	assert_int_equal(c->events.exception.nr, BP_VECTOR);
}

/* --- registers that KVM leaves in kvm_run ------------------------------------------ */

static int trap_once_armed(struct fake_kvm_vcpu *c)
{
	if (!c->steps)
		c->asked = 0;
	return traps_once(c);
}

/* An exit of ours costs no question. */
static void test_asks_nothing(void **state)
{
	(void)state;
	expect_ours(trap_once_armed);
	assert_int_equal(fake_kvm[0].asked, 0);
}

static void test_asks_old_kvm(void **state)
{
	(void)state;
	expect_ours(trap_once_armed);
	assert_int_equal(fake_kvm[0].asked, 2);
}

/* Nobody asks KVM for more, or for less, than the VMM itself does, once nothing is patched. */
static void test_leaves_valid_regs(void **state)
{
	struct fake_kvm_vcpu *c = &fake_kvm[0];

	(void)state;
	c->run.kvm_valid_regs = KVM_SYNC_X86_SREGS;
	arm();
	expect_exit(halts, KVM_EXIT_HLT);
	assert_int_equal(c->run.kvm_valid_regs, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
	vp_local_share_regs(w.v, true); /* once more */
	vp_local_share_regs(w.v, false);
	assert_int_equal(c->run.kvm_valid_regs, KVM_SYNC_X86_SREGS);
}

/* --- who runs there -------------------------------------------------------------- */

static int hold(int vcpu, struct vp_vcpu_state *state)
{
	int rc;

	w.t->ops->lock(w.t, NULL);
	rc = w.t->ops->hold(w.t, vcpu, state, NULL);
	if (!rc)
		w.t->ops->release(w.t);
	w.t->ops->unlock(w.t);
	return rc;
}

static void test_nested(void **state)
{
	struct vp_vcpu_state s;

	(void)state;
	assert_int_equal(hold(-1, &s), 0);
	assert_true(s.code64 && !s.nested);
	fake_kvm[0].nested = true;
	expect_exit(traps_once, KVM_EXIT_HLT);
	assert_true(w.trap.nested);
	assert_int_equal(hold(-1, &s), -EAGAIN);
	assert_int_equal(hold(0, &s), 0);
	assert_true(s.nested);
}

static void test_compatibility_mode(void **state)
{
	struct vp_vcpu_state s;

	(void)state;
	fake_kvm[0].sregs.cs.l = 0;
	fake_kvm[0].sregs.cs.base = 0x1000;
	expect_exit(traps_once, KVM_EXIT_HLT);
	assert_false(w.trap.code64);
	assert_int_equal(hold(0, &s), 0);
	assert_false(s.code64);
	assert_int_equal(s.cs_base, 0x1000);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define E(fn) cmocka_unit_test_setup_teardown(fn, setup_emulated, teardown)
#define A(fn) cmocka_unit_test_setup_teardown(fn, setup_armed, teardown)
#define X(fn) cmocka_unit_test_setup_teardown(fn, setup_emulated_armed, teardown)
#define O(fn) cmocka_unit_test_setup_teardown(fn, setup_old_armed, teardown)
	const struct CMUnitTest tests[] = {
		T(test_ours_fails),
		T(test_ours_fails_often),
		E(test_ours_where_emulated),
		T(test_run_again),
		T(test_run_again_without_bytes),
		T(test_gone_without_bytes),
		T(test_other_failures),
		T(test_reinject_keeps_nmi),
		E(test_reinject_moves_rip),
		A(test_ours_fails),
		A(test_ours_fails_often),
		X(test_ours_where_emulated),
		A(test_reinject_keeps_nmi),
		X(test_reinject_moves_rip),
		A(test_asks_nothing),
		O(test_ours_fails),
		O(test_asks_old_kvm),
		T(test_leaves_valid_regs),
		T(test_debugger),
		A(test_debugger_amid_batch),
		T(test_nested),
		A(test_nested),
		T(test_compatibility_mode),
		A(test_compatibility_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
