/* SPDX-License-Identifier: Apache-2.0 */
/* A target that reads and writes many pieces at once: few calls of it, and nothing is missed. */
#include "fake.h"
#include "unit.h"

#include "core/internal.h"

#define SITES 40u
#define COUNT (FAKE_DATA + 0x40)
#define LOCK  (FAKE_DATA + 0x80)

/* Sites over 8 pages, one of them on two. */
static void make_sites(struct fake *f, struct vp_site *sites)
{
	for (unsigned int i = 0; i < SITES; i++) {
		uint64_t at = FAKE_TEXT + (i % 8) * 0x1000 + 0x100 + i / 8 * 0x20;

		memcpy(fake_at(f, at), NOP5, 5);
		sites[i] = fake_jmp_at(at, VP_RESUME_PARK);
	}
	memcpy(fake_at(f, FAKE_SPLIT + 0xffd), NOP5, 3);
	memcpy(fake_at(f, FAKE_SPLIT + 0x1000), &NOP5[3], 2);
	sites[SITES - 1] = fake_jmp_at(FAKE_SPLIT + 0xffd, VP_RESUME_PARK);
}

static void expect(struct fake *f, const struct vp_site *sites, bool applied)
{
	for (unsigned int i = 0; i < SITES - 1; i++)
		assert_memory_equal(fake_at(f, sites[i].addr.v), applied ? JMP5 : NOP5, 5);
	assert_memory_equal(f->ram + 0x80ffd, applied ? JMP5 : NOP5, 3);
	assert_memory_equal(f->ram + 0x90000, applied ? &JMP5[3] : &NOP5[3], 2);
}

static const struct vp_word words[] = { { { COUNT }, 0, 1 }, { { LOCK }, 0, 0 } };

static struct vp_poke_opts opts(void)
{
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;

	o.strategy = VP_STRATEGY_STOP;
	o.words = words;
	o.nwords = 2;
	return o;
}

/* However many sites: the tables once, what is compared once, and all of it once more. */
static void test_few_calls(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	struct vp_poke_opts o = opts();

	make_sites(w->fake, sites);
	fake_take_pieces(w->fake);
	w->fake->reads = 0;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), 0);
	expect(w->fake, sites, true);
	assert_int_equal(w->fake->reads, 4); /* one table for each level */
	assert_int_equal(w->fake->piece_reads, 2);
	assert_memory_equal(w->fake->trace, "stop pieces: write ", 19);
	assert_null(strchr(w->fake->trace + 14, ':')); /* once */

	w->fake->trace[0] = 0;
	o.nwords = 0; /* the record knows them */
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	expect(w->fake, sites, false);
	assert_int_equal(w->fake->piece_reads, 4);
}

/* What changes between the plan and the stop. */
static unsigned int stops;
static uint64_t change_at;

static void change(struct fake *f, const char *op)
{
	if (!strcmp(op, "stop") && ++stops == 1)
		fake_at(f, change_at)[0] ^= 0x40;
}

static void refused_as_changed(struct world *w, struct vp_site *sites, uint64_t at)
{
	struct vp_poke_opts o = opts();

	stops = 0;
	change_at = at;
	w->fake->hook = change;
	w->fake->trace[0] = 0;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), -EAGAIN);
	assert_string_equal(w->fake->trace, "stop resume");
	fake_at(w->fake, at)[0] ^= 0x40;
	w->fake->hook = NULL;
	expect(w->fake, sites, false);
}

static void test_changed_meanwhile(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	struct vp_poke_opts o = opts();

	make_sites(w->fake, sites);
	fake_take_pieces(w->fake);
	refused_as_changed(w, sites, sites[0].addr.v);
	refused_as_changed(w, sites, sites[SITES - 2].addr.v + 4);
	refused_as_changed(w, sites, FAKE_SPLIT + 0x1001);
	refused_as_changed(w, sites, COUNT);
	refused_as_changed(w, sites, LOCK);
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), 0);
}

