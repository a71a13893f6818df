/* SPDX-License-Identifier: Apache-2.0 */
/* The int3 protocol step by step, S1 to S6, and what traps do meanwhile. */
#include "fake.h"
#include "unit.h"

static void expect_bytes(struct world *w, uint64_t at, const char *bytes, size_t n)
{
	assert_memory_equal(fake_at(w->fake, at), bytes, n);
}

/* --- the order of things ----------------------------------------------------- */

/* S1, S2: what stands at A before each operation. */
static void watch_order(struct fake *f, const char *op)
{
	unsigned int *seen = f->hook_arg;
	uint8_t *a = fake_at(f, A);

	if (!strcmp(op, "cap")) {
		assert_true(f->armed); /* intercepted before any int3 is visible */
		*seen |= 1;
	} else if (!strcmp(op, "sync") && f->syncs == 0) {
		assert_memory_equal(a, "\xcc\x1f\x44\x00\x00", 5);
		*seen |= 2;
	} else if (!strcmp(op, "sync") && f->syncs == 1) {
		assert_memory_equal(a, "\xcc\x10\x00\x00\x00", 5);
		*seen |= 4;
	} else if (!strcmp(op, "sync") && f->syncs == 2) {
		assert_memory_equal(a, JMP5, 5);
		assert_int_equal(f->unparks, 1);
		*seen |= 8;
	}
}

static void test_order(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_PARK);
	struct vp_poke_result res;
	unsigned int seen = 0;

	w->fake->hook = watch_order;
	w->fake->hook_arg = &seen;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, &res, NULL), 0);
	assert_int_equal(seen, 15);
	assert_int_equal(res.syncs, 3);
	assert_string_equal(w->fake->trace,
			    "arm cap sync write sync head unpark sync quiesce disarm");
	expect_bytes(w, A, JMP5, 5);
}

static void test_no_tail(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, "\x90", "\xf8", 1, VP_RESUME_PARK);
	struct vp_poke_result res;

	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, &res, NULL), 0);
	assert_int_equal(res.syncs, 2);
	assert_string_equal(w->fake->trace, "arm cap sync head unpark sync quiesce disarm");
}

static void test_split_pages(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(FAKE_SPLIT + 0xffe, VP_RESUME_PARK);

	memcpy(fake_at(w->fake, FAKE_SPLIT + 0xffe), "\x0f\x1f", 2);
	memcpy(fake_at(w->fake, FAKE_SPLIT + 0x1000), "\x44\x00\x00", 3);
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	expect_bytes(w, FAKE_SPLIT + 0xffe, "\xe9\x10", 2);
	expect_bytes(w, FAKE_SPLIT + 0x1000, "\x00\x00\x00", 3);
	assert_int_equal(w->fake->ram[0x81000], 0); /* the physical neighbour */
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), 0);
	expect_bytes(w, FAKE_SPLIT + 0xffe, "\x0f\x1f", 2);
	expect_bytes(w, FAKE_SPLIT + 0x1000, "\x44\x00\x00", 3);
}

static void test_thousand_sites_three_syncs(void **state)
{
	struct world *w = *state;
	struct vp_site *s = calloc(1000, sizeof(*s));
	struct vp_poke_result res;

	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t at = FAKE_TEXT + 0x400 + 16ull * (999 - i); /* not in address order */

		memcpy(fake_at(w->fake, at), NOP5, 5);
		s[i] = fake_jmp_at(at, VP_RESUME_PARK);
	}
	assert_int_equal(vp_poke(w->engine, s, 1000, NULL, &res, NULL), 0);
	assert_int_equal(res.syncs, 3);
	assert_int_equal(w->fake->syncs, 3);
	for (unsigned int i = 0; i < 1000; i++)
		expect_bytes(w, s[i].addr.v, JMP5, 5);
	free(s);
}

/* What KVM may have to emulate, old or new, is synced such that no emulation is under way. */
static void test_emulated_sites(void **state)
{
	static const struct {
		const char *old_bytes, *new_bytes;
		uint8_t len;
		enum vp_sync what;
	} cases[] = {
		{ NOP5, JMP5, 5, VP_SYNC_CORE },
		{ "\x75\x02", "\x66\x90", 2, VP_SYNC_CORE },		 /* jne, nop */
		{ "\xb8\x01\0\0\0", "\xb8\x02\0\0\0", 5, VP_SYNC_CORE }, /* mov eax */
		{ NOP5, "\xe8\x00\x01\0\0", 5, VP_SYNC_EXIT },		 /* call: its stack */
		{ "\xc3", "\x90", 1, VP_SYNC_EXIT },			 /* ret */
		{ "\x8b\x03", "\x66\x90", 2, VP_SYNC_EXIT },		 /* mov eax, [rbx] */
		{ "\x66\x90", "\x89\x03", 2, VP_SYNC_EXIT },		 /* mov [rbx], eax */
		{ "\x0f\xa2", "\x66\x90", 2, VP_SYNC_EXIT },		 /* cpuid */
		{ "\xfa", "\x90", 1, VP_SYNC_EXIT },			 /* cli */
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vp_site s = fake_site(A, cases[i].old_bytes, cases[i].new_bytes,
					     cases[i].len, VP_RESUME_PARK);

		memcpy(fake_at(w->fake, A), cases[i].old_bytes, cases[i].len);
		assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
		assert_int_equal(w->fake->sync_what, cases[i].what);
		assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), 0);
		assert_int_equal(w->fake->sync_what, cases[i].what);
	}
}

