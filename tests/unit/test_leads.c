/* SPDX-License-Identifier: Apache-2.0 */
/* Where the jumps, calls and fixups of a poke lead. */
#include "control_rig.h"
#include "unit.h"

#define NOP "0f1f440000"

#define SITE(where, new, more) \
	"{\"addr\": \"" where "\", \"old\": \"" NOP "\", \"new\": \"" new "\"" more "}"

/* At place_a, to somewhere from its end on: place_b is 0xfb behind it. */
#define POKED(new)	  "{\"sites\": [" SITE("place_a", new, "") "]}"
#define FORCED(new)	  "{\"sites\": [" SITE("place_a", new, "") "], \"force\": true}"
#define INTO_B		  "e9fc000000"
#define CALL_INTO_B	  "e8fc000000"
#define TO_B		  "e9fb000000"
#define TO_DATA		  "e9fbfe0000"
#define TO_NOWHERE	  "e900000070"
#define TO_HIGHER	  "e9fb010000"
#define OVER_PAGE	  "e9fa0e0000"
#define TO_ITSELF	  "e9fbffffff"
#define INTO_ITSELF	  "e9fcffffff"
#define FIXUP(new, fixup) "{\"sites\": [" SITE("place_a", new, ", \"fixup\": \"" fixup "\"") "]}"

static void refuses(struct rig *r, const char *args, int want, const char *why)
{
	const uint8_t *ram = r->w->fake->ram;
	uint8_t *before = malloc(FAKE_RAM);

	assert_non_null(before);
	memcpy(before, ram, FAKE_RAM);
	fails(r, "poke", args, want, why);
	assert_memory_equal(before, ram, FAKE_RAM);
	free(before);
}

static void test_jumps(void **state)
{
	struct rig *r = *state;

	refuses(r, POKED(INTO_B), -EINVAL, "its jump leads to 0xffffffff80000201: ");
	refuses(r, POKED(INTO_B), -EINVAL, "inside the instruction at place_b+0x0 (or --force)");
	refuses(r, POKED(CALL_INTO_B), -EINVAL, "its call leads to 0xffffffff80000201: ");
	refuses(r, POKED(TO_DATA), -EFAULT, "no code can run there");
	refuses(r, POKED(TO_NOWHERE), -EFAULT, "no code can run there");
	fake_at(r->w->fake, B)[0x100] = 0x06; /* push es: none in 64-bit mode */
	refuses(r, POKED(TO_HIGHER), -EINVAL, "no instruction stands there");
	succeeds(r, "poke", POKED(TO_B));
}

static void test_batch(void **state)
{
	struct rig *r = *state;

	refuses(r, "{\"sites\": [" SITE("place_a", INTO_B, "") ", " SITE("place_b", TO_B, "") "]}",
		-EINVAL,
		"site 0 at 0xffffffff80000100: its jump leads to 0xffffffff80000201: that "
		"is inside site 1");
	refuses(r, POKED(INTO_ITSELF), -EINVAL, "inside site 0");
	succeeds(r, "poke", POKED(TO_ITSELF));
}

static void test_fixup(void **state)
{
	struct rig *r = *state;

	refuses(r, FIXUP(TO_B, "place_b+1"), -EINVAL, "its fixup leads to 0xffffffff80000201: ");
	refuses(r, FIXUP(INTO_B, "place_b"), -EINVAL, "its jump leads");
	succeeds(r, "poke", FIXUP(TO_B, "place_b"));
}

/* Who forced it once need not force it again to hear that it stands; the way back is free. */
static void test_force(void **state)
{
	struct rig *r = *state;

	struct vp_err err;
	json_t *ret;
	int code;

	ret = call(r, "poke", FORCED(TO_DATA), &code, &err);
	assert_non_null(
		strstr(json_string_value(json_object_get(ret, "forced")), "no code can run"));
	json_decref(ret);
	another_process(r);
	expect_poke(r, 1, "forced",
		    "site 0 at 0xffffffff80000100: its jump leads to "
		    "0xffffffff80010000: no code can run there");
	succeeds(r, "poke", POKED(TO_DATA));
	expect_poke(r, 1, "now", "new");
	succeeds(r, "revert", "{}");
	assert_memory_equal(fake_at(r->w->fake, A), "\x0f\x1f\x44\x00\x00", 5);
}