static void remap(struct fake *f, const char *op)
{
	const uint64_t pte = 0x70000 | 0x63;

	if (strcmp(op, "stop"))
		return;
	memcpy(f->ram + 0x70000, f->ram + 0x41000, 0x1000);
	memcpy(f->ram + 0x4008, &pte, sizeof(pte)); /* the second page of text */
}

static void test_remapped_meanwhile(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	struct vp_poke_opts o = opts();

	make_sites(w->fake, sites);
	fake_take_pieces(w->fake);
	w->fake->hook = remap;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), -EAGAIN);
	assert_string_equal(w->fake->trace, "stop resume");
}

/* A vCPU stood inside a site and was let go on: what the guest did then is seen. */
static void walk_off(struct fake *f, const char *op)
{
	if (strcmp(op, "stop"))
		return;
	f->rip = ++stops == 1 ? A + 2 : FAKE_TEXT;
	if (stops == 2)
		fake_at(f, B)[4] = 0x55;
}

static void test_each_stop_looks_anew(void **state)
{
	struct world *w = *state;
	struct vp_site sites[] = { fake_jmp_at(A, VP_RESUME_PARK), fake_jmp_at(B, VP_RESUME_PARK) };
	struct vp_poke_opts o = opts();

	stops = 0;
	fake_take_pieces(w->fake);
	w->fake->hook = walk_off;
	assert_int_equal(vp_poke(w->engine, sites, 2, &o, NULL, NULL), -EAGAIN);
	assert_string_equal(w->fake->trace, "stop resume stop resume");
}

/* It could not be fetched: then it is read, and the one that is wrong is named. */
static void test_not_fetched(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	struct vp_poke_opts o = opts();
	struct vp_poke_result res;
	struct vp_err err;

	make_sites(w->fake, sites);
	fake_take_pieces(w->fake);
	w->fake->fail_pieces = true;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), 0);
	expect(w->fake, sites, true);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	sites[7].addr = VP_GVA(FAKE_HOLE);
	for (int i = 0; i < 2; i++) {
		w->fake->fail_pieces = i;
		assert_int_equal(vp_poke(w->engine, sites, SITES, &o, &res, &err), -EFAULT);
		assert_int_equal(res.bad_site, 7);
		assert_non_null(strstr(err.text, "site 7 "));
	}
	make_sites(w->fake, sites);
	fake_at(w->fake, sites[9].addr.v)[1] = 0x55;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, &res, &err), -ESTALE);
	assert_int_equal(res.bad_site, 9);
}

/* Some of the pieces were written: all are taken back. */
static void test_write_fails(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	struct vp_poke_opts o = opts();

	make_sites(w->fake, sites);
	fake_take_pieces(w->fake);
	w->fake->fail_write = true;
	w->fake->writes_left = 17;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), -EIO);
	expect(w->fake, sites, false);
	assert_non_null(strstr(w->fake->trace, "resume"));
}

/* One that died left half of it; taking that back looks anew, too. */
static void test_undo(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	struct vp_poke_opts o = opts();

	make_sites(w->fake, sites);
	memcpy(fake_at(w->fake, sites[3].addr.v), JMP5, 5);
	memcpy(fake_at(w->fake, sites[5].addr.v), JMP5, 2);
	fake_take_pieces(w->fake);
	o.nwords = 0;
	stops = 0;
	change_at = sites[6].addr.v;
	w->fake->hook = change;
	assert_int_equal(vp_poke_undo(w->engine, sites, SITES, &o, NULL), -ESTALE);
	fake_at(w->fake, change_at)[0] ^= 0x40;
	assert_int_equal(vp_poke_undo(w->engine, sites, SITES, &o, NULL), 0);
	expect(w->fake, sites, false);
}