/* --- vCPUs that trap while the batch is in flight ----------------------------- */

/* Before every operation, a vCPU runs into whatever int3 stands at A. */
static void trap_always(struct fake *f, const char *op)
{
	struct vp_regs regs = { .gpr[VP_RSP] = FAKE_DATA + 0x800 };
	enum vp_verdict *verdicts = f->hook_arg;
	static const char *const ops[] = { "sync", "write", "head", "unpark", "quiesce" };

	for (unsigned int i = 0; i < 5; i++) {
		if (strcmp(op, ops[i]))
			continue;
		verdicts[i] = fake_trap(f, A, &regs);
		if (verdicts[i] == VP_VERDICT_RESUME && *fake_at(f, A) == VP_INT3)
			assert_int_not_equal(regs.rip, A); /* or it would trap for ever */
	}
}

static void run_with_traps(struct world *w, enum vp_resume resume, struct vp_poke_stats *st)
{
	enum vp_verdict verdicts[5] = { 9, 9, 9, 9, 9 };
	struct vp_site s = fake_jmp_at(A, resume);

	w->fake->hook = trap_always;
	w->fake->hook_arg = verdicts;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	vp_engine_stats(w->engine, st);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_not_equal(verdicts[i], VP_VERDICT_FOREIGN);
	if (resume == VP_RESUME_PARK) {
		assert_int_equal(verdicts[1], VP_VERDICT_PARK);
		/* Once the heads are final nobody may be told to park: nobody would wake him. */
		assert_int_equal(verdicts[4], VP_VERDICT_RESUME);
	}
	assert_int_equal(st->bp_exits.foreign, 0);
	assert_int_equal(st->bp_exits.late, 0);
}

static void test_traps_park(void **state)
{
	struct vp_poke_stats st;

	run_with_traps(*state, VP_RESUME_PARK, &st);
	assert_int_equal(st.bp_exits.park, 7);
}

static void test_traps_fixup(void **state)
{
	struct vp_poke_stats st;

	run_with_traps(*state, VP_RESUME_FIXUP, &st);
	assert_int_equal(st.bp_exits.fixup, 7);
}

static void test_traps_emulate(void **state)
{
	struct vp_poke_stats st;

	run_with_traps(*state, VP_RESUME_EMULATE, &st);
	assert_int_equal(st.bp_exits.emulate, 7);
}

/*
 * S3: at the first cap the table must be there already, and complete. Whose int3 it is that stands
 * there at that very moment is not known: the vCPU runs again. Site B is not capped so far: an int3
 * there is the guest's.
 */
static void trap_at_first_cap(struct fake *f, const char *op)
{
	struct vp_regs regs = { 0 };

	if (strcmp(op, "cap") || f->hook_arg)
		return;
	f->hook_arg = f;
	*fake_at(f, A) = VP_INT3; /* as if the cap were visible at once */
	assert_int_equal(fake_trap(f, A, &regs), VP_VERDICT_RESUME);
	assert_int_equal(regs.rip, A);
	*fake_at(f, A) = 0x0f;
	*fake_at(f, B) = VP_INT3;
	assert_int_equal(fake_trap(f, B, &regs), VP_VERDICT_FOREIGN);
	*fake_at(f, B) = 0x0f;
}

static void test_published_before_cap(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_FIXUP), fake_jmp_at(B, VP_RESUME_FIXUP) };

	w->fake->hook = trap_at_first_cap;
	assert_int_equal(vp_poke(w->engine, s, 2, NULL, NULL, NULL), 0);
	assert_ptr_equal(w->fake->hook_arg, w->fake);
}

/* S4: the record outlives every handler, so it still answers at quiesce(). */
static void trap_at_quiesce(struct fake *f, const char *op)
{
	struct vp_regs regs = { 0 };

	if (strcmp(op, "quiesce"))
		return;
	f->hook_arg = f;
	assert_int_equal(fake_trap(f, A, &regs), VP_VERDICT_RESUME);
	assert_int_equal(regs.rip, A + 5); /* by the site's rule: the record is there */
}

