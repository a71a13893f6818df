/* SPDX-License-Identifier: Apache-2.0 */
/* The word of a batch, the permission to write it, and undoing half of one. */
#include "fake.h"
#include "unit.h"

#define COUNT  (FAKE_DATA + 0x40)
#define OTHER5 "\x0f\x1f\x44\x00\x07"

static uint32_t count(struct world *w)
{
	uint32_t value;

	memcpy(&value, fake_at(w->fake, COUNT), sizeof(value));
	return value;
}

static struct vp_poke_opts opts(enum vp_strategy strategy, uint32_t from, uint32_t to)
{
	static struct vp_word word;
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;

	word = (struct vp_word){ VP_GVA(COUNT), from, to };
	o.strategy = strategy;
	o.words = &word;
	o.nwords = 1;
	return o;
}

static int poke(struct world *w, const struct vp_poke_opts *o, struct vp_err *err)
{
	struct vp_site sites[] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };

	return vp_poke(w->engine, sites, 2, o, NULL, err);
}

static void expect(struct world *w, const char *bytes, uint32_t value)
{
	assert_memory_equal(fake_at(w->fake, A), bytes, 5);
	assert_memory_equal(fake_at(w->fake, B), bytes, 5);
	assert_int_equal(count(w), value);
}

static void changes_with_the_sites(struct world *w, enum vp_strategy strategy)
{
	struct vp_poke_opts o = opts(strategy, 0, 1);

	assert_int_equal(poke(w, &o, NULL), 0);
	expect(w, JMP5, 1);
	o.nwords = 0; /* the record knows it */
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	expect(w, NOP5, 0);
}

static void test_changes_with_the_sites(void **state)
{
	changes_with_the_sites(*state, VP_STRATEGY_INT3);
	changes_with_the_sites(*state, VP_STRATEGY_STOP);
}

static bool not_a(void *arg, vp_gva addr)
{
	(void)arg;
	return addr.v != A;
}

static bool no_site(void *arg, vp_gva addr)
{
	(void)arg;
	return addr.v != A && addr.v != B;
}

/* What the caller knows to be gone is passed over; the word of the batch goes back all the same. */
static void test_left(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_STOP, 0, 1);
	struct vp_poke_result res;

	assert_int_equal(poke(w, &o, NULL), 0);
	memcpy(fake_at(w->fake, A), OTHER5, 5); /* somebody else's */
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -ESTALE);
	o.is_left = not_a;
	assert_int_equal(vp_revert(w->engine, 0, &o, &res, NULL), 0);
	assert_int_equal(res.sites, 1);
	assert_memory_equal(fake_at(w->fake, A), OTHER5, 5);
	assert_memory_equal(fake_at(w->fake, B), NOP5, 5);
	assert_int_equal(count(w), 0);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -ENOENT);

	memcpy(fake_at(w->fake, A), NOP5, 5);
	o.is_left = NULL;
	assert_int_equal(poke(w, &o, NULL), 0);
	memcpy(fake_at(w->fake, A), OTHER5, 5);
	memcpy(fake_at(w->fake, B), OTHER5, 5);
	o.is_left = no_site;
	o.strategy = VP_STRATEGY_INT3;
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -EINVAL);
	assert_int_equal(count(w), 1);
	o.strategy = VP_STRATEGY_STOP;
	assert_int_equal(vp_revert(w->engine, 0, &o, &res, NULL), 0);
	assert_int_equal(res.sites, 0);
	expect(w, OTHER5, 0);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -ENOENT);
}

/* After the last tail and before the first head, so that all of it can still be taken back. */
static void test_order(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_INT3, 0, 1);

	assert_int_equal(poke(w, &o, NULL), 0);
	assert_string_equal(w->fake->trace, "arm cap cap sync write write sync word head head "
					    "unpark sync quiesce disarm");
}

