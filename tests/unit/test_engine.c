/* SPDX-License-Identifier: Apache-2.0 */
/* Records and revert, the stop strategy, reading, one engine a target. */
#include "fake.h"
#include "unit.h"

#define MOV5A "\xb8\x11\x11\x11\x11"
#define MOV5B "\xb8\x22\x22\x22\x22"

static void poke(struct world *w, uint64_t at, const char *from, const char *to, uint64_t id)
{
	struct vp_site s = fake_site(at, from, to, 5, VP_RESUME_PARK);
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_poke_result res;

	o.note = "why";
	o.when = 1234;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, &res, NULL), 0);
	assert_int_equal(res.id, id);
}

static int revert(struct world *w, uint64_t id)
{
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;

	return vp_revert(w->engine, id, &o, NULL, NULL);
}

static int list(void *arg, const struct vp_record *rec)
{
	uint64_t *ids = arg;

	assert_int_equal(rec->nsites, 1);
	assert_string_equal(rec->note, "why");
	assert_int_equal(rec->when, 1234);
	*ids = *ids * 10 + rec->id;
	return 0;
}

static uint64_t applied(struct world *w)
{
	uint64_t ids = 0;

	assert_int_equal(vp_engine_records(w->engine, list, &ids), 0);
	return ids;
}

static void test_newest_first(void **state)
{
	struct world *w = *state;

	assert_int_equal(revert(w, 0), -ENOENT);
	poke(w, A, NOP5, MOV5A, 1);
	poke(w, B, NOP5, MOV5A, 2);
	poke(w, A, MOV5A, MOV5B, 3);
	assert_int_equal(applied(w), 123);
	assert_int_equal(revert(w, 1), -EBUSY); /* 3 stands on it */
	assert_int_equal(revert(w, 7), -ENOENT);
	assert_int_equal(revert(w, 2), 0); /* nobody stands on that */
	assert_int_equal(applied(w), 13);
	assert_int_equal(revert(w, 0), 0);
	assert_memory_equal(fake_at(w->fake, A), MOV5A, 5);
	assert_int_equal(revert(w, 0), 0);
	assert_memory_equal(fake_at(w->fake, A), NOP5, 5);
	assert_memory_equal(fake_at(w->fake, B), NOP5, 5);
	assert_int_equal(applied(w), 0);
}

static void test_changed_by_somebody_else(void **state)
{
	struct world *w = *state;

	poke(w, A, NOP5, MOV5A, 1);
	fake_at(w->fake, A)[4] = 0x33;
	assert_int_equal(revert(w, 0), -ESTALE);
	assert_int_equal(applied(w), 1);
	fake_at(w->fake, A)[4] = 0x11;
	assert_int_equal(revert(w, 0), 0);
}

/* The guest maps another page there, which holds the same bytes: not the place we changed. */
static void test_remapped(void **state)
{
	struct world *w = *state;
	uint8_t *pte = w->fake->ram + 0x4000 + 8 * ((A >> 12) & 511);

	poke(w, A, NOP5, MOV5A, 1);
	memcpy(w->fake->ram + 0x70100, MOV5A, 5);
	memcpy(pte, "\x63\x00\x07\x00\x00\x00\x00\x00", 8);
	assert_int_equal(revert(w, 0), -ESTALE);
	memcpy(pte, "\x63\x00\x04\x00\x00\x00\x00\x00", 8);
	assert_int_equal(revert(w, 0), 0);
}

static void test_stop(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_site(A, NOP5, MOV5A, 5, VP_RESUME_PARK),
				fake_site(B, NOP5, MOV5A, 5, VP_RESUME_PARK) };
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_poke_result res;

	o.strategy = VP_STRATEGY_STOP;
	assert_int_equal(vp_poke(w->engine, s, 2, &o, &res, NULL), 0);
	assert_string_equal(w->fake->trace, "stop write write resume");
	assert_int_equal(res.syncs, 1);
	assert_memory_equal(fake_at(w->fake, A), MOV5A, 5);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	assert_memory_equal(fake_at(w->fake, B), NOP5, 5);

	w->fake->stop_rc = -ETIMEDOUT;
	assert_int_equal(vp_poke(w->engine, s, 2, &o, &res, NULL), -ETIMEDOUT);
	assert_memory_equal(fake_at(w->fake, A), NOP5, 5);
}

