/* SPDX-License-Identifier: Apache-2.0 */
/* Every check that refuses a batch: the right code, the site at fault, and nothing touched. */
#include "fake.h"
#include "unit.h"

#define NOP2  "\x66\x90"
#define MOV5A "\xb8\x11\x11\x11\x11"
#define MOV5B "\xb8\x22\x22\x22\x22"

/* The batch is refused with @rc, blaming @bad, saying @why, and the guest is as it was. */
static void refused(struct world *w, const struct vp_site *sites, size_t n, int rc, int bad,
		    const char *why)
{
	static uint8_t before[FAKE_RAM];
	struct vp_poke_result res = { 0 };
	struct vp_err err = { "" };

	for (int stop = 0; stop < 2; stop++) {
		struct vp_poke_opts o = VP_POKE_OPTS_INIT;

		o.strategy = stop ? VP_STRATEGY_STOP : VP_STRATEGY_INT3;
		memcpy(before, w->fake->ram, FAKE_RAM);
		assert_int_equal(vp_poke(w->engine, sites, n, &o, &res, &err), rc);
		assert_int_equal(res.bad_site, bad);
		if (!strstr(err.text, why))
			fail_msg("'%s' does not say '%s'", err.text, why);
		assert_memory_equal(before, w->fake->ram, FAKE_RAM);
		assert_string_equal(w->fake->trace, "");
	}
}

static void refused_one(struct world *w, struct vp_site site, int rc, const char *why)
{
	refused(w, &site, 1, rc, 0, why);
}

/* Before anything is written or recorded, so in a dry run, too. */
static void test_no_int3(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, "\x90", "\xf8", 1, VP_RESUME_PARK);
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_err err;

	w->fake->target.no_int3 = "nobody tells";
	for (int dry = 0; dry < 2; dry++) {
		o.dry_run = dry;
		assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, &err), -EOPNOTSUPP);
		assert_string_equal(err.text, "nobody tells: use --strategy stop");
		assert_string_equal(w->fake->trace, "");
	}
	o.strategy = VP_STRATEGY_STOP;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, NULL), 0);
}

static void test_shape(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, "\x90", "\xf8", 1, VP_RESUME_PARK);

	refused(w, &s, 0, -EINVAL, -1, "no sites");
	s.len = 0;
	refused_one(w, s, -EINVAL, "length 0");
	s.len = 16;
	refused_one(w, s, -EINVAL, "length 16");
	refused_one(w, fake_site(FAKE_TEXT, "\x90\x90", NOP2, 2, VP_RESUME_PARK), -EINVAL,
		    "more than one instruction");
	refused_one(w, fake_site(FAKE_TEXT, NOP2, "\x90\x90", 2, VP_RESUME_PARK), -EINVAL,
		    "more than one instruction");
	refused_one(w, fake_site(FAKE_TEXT, "\x90", "\x06", 1, VP_RESUME_PARK), -EINVAL, "new");
	refused_one(w, fake_site(FAKE_TEXT, "\x90\x90", "\xe9\x00", 2, VP_RESUME_PARK), -EINVAL,
		    "old");
	refused_one(w, fake_site(FAKE_TEXT, NOP2, "\xe9\x00", 2, VP_RESUME_PARK), -EINVAL, "new");
	refused_one(w, fake_site(FAKE_TEXT, "\x90", "\xcc", 1, VP_RESUME_PARK), -EINVAL, "int3");
	refused_one(w, fake_site(FAKE_TEXT, "\xcc", "\x90", 1, VP_RESUME_PARK), -EINVAL, "int3");
	refused_one(w, fake_site(FAKE_TEXT, "\x66\x90", "\x66\xcc", 2, VP_RESUME_PARK), -EINVAL,
		    "int3");
	refused_one(w, fake_site(FAKE_TEXT, "\xf3\x48\xcc", "\x66\x66\x90", 3, VP_RESUME_PARK),
		    -EINVAL, "int3");
	refused_one(w, fake_site(FAKE_TEXT, "\x66\x90", "\xcd\x03", 2, VP_RESUME_PARK), -EINVAL,
		    "int3");
}

static void test_rules(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, "\x90", "\xf9", 1, VP_RESUME_EMULATE);

	refused_one(w, s, -EINVAL, "cannot be emulated");
	s.resume = (enum vp_resume)7;
	refused_one(w, s, -EINVAL, "resume rule");
}

static void test_address(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, "\x90", "\xf8", 1, VP_RESUME_PARK);
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;

	s.addr = VP_GVA(0x1000);
	refused_one(w, s, -EFAULT, "not mapped");
	s.addr = VP_GVA(0x8000000000000000ull);
	refused_one(w, s, -EFAULT, "canonical");
	s.addr = VP_GVA(FAKE_DATA);
	refused_one(w, s, -EFAULT, "not executable");
	s.addr = VP_GVA(FAKE_HOLE);
	refused_one(w, s, -EFAULT, "not RAM");
	/* Its second page is missing. */
	s = fake_site(FAKE_SPLIT + 0x1ffe, NOP5, JMP5, 5, VP_RESUME_PARK);
	refused_one(w, s, -EFAULT, "second page");

	o.vcpu = 1;
	s = fake_site(FAKE_TEXT, "\x90", "\xf8", 1, VP_RESUME_PARK);
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, NULL, NULL), -ERANGE);
	w->fake->paging.cr0 = 1;
	refused(w, &s, 1, -EOPNOTSUPP, 0, "64-bit mode");
}