static void refused(struct world *w, const struct vp_poke_opts *o, int rc, const char *why)
{
	struct vp_err err = { "" };

	assert_int_equal(poke(w, o, &err), rc);
	assert_non_null(strstr(err.text, why));
	assert_memory_equal(fake_at(w->fake, A), NOP5, 5);
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_INT3, 7, 8);
	struct vp_word word = { VP_GVA(COUNT + 2), 0, 1 };

	refused(w, &o, -ESTALE, "holds 0, not 7");
	o.words = &word;
	refused(w, &o, -EINVAL, "aligned");
	word.addr.v = FAKE_HOLE;
	refused(w, &o, -EFAULT, "word at");
	word.addr.v = A & ~3ull;
	memcpy(&word.old_value, fake_at(w->fake, A), 4);
	refused(w, &o, -EINVAL, "inside site 0");
	assert_string_equal(w->fake->trace, "");
}

static void count_at_tail(struct fake *f, const char *op)
{
	uint32_t users = 2;

	if (!strcmp(op, "word") || !strcmp(op, "stop"))
		memcpy(fake_at(f, COUNT), &users, sizeof(users));
}

/* The guest counts another user of the key meanwhile: the batch is taken back. */
static void test_guest_changes_it(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_INT3, 0, 1);

	w->fake->hook = count_at_tail;
	assert_int_equal(poke(w, &o, NULL), -EAGAIN);
	expect(w, NOP5, 2);
	memset(fake_at(w->fake, COUNT), 0, 4);
	o.strategy = VP_STRATEGY_STOP;
	assert_int_equal(poke(w, &o, NULL), -EAGAIN);
	expect(w, NOP5, 2);
}

/* --- many words, and conditions ------------------------------------------------- */

#define LOCK (COUNT + 0x10)

static void set(struct world *w, uint64_t addr, uint32_t value)
{
	memcpy(fake_at(w->fake, addr), &value, sizeof(value));
}

static uint32_t get(struct world *w, uint64_t addr)
{
	uint32_t value;

	memcpy(&value, fake_at(w->fake, addr), sizeof(value));
	return value;
}

static void test_many(void **state)
{
	struct vp_word words[40];
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_INT3, 0, 1);
	struct vp_err err = { "" };

	/* Changes and conditions by turns, some of them neighbours. */
	for (uint32_t i = 0; i < 40; i++) {
		words[i] = (struct vp_word){ VP_GVA(COUNT + 4 * i), i, i + (i % 3 ? 0x100 : 0) };
		set(w, COUNT + 4 * i, i);
	}
	o.words = words;
	o.nwords = 40;
	refused(w, &o, -EINVAL, "use strategy stop"); /* int3: one at most */
	o.strategy = VP_STRATEGY_STOP;
	for (unsigned int n = 0; n < 40; n++) { /* each of them may be the one that is wrong */
		struct vp_poke_result res;
		struct vp_site sites[] = { fake_jmp_at(A, VP_RESUME_PARK) };

		set(w, COUNT + 4 * n, 0x999);
		assert_int_equal(vp_poke(w->engine, sites, 1, &o, &res, &err),
				 vp_word_is_condition(&words[n]) ? -EAGAIN : -ESTALE);
		assert_int_equal(res.bad_word, n);
		assert_memory_equal(fake_at(w->fake, A), NOP5, 5);
		set(w, COUNT + 4 * n, n);
	}
	assert_int_equal(poke(w, &o, NULL), 0);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(get(w, COUNT + 4 * i), words[i].new_value);
	o.nwords = 0;
	set(w, COUNT + 12, 9); /* a condition of the way there is one of the way back */
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -EAGAIN);
	set(w, COUNT + 12, 3);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(get(w, COUNT + 4 * i), i);
	o.words = words;
	o.nwords = 2;
	words[1].addr = words[0].addr;
	words[1].old_value = words[0].old_value;
	refused(w, &o, -EINVAL, "two words");
}

/* The guest takes its lock between the plan and the moment that counts. */
static void lock_late(struct fake *f, const char *op)
{
	uint32_t taken = 1;

	if (!strcmp(op, "sync") || !strcmp(op, "stop"))
		memcpy(fake_at(f, LOCK), &taken, sizeof(taken));
}