static void change_at_stop(struct fake *f, const char *op)
{
	if (!strcmp(op, "stop"))
		fake_at(f, B)[1] = 0x55;
}

static void test_stop_changed(void **state)
{
	struct world *w = *state;
	struct vp_site s[2] = { fake_site(A, NOP5, MOV5A, 5, VP_RESUME_PARK),
				fake_site(B, NOP5, MOV5A, 5, VP_RESUME_PARK) };
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_poke_result res;

	o.strategy = VP_STRATEGY_STOP;
	w->fake->hook = change_at_stop;
	assert_int_equal(vp_poke(w->engine, s, 2, &o, &res, NULL), -EAGAIN);
	assert_int_equal(res.bad_site, 1);
	assert_string_equal(w->fake->trace, "stop resume");
	assert_memory_equal(fake_at(w->fake, A), NOP5, 5);
}

static void remap_at_stop(struct fake *f, const char *op)
{
	const uint64_t pte = 0x60000 | 0x63;

	if (strcmp(op, "stop"))
		return;
	memcpy(f->ram + 0x60000, f->ram + 0x40000, 0x1000);
	memcpy(f->ram + 0x4000, &pte, sizeof(pte)); /* the first page of text */
}

/* The same bytes, but on another page than the one that was looked at. */
static void test_stop_remapped(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(A, NOP5, MOV5A, 5, VP_RESUME_PARK);
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;

	o.strategy = VP_STRATEGY_STOP;
	w->fake->hook = remap_at_stop;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, NULL), -EAGAIN);
	assert_string_equal(w->fake->trace, "stop resume");
	assert_memory_equal(w->fake->ram + 0x40100, NOP5, 5);
	assert_memory_equal(w->fake->ram + 0x60100, NOP5, 5);
}

static void test_read(void **state)
{
	struct world *w = *state;
	uint8_t buf[0x2100];

	memset(w->fake->ram + 0x90000, 0xaa, 0x1000);
	assert_int_equal(
		vp_engine_read(w->engine, -1, VP_GVA(FAKE_SPLIT + 0xf00), buf, 0x200, NULL), 0);
	assert_int_equal(buf[0xff], 0x90);
	assert_int_equal(buf[0x100], 0xaa);
	assert_int_equal(vp_engine_read(w->engine, -1, VP_GVA(FAKE_SPLIT), buf, sizeof(buf), NULL),
			 -EFAULT);
}

static void test_one_engine(void **state)
{
	struct world *w = *state;
	struct vp_engine *second;
	struct vp_err err;

	assert_int_equal(vp_engine_new(&w->fake->target, &second, &err), -EBUSY);
}

/* --- called at a wrong moment ---------------------------------------------------- */

struct intruder {
	struct world *w;
	unsigned int calls;
};

/* All that would wait for the batch that it is called from. */
static void intrude(struct intruder *in)
{
	struct vp_engine *e = in->w->engine;
	struct vp_poke_stats stats;
	struct vp_err err = { "" };
	struct vp_site s = fake_site(B, NOP5, MOV5A, 5, VP_RESUME_PARK);
	uint64_t ids;
	uint8_t byte;

	in->calls++;
	assert_int_equal(vp_poke(e, &s, 1, NULL, NULL, &err), -EDEADLK);
	assert_non_null(strstr(err.text, "locked already"));
	assert_int_equal(vp_poke_undo(e, &s, 1, NULL, NULL), -EDEADLK);
	assert_int_equal(vp_revert(e, 0, NULL, NULL, NULL), -EDEADLK);
	assert_int_equal(vp_engine_read(e, -1, VP_GVA(A), &byte, 1, NULL), -EDEADLK);
	assert_int_equal(vp_engine_freeze(e, 10, NULL), -EDEADLK);
	assert_int_equal(vp_engine_records(e, list, &ids), -EDEADLK);
	assert_int_equal(vp_engine_free(e), -EBUSY);
	vp_engine_stats(e, &stats);
	vp_engine_thaw(e);
}