/* That --force would be a help is not said where it is none. */
static void test_other_reasons(void **state)
{
	struct rig *r = *state;

	refuses(r, FIXUP(TO_B, "0x7000"), -EFAULT, "fixup of site 0");
	fake_at(r->w->fake, A)[4] = 1;
	refuses(r, POKED(INTO_B), -ESTALE, "not the old bytes");
	fake_unmap(r->w->fake, A);
	refuses(r, POKED(INTO_B), -EFAULT, "not mapped");
}

/* A probe may stand where it leads: that is no less an instruction. */
static void test_probe(void **state)
{
	struct rig *r = *state;

	fake_at(r->w->fake, B)[0] = 0xcc;
	succeeds(r, "poke", POKED(TO_B));
}

/* A prefix is of the instruction, also where the one behind it could do without. */
static void test_behind_prefix(void **state)
{
	static const uint8_t lock_dec[] = { 0xf0, 0xff, 0x08 };
	struct rig *r = *state;

	memcpy(fake_at(r->w->fake, B), lock_dec, sizeof(lock_dec));
	refuses(r, POKED(INTO_B), -EINVAL, "inside the instruction at place_b+0x0");
	refuses(r, "{\"sites\": [{\"addr\": \"place_b+1\", \"old\": \"ff08\", \"new\": \"6690\"}]}",
		-EINVAL, "inside the instruction at place_b+0x0");
}

/* Over a prefix, as jumps of the guest's own lead: nothing of that is new. */
static void test_led_before(void **state)
{
	static const uint8_t into_b[] = { 0xe9, 0xfc, 0, 0, 0 };
	struct rig *r = *state;

	memcpy(fake_at(r->w->fake, A), into_b, sizeof(into_b));
	succeeds(r, "poke",
		 "{\"sites\": [{\"addr\": \"place_a\", \"old\": \"" INTO_B
		 "\", \"new\": \"" CALL_INTO_B "\"}]}");
}

/* As an optimised kprobe does: five bytes of six are a jump to where nothing has a name. */
static void test_behind_cut(void **state)
{
	struct rig *r = *state;

	memcpy(fake_at(r->w->fake, A), "\xe9\xfb\xfe\xff\xff\xb8\x0f\x1f\x44\x00\x00", 11);
	fails(r, "poke", "{\"sites\": [" SITE("place_a+1", TO_B, "") "]}", -EINVAL, "lies inside");
	succeeds(r, "poke", "{\"sites\": [" SITE("place_a+6", "660f1f4000", "") "]}");
}

/* What goes on on the next page is no less an instruction. */
static void test_over_page(void **state)
{
	static const uint8_t lock_dec[] = { 0xf0, 0xff, 0x08 };
	struct rig *r = *state;

	memset(fake_at(r->w->fake, FAKE_TEXT), 0x90, 0x1000);
	memcpy(fake_at(r->w->fake, A), "\x0f\x1f\x44\x00\x00", 5);
	memcpy(fake_at(r->w->fake, FAKE_TEXT + 0xfff), lock_dec, 1);
	memcpy(fake_at(r->w->fake, FAKE_TEXT + 0x1000), lock_dec + 1, 2);
	succeeds(r, "poke", POKED(OVER_PAGE));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, control_rig_setup, control_rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_jumps),	       T(test_batch),	   T(test_fixup),
		T(test_force),	       T(test_probe),	   T(test_other_reasons),
		T(test_behind_prefix), T(test_behind_cut), T(test_led_before),
		T(test_over_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