static void test_retired_after_quiescence(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);
	struct vp_poke_stats st;
	struct vp_regs regs = { 0 };

	w->fake->hook = trap_at_quiesce;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	assert_ptr_equal(w->fake->hook_arg, w->fake);

	/* S5: after retirement the same trap is late, and resumes where the new code stands. */
	assert_int_equal(fake_trap(w->fake, A, &regs), VP_VERDICT_RESUME);
	assert_int_equal(regs.rip, A);
	vp_engine_stats(w->engine, &st);
	assert_int_equal(st.bp_exits.late, 1);

	/* S6: an int3 that nobody of us wrote is the guest's. */
	*fake_at(w->fake, B) = VP_INT3;
	assert_int_equal(fake_trap(w->fake, B, &regs), VP_VERDICT_FOREIGN);
}

/* The same address, but this vCPU's page tables put another page there. */
static void trap_in_other_space(struct fake *f, const char *op)
{
	struct vp_regs regs = { 0 };

	if (strcmp(op, "write") || f->hook_arg)
		return;
	f->hook_arg = f;
	memcpy(f->ram + 0x4000 + 8 * ((A >> 12) & 511), "\x63\x00\x07\x00\x00\x00\x00\x00", 8);
	f->ram[0x70100] = VP_INT3;
	assert_int_equal(fake_trap(f, A, &regs), VP_VERDICT_FOREIGN);
	memcpy(f->ram + 0x4000 + 8 * ((A >> 12) & 511), "\x63\x00\x04\x00\x00\x00\x00\x00", 8);
}

static void test_other_address_space(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);

	w->fake->hook = trap_in_other_space;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	assert_ptr_equal(w->fake->hook_arg, w->fake);
}

/* An emulated call whose stack the CPU itself would fault on: park, touch nothing. */
static void trap_call_bad_stack(struct fake *f, const char *op)
{
	struct vp_regs regs = { .gpr[VP_RSP] = 0x1000 };

	if (strcmp(op, "write"))
		return;
	f->hook = NULL; /* the call writes, too: to the stack */
	assert_int_equal(fake_trap(f, A, &regs), VP_VERDICT_PARK);
	assert_int_equal(regs.rip, A);
	assert_int_equal(regs.gpr[VP_RSP], 0x1000);
	regs.gpr[VP_RSP] = FAKE_DATA + 0x800;
	assert_int_equal(fake_trap(f, A, &regs), VP_VERDICT_RESUME);
	assert_int_equal(regs.rip, A + 5 + 0x10);
	assert_int_equal(regs.gpr[VP_RSP], FAKE_DATA + 0x7f8);
	assert_memory_equal(fake_at(f, FAKE_DATA + 0x7f8), "\x05\x01\x00\x80\xff\xff\xff\xff", 8);
}

/* The guest chose a stack that nobody can write: the CPU is to fault there, not we. */
static void trap_call_rom_stack(struct fake *f, const char *op)
{
	struct vp_regs regs = { .gpr[VP_RSP] = FAKE_DATA + 0x800 };

	if (strcmp(op, "write"))
		return;
	f->hook = NULL;
	f->rom = 0x60000;
	f->rom_len = 0x1000;
	assert_int_equal(fake_trap(f, A, &regs), VP_VERDICT_PARK);
	assert_int_equal(regs.rip, A);
	f->rom_len = 0;
}

static void test_call_on_read_only_stack(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(A, NOP5, "\xe8\x10\x00\x00\x00", 5, VP_RESUME_EMULATE);

	w->fake->hook = trap_call_rom_stack;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	assert_null(w->fake->hook);
}

/* Not a byte of the batch is written, whichever strategy, dry or not; also on a second page. */
static void test_read_only_site(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_jmp_at(A, VP_RESUME_PARK),
				fake_jmp_at(FAKE_SPLIT + 0xffe, VP_RESUME_PARK) };
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_poke_result res;
	struct vp_err err = { "" };

	memcpy(fake_at(w->fake, FAKE_SPLIT + 0xffe), "\x0f\x1f", 2);
	memcpy(fake_at(w->fake, FAKE_SPLIT + 0x1000), "\x44\x00\x00", 3);
	w->fake->rom = 0x90000;
	w->fake->rom_len = 0x1000;
	for (int i = 0; i < 4; i++) {
		o.strategy = i & 1 ? VP_STRATEGY_STOP : VP_STRATEGY_INT3;
		o.dry_run = i & 2;
		assert_int_equal(vp_poke(w->engine, s, 2, &o, &res, &err), -EROFS);
		assert_int_equal(res.bad_site, 1);
	}
	assert_non_null(strstr(err.text, "site 1 at"));
	assert_string_equal(w->fake->trace, "");
	expect_bytes(w, A, NOP5, 5);
}

static void test_emulated_call(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(A, NOP5, "\xe8\x10\x00\x00\x00", 5, VP_RESUME_EMULATE);

	w->fake->hook = trap_call_bad_stack;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	assert_null(w->fake->hook);
}