static void condition_is_looked_at_again(struct world *w, enum vp_strategy strategy)
{
	const struct vp_word words[] = { { VP_GVA(COUNT), 0, 1 }, { VP_GVA(LOCK), 0, 0 } };
	struct vp_poke_opts o = opts(strategy, 0, 1);

	o.words = words;
	o.nwords = 2;
	w->fake->hook = lock_late;
	assert_int_equal(poke(w, &o, NULL), -EAGAIN);
	expect(w, NOP5, 0);
	w->fake->hook = NULL;
	assert_int_equal(poke(w, &o, NULL), -EAGAIN); /* when it is planned, too */
	set(w, LOCK, 0);
	assert_int_equal(poke(w, &o, NULL), 0);
	expect(w, JMP5, 1);
	w->fake->hook = lock_late;
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -EAGAIN);
	expect(w, JMP5, 1);
	w->fake->hook = NULL;
	set(w, LOCK, 0);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	expect(w, NOP5, 0);
}

static void test_condition(void **state)
{
	condition_is_looked_at_again(*state, VP_STRATEGY_INT3);
	condition_is_looked_at_again(*state, VP_STRATEGY_STOP);
}

/* --- translate by given tables ------------------------------------------------ */

static void test_space(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_paging kernel = w->fake->paging;

	w->fake->paging.cr3 = 0x90000; /* the vCPU is in user space: no kernel text there */
	assert_int_not_equal(poke(w, &o, NULL), 0);
	o.space = &kernel;
	assert_int_equal(poke(w, &o, NULL), 0);
	expect(w, JMP5, 0);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	expect(w, NOP5, 0);
}

/* --- permit -------------------------------------------------------------------- */

static int permit(void *arg, struct vp_err *err)
{
	int *rc = arg;

	return *rc ? vp_err_set(err, *rc, "not now") : 0;
}

static void test_permit(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	int rc = -EROFS;

	o.permit = permit;
	o.phase_arg = &rc;
	refused(w, &o, -EROFS, "not now");
	assert_string_equal(w->fake->trace, "");
	o.dry_run = true;
	assert_int_equal(poke(w, &o, NULL), 0); /* nobody is asked */
	o.dry_run = false;
	rc = 0;
	assert_int_equal(poke(w, &o, NULL), 0);
	rc = -EROFS;
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), -EROFS);
	expect(w, JMP5, 0);
}

/* --- inspect -------------------------------------------------------------------- */

struct inspector {
	struct fake *fake;
	unsigned int calls;
	int rc;
};

/* Every vCPU is held then, and nothing was written. */
static int inspect(void *arg, struct vp_err *err)
{
	struct inspector *in = arg;
	const char *stop = strstr(in->fake->trace, "stop");

	in->calls++;
	assert_non_null(stop);
	assert_null(strstr(stop, "resume"));
	assert_memory_equal(fake_at(in->fake, A), NOP5, 5);
	return in->rc ? vp_err_set(err, in->rc, "somebody is inside") : 0;
}

static void test_inspect(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_STOP, 0, 1);
	struct inspector in = { .fake = w->fake, .rc = -EBUSY };

	o.inspect = inspect;
	o.phase_arg = &in;
	refused(w, &o, -EBUSY, "somebody is inside");
	assert_int_equal(in.calls, 1);
	assert_non_null(strstr(w->fake->trace, "resume"));
	expect(w, NOP5, 0);
	o.dry_run = true;
	assert_int_equal(poke(w, &o, NULL), 0); /* nothing is stopped */
	assert_int_equal(in.calls, 1);
	o.dry_run = false;
	o.strategy = VP_STRATEGY_INT3;
	refused(w, &o, -EINVAL, "strategy stop");
	assert_int_equal(in.calls, 1);
	o.strategy = VP_STRATEGY_STOP;
	in.rc = 0;
	w->fake->trace[0] = '\0';
	assert_int_equal(poke(w, &o, NULL), 0);
	assert_int_equal(in.calls, 2);
	expect(w, JMP5, 1);
}

/* --- where the vCPUs stand ------------------------------------------------------ */

static void move_on(struct fake *f, const char *op)
{
	if (!strcmp(op, "resume"))
		f->rip++;
}