static int intrude_by_permit(void *arg, struct vp_err *err)
{
	(void)err;
	intrude(arg);
	return 0;
}

static void intrude_by_phase(void *arg, enum vp_phase phase)
{
	(void)phase;
	intrude(arg);
}

static bool intrude_by_is_left(void *arg, vp_gva addr)
{
	(void)addr;
	intrude(arg);
	return true;
}

static int intrude_by_record(void *arg, const struct vp_record *rec)
{
	(void)rec;
	intrude(arg);
	return 0;
}

static void test_callbacks(void **state)
{
	struct world *w = *state;
	struct intruder in = { .w = w };
	struct vp_site s = fake_site(A, NOP5, MOV5A, 5, VP_RESUME_PARK);
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;

	w->fake->expects_deadlock = true;
	o.permit = intrude_by_permit;
	o.phase = intrude_by_phase;
	o.phase_arg = &in;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, NULL), 0);
	assert_int_equal(in.calls, 5);
	o.strategy = VP_STRATEGY_STOP;
	o.inspect = intrude_by_permit;
	o.is_left = intrude_by_is_left;
	assert_int_equal(vp_engine_records(w->engine, intrude_by_record, &in), 0);
	assert_int_equal(in.calls, 6);
	assert_int_equal(vp_revert(w->engine, 0, &o, NULL, NULL), 0);
	assert_true(in.calls > 10);
	assert_memory_equal(fake_at(w->fake, A), NOP5, 5);
	poke(w, B, NOP5, MOV5A, 2); /* and nothing is left of it */
}

/* A thaw too many is none, and what is no phase has a name all the same. */
static void test_thaw_too_often(void **state)
{
	struct world *w = *state;

	vp_engine_thaw(w->engine);
	poke(w, A, NOP5, MOV5A, 1);
	assert_int_equal(vp_engine_freeze(w->engine, 10, NULL), 0);
	assert_int_equal(revert(w, 0), -EBUSY);
	vp_engine_thaw(w->engine);
	vp_engine_thaw(w->engine);
	assert_int_equal(revert(w, 0), 0);
	assert_string_equal(vp_phase_name(VP_PHASE_ROLLED_BACK), "rolled-back");
	assert_string_equal(vp_phase_name((enum vp_phase)77), "none");
}

/*
 * A vCPU may have met an int3 of ours, and be on its way to say so, when a batch by membarriers is
 * over: without the engine its #BP would be taken for the guest's.
 */
static void test_free_waits_for_exits(void **state)
{
	struct world *w = *state;

	poke(w, A, NOP5, MOV5A, 1);
	w->fake->trace[0] = '\0';
	w->fake->fail_sync = (int)w->fake->syncs + 1;
	assert_int_equal(vp_engine_free(w->engine), -EBUSY);
	assert_string_equal(w->fake->trace, "sync");
	assert_int_equal(w->fake->sync_what, VP_SYNC_EXIT);
	assert_int_equal(revert(w, 0), 0);
	w->fake->trace[0] = '\0';
	assert_int_equal(vp_engine_free(w->engine), 0);
	assert_string_equal(w->fake->trace, "sync quiesce unpark quiesce");
	w->engine = NULL;
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fake_world_setup, fake_world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_newest_first),
		T(test_changed_by_somebody_else),
		T(test_remapped),
		T(test_stop),
		T(test_stop_changed),
		T(test_stop_remapped),
		T(test_read),
		T(test_one_engine),
		T(test_callbacks),
		T(test_thaw_too_often),
		T(test_free_waits_for_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