/* The same page through another mapping: not the rule, which is made for the address, but no #BP.
 */
static void trap_through_alias(struct fake *f, const char *op)
{
	enum vp_verdict want = f->unparks ? VP_VERDICT_RESUME : VP_VERDICT_PARK;

	if (strcmp(op, "write") && strcmp(op, "quiesce"))
		return;
	f->hook_arg = f;
	assert_int_equal(fake_trap(f, FAKE_ALIAS + (A - FAKE_TEXT), NULL), want);
}

static void test_alias(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_FIXUP);

	w->fake->hook = trap_through_alias;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	assert_ptr_equal(w->fake->hook_arg, w->fake);
}

static void test_foreign_forms(void **state)
{
	struct world *w = *state;
	struct vp_paging paging = w->fake->paging;

	memcpy(fake_at(w->fake, B), "\xf3\xcc", 2);
	assert_int_equal(fake_trap(w->fake, B, NULL), VP_VERDICT_FOREIGN);
	assert_int_equal(fake_trap(w->fake, 0x5000, NULL), VP_VERDICT_RESUME);	   /* unmapped */
	assert_int_equal(fake_trap(w->fake, FAKE_HOLE, NULL), VP_VERDICT_FOREIGN); /* no RAM */
	w->fake->paging.cr3 = 0x10000000; /* page tables that are no RAM */
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_FOREIGN);
	w->fake->paging = paging;
	w->fake->paging.cr0 = 1; /* protected mode without paging */
	assert_int_equal(fake_trap(w->fake, A, NULL), VP_VERDICT_FOREIGN);
	w->fake->paging = paging;
}

/* The same address, but it is another kind of code that stands there, or another guest's. */
static void trap_of_others(struct fake *f, const char *op)
{
	if (strcmp(op, "write"))
		return;
	f->hook = NULL;
	f->compat = true;
	assert_int_equal(fake_trap(f, A, NULL), VP_VERDICT_FOREIGN);
	f->compat = false;
	f->nested = true;
	assert_int_equal(fake_trap(f, A, NULL), VP_VERDICT_FOREIGN);
	f->nested = false;
	assert_int_equal(fake_trap(f, A, NULL), VP_VERDICT_PARK);
}

static void test_not_64_bit_code(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_PARK);

	w->fake->hook = trap_of_others;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
	assert_null(w->fake->hook);
}

/* Its page tables are those of a guest that it runs itself. */
static void test_nested_guest(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_PARK);
	struct vp_err err = { "" };
	uint8_t byte;

	w->fake->nested = true;
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, &err), -EAGAIN);
	assert_non_null(strstr(err.text, "guest of the guest's own"));
	assert_int_equal(vp_engine_read(w->engine, 0, VP_GVA(A), &byte, 1, NULL), -EAGAIN);
}

/* Where the host sees no int3 of user code, pages of user code are for the stop strategy. */
static void test_user_page(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_PARK);
	struct vp_poke_opts stop = VP_POKE_OPTS_INIT;
	static const unsigned int entries[] = { 0x1ff8, 0x2ff0, 0x3000, 0x4000 };

	w->fake->target.kernel_traps_only = true;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		w->fake->ram[entries[i]] |= 4; /* the U bit at each level */
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), -EOPNOTSUPP);
	expect_bytes(w, A, NOP5, 5);
	stop.strategy = VP_STRATEGY_STOP;
	assert_int_equal(vp_poke(w->engine, &s, 1, &stop, NULL, NULL), 0);
}

static void count_phase(void *arg, enum vp_phase p)
{
	char *text = arg;

	strcat(strcat(text, vp_phase_name(p)), " ");
}

static void test_phases(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_site s = fake_jmp_at(A, VP_RESUME_PARK);
	char text[100] = "";

	o.phase = count_phase;
	o.phase_arg = text;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, NULL), 0);
	assert_string_equal(text, "planned capped tailed applied ");
	text[0] = '\0';
	w->fake->fail_sync = 4;
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -ETIMEDOUT);
	assert_string_equal(text, "planned rolled-back ");
	expect_bytes(w, A, JMP5, 5);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fake_world_setup, fake_world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_order),
		T(test_no_tail),
		T(test_split_pages),
		T(test_thousand_sites_three_syncs),
		T(test_emulated_sites),
		T(test_traps_park),
		T(test_traps_fixup),
		T(test_traps_emulate),
		T(test_published_before_cap),
		T(test_retired_after_quiescence),
		T(test_other_address_space),
		T(test_emulated_call),
		T(test_call_on_read_only_stack),
		T(test_read_only_site),
		T(test_alias),
		T(test_foreign_forms),
		T(test_not_64_bit_code),
		T(test_nested_guest),
		T(test_user_page),
		T(test_phases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