/* What is wanted twice is there once, the longest; what was not wanted is read. */
static void test_list(void **state)
{
	struct world *w = *state;
	struct vp_target *t = &w->fake->target;
	struct vp_ahead a = { 0 };
	uint8_t buf[16];

	fake_take_pieces(w->fake);
	vp_ahead_want(&a, VP_GPA(0x2000), 8, VP_IN_STOP);
	vp_ahead_want(&a, VP_GPA(0x1000), 4, VP_IN_BOTH);
	vp_ahead_want(&a, VP_GPA(0x1000), 8, VP_IN_PLAN);
	vp_ahead_want(&a, VP_GPA(0x3000), 17, VP_IN_BOTH); /* too long */
	vp_ahead_fetch(&a, t, VP_IN_PLAN);
	assert_int_equal(a.n, 2);
	w->fake->reads = 0;
	assert_int_equal(vp_ahead_read(&a, t, VP_GPA(0x1000), buf, 8, NULL), 0);
	assert_int_equal(vp_ahead_read(&a, t, VP_GPA(0x1000), buf, 4, NULL), 0);
	assert_memory_equal(buf, w->fake->ram + 0x1000, 4);
	assert_int_equal(w->fake->reads, 0);
	vp_ahead_read(&a, t, VP_GPA(0x1000), buf, 9, NULL);
	vp_ahead_read(&a, t, VP_GPA(0x2000), buf, 8, NULL); /* not yet */
	vp_ahead_read(&a, t, VP_GPA(0x1004), buf, 4, NULL);
	vp_ahead_read(NULL, t, VP_GPA(0x1000), buf, 8, NULL);
	assert_int_equal(w->fake->reads, 4);
	vp_ahead_fetch(&a, t, VP_IN_STOP);
	vp_ahead_read(&a, t, VP_GPA(0x2000), buf, 8, NULL);
	vp_ahead_read(&a, t, VP_GPA(0x1000), buf, 8, NULL);
	assert_int_equal(w->fake->reads, 4);
	vp_ahead_forget(&a);
	vp_ahead_read(&a, t, VP_GPA(0x2000), buf, 8, NULL);
	assert_int_equal(w->fake->reads, 5);
	vp_ahead_free(&a);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fake_world_setup, fake_world_teardown)

/* Where the vCPUs stand, by two ways; and how often it was asked by the dear one. */
static uint64_t rip;
static unsigned int holds;
static int (*real_hold)(struct vp_target *t, int vcpu, struct vp_vcpu_state *s, struct vp_err *err);

static int counted_hold(struct vp_target *t, int vcpu, struct vp_vcpu_state *s, struct vp_err *err)
{
	holds++;
	return real_hold(t, vcpu, s, err);
}

static int one_rip(struct vp_target *t, uint64_t *rips, size_t *n)
{
	(void)t;
	rips[0] = rip;
	*n = 1;
	return 0;
}

static unsigned int holds_of(struct world *w, const struct vp_site *sites)
{
	struct vp_poke_opts o = opts();

	holds = 0;
	o.nwords = 0;
	assert_int_equal(vp_poke(w->engine, sites, SITES, &o, NULL, NULL), 0);
	expect(w->fake, sites, true);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	return holds;
}

/* Whose RIP is in no site is not asked more; whoever seems to be inside one is. */
static void test_rips(void **state)
{
	struct world *w = *state;
	struct vp_site sites[SITES];
	unsigned int all;

	make_sites(w->fake, sites);
	fake_take_pieces(w->fake);
	real_hold = w->fake->ops.hold;
	w->fake->ops.hold = counted_hold;
	all = holds_of(w, sites);
	w->fake->ops.rips = one_rip;
	rip = sites[3].addr.v + 2;
	assert_int_equal(holds_of(w, sites), all);
	rip = sites[3].addr.v; /* it is to be executed yet */
	assert_in_range(holds_of(w, sites), 0, all - 2);
	rip = 0x1000;
	assert_in_range(holds_of(w, sites), 0, all - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_few_calls),
		T(test_rips),
		T(test_changed_meanwhile),
		T(test_remapped_meanwhile),
		T(test_each_stop_looks_anew),
		T(test_not_fetched),
		T(test_write_fails),
		T(test_undo),
		T(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