static void test_inside_a_site(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_STOP, 0, 1);

	w->fake->rip = B + 2; /* found other code in these bytes, and stays there */
	refused(w, &o, -EAGAIN, "stands inside it");
	w->fake->vcpu = VP_VCPU_NUMBERS - 1; /* whatever its number */
	refused(w, &o, -EAGAIN, "stands inside it");
	w->fake->vcpu = 0;
	w->fake->hook = move_on; /* three steps, and it is out */
	assert_int_equal(poke(w, &o, NULL), 0);
	expect(w, JMP5, 1);
	w->fake->hook = NULL;
	w->fake->rip = A; /* about to run it is not inside */
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	expect(w, NOP5, 0);
}

/* Outside 64-bit mode RIP is not where it stands: CS has a base, and 32 bits count. */
static void test_inside_in_compatibility_mode(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	uint64_t low = 0x80000000ull + (A & 0xfff);
	struct vp_site s = fake_jmp_at(low, VP_RESUME_PARK);
	struct vp_err err = { "" };

	/* The same page, where 32-bit code can be. */
	memcpy(w->fake->ram + 0x1000, w->fake->ram + 0x1000 + 8 * 511, 8);
	memcpy(w->fake->ram + 0x2000 + 8 * 2, w->fake->ram + 0x2000 + 8 * 510, 8);
	o.strategy = VP_STRATEGY_STOP;
	w->fake->compat = true;
	w->fake->cs_base = 0x80000000;
	w->fake->rip = (A & 0xfff) + 2;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, &err), -EAGAIN);
	assert_non_null(strstr(err.text, "stands inside it"));
	w->fake->rip = low + 2;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, &err), 0);
}

/* --- half a batch --------------------------------------------------------------- */

static int undo(struct world *w, const struct vp_poke_opts *o)
{
	struct vp_site sites[] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };

	return vp_poke_undo(w->engine, sites, 2, o, NULL);
}

static void test_undo(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_STOP, 0, 1);
	uint32_t one = 1;

	/* Every point where a writer may die: n bytes of the ten, in the order they are written. */
	for (size_t n = 0; n <= 10; n++) {
		for (size_t i = 0; i < n; i++)
			fake_at(w->fake, i < 5 ? A : B)[(i + 1) % 5] = (uint8_t)JMP5[(i + 1) % 5];
		if (n == 10)
			memcpy(fake_at(w->fake, COUNT), &one, sizeof(one));
		assert_int_equal(undo(w, &o), 0);
		expect(w, NOP5, 0);
	}
	fake_at(w->fake, B)[3] = 0x77; /* neither old nor new: nothing is touched */
	fake_at(w->fake, A)[0] = 0xe9;
	assert_int_equal(undo(w, &o), -ESTALE);
	assert_int_equal(fake_at(w->fake, A)[0], 0xe9);
	assert_int_equal(fake_at(w->fake, B)[3], 0x77);
}

/* --- a write that fails ----------------------------------------------------------- */

/* Taken back, and that is certain; or the guest stays stopped. */
static void test_write_fails(void **state)
{
	struct world *w = *state;
	struct vp_poke_opts o = opts(VP_STRATEGY_STOP, 0, 1);
	struct vp_err err = { "" };

	w->fake->fail_write = true;
	w->fake->writes_left = 2;
	assert_int_equal(poke(w, &o, &err), -EIO);
	expect(w, NOP5, 0);
	assert_null(strstr(w->fake->trace, "abandon"));

	w->fake->writes_left = 2;
	w->fake->write_stays_broken = true;
	assert_int_equal(poke(w, &o, &err), -EUCLEAN);
	assert_non_null(strstr(w->fake->trace, "abandon"));
	assert_null(strstr(strstr(w->fake->trace, "abandon"), "resume"));
	w->fake->fail_write = false;
	assert_int_equal(undo(w, &o), 0);
	expect(w, NOP5, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fake_world_setup, fake_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_changes_with_the_sites),
		T(test_left),
		T(test_order),
		T(test_refused),
		T(test_guest_changes_it),
		T(test_many),
		T(test_condition),
		T(test_space),
		T(test_permit),
		T(test_inspect),
		T(test_write_fails),
		T(test_inside_a_site),
		T(test_inside_in_compatibility_mode),
		T(test_undo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