static void test_bytes(void **state)
{
	struct world *w = *state;

	refused_one(w, fake_site(FAKE_TEXT, "\xf8", "\xf9", 1, VP_RESUME_PARK), -ESTALE,
		    "90 stands there");
	memcpy(fake_at(w->fake, FAKE_TEXT), "\xcc\x1f\x44\x00\x00", 5);
	refused_one(w, fake_site(FAKE_TEXT, NOP5, JMP5, 5, VP_RESUME_PARK), -EBUSY, "foreign int3");
	/* Only the last byte differs, on the other page of a split site. */
	memcpy(fake_at(w->fake, FAKE_SPLIT + 0xffd), "\x0f\x1f\x44", 3);
	memcpy(fake_at(w->fake, FAKE_SPLIT + 0x1000), "\x00\x01", 2);
	refused_one(w, fake_site(FAKE_SPLIT + 0xffd, NOP5, JMP5, 5, VP_RESUME_PARK), -ESTALE,
		    "0f1f440001");
}

static void test_overlap(void **state)
{
	struct world *w = *state;
	struct vp_site s[3] = {
		fake_site(FAKE_TEXT + 64, "\x90", "\xf8", 1, VP_RESUME_PARK),
		fake_site(FAKE_TEXT, NOP5, JMP5, 5, VP_RESUME_PARK),
		fake_site(FAKE_TEXT + 4, "\x00", "\x90", 1, VP_RESUME_PARK),
	};

	memcpy(fake_at(w->fake, FAKE_TEXT), NOP5, 5);
	/* Make the inner "instruction" one that decodes: 00 alone does not. */
	s[2] = fake_site(FAKE_TEXT + 3, "\x00\x00", "\x31\xc0", 2, VP_RESUME_PARK);
	refused(w, s, 3, -EINVAL, 2, "overlaps site 1");
	s[2] = s[0];
	refused(w, s, 3, -EINVAL, 2, "overlaps site 0");
	/* The same bytes through another mapping. */
	s[2].addr = VP_GVA(FAKE_ALIAS + 64);
	refused(w, s, 3, -EINVAL, 2, "overlaps site 0");
	/* Neighbours are fine. */
	s[2].addr = VP_GVA(FAKE_TEXT + 65);
	assert_int_equal(vp_poke(w->engine, s, 3, NULL, NULL, NULL), 0);
}

static void test_fixup(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, NOP5, JMP5, 5, VP_RESUME_FIXUP);

	memcpy(fake_at(w->fake, FAKE_TEXT), NOP5, 5);
	s.fixup = VP_GVA(0);
	refused_one(w, s, -EFAULT, "fixup of site 0");
	s.fixup = VP_GVA(FAKE_DATA);
	refused_one(w, s, -EFAULT, "not executable");
	s.fixup = VP_GVA(FAKE_TEXT);
	refused_one(w, s, -EINVAL, "inside site 0");
	s.fixup = VP_GVA(FAKE_TEXT + 4);
	refused_one(w, s, -EINVAL, "inside site 0");
	*fake_at(w->fake, FAKE_TEXT + 9) = VP_INT3;
	s.fixup = VP_GVA(FAKE_TEXT + 9);
	refused_one(w, s, -EINVAL, "int3");
	*fake_at(w->fake, FAKE_TEXT + 8) = 0x66;
	s.fixup = VP_GVA(FAKE_TEXT + 8);
	refused_one(w, s, -EINVAL, "int3");
	s.fixup = VP_GVA(FAKE_TEXT + 5);
	assert_int_equal(vp_poke(w->engine, &s, 1, NULL, NULL, NULL), 0);
}

static void test_not_writable(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, "\x90", "\xf8", 1, VP_RESUME_PARK);

	w->fake->writable_rc = -EBUSY;
	refused(w, &s, 1, -EBUSY, -1, "not writable");
}

static void test_dry_run(void **state)
{
	struct world *w = *state;
	struct vp_site s = fake_site(FAKE_TEXT, MOV5A, MOV5B, 5, VP_RESUME_EMULATE);
	struct vp_poke_opts o = VP_POKE_OPTS_INIT;
	struct vp_poke_result res;

	memcpy(fake_at(w->fake, FAKE_TEXT), MOV5A, 5);
	o.dry_run = true;
	assert_int_equal(vp_poke(w->engine, &s, 1, &o, &res, NULL), 0);
	assert_int_equal(res.sites, 1);
	assert_int_equal(res.id, 0);
	assert_int_equal(res.syncs, 0);
	assert_string_equal(w->fake->trace, "");
	assert_memory_equal(fake_at(w->fake, FAKE_TEXT), MOV5A, 5);
	assert_int_equal(vp_revert(w->engine, 0, NULL, NULL, NULL), -ENOENT);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, fake_world_setup, fake_world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_no_int3), T(test_shape),	       T(test_rules),
		T(test_address), T(test_bytes),	       T(test_overlap),
		T(test_fixup),	 T(test_not_writable), T(test_dry_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
