/* SPDX-License-Identifier: Apache-2.0 */
/* verify: what is kept at the first look, what differs from it later, and what has a reason. */
#include <fcntl.h>
#include <unistd.h>

#include "linux_control.h"
#include "unit.h"

static int setup(void **state)
{
	int rc = linux_control_setup(state);
	struct linux_guest *g;

	if (rc)
		return rc;
	g = ((struct linux_control *)*state)->g;
	/* A module's text that is read-only, as it is in a real guest. */
	for (unsigned int page = 0; page < 16; page += 8)
		g->ram[0xb000 + 8 * page] &= (uint8_t)~2u;
	lg_put(g, LG_CALL_KEY, g->text + LG_CALL + 5 + 0x10, 8);
	return 0;
}

/* As another process. To be freed. */
static json_t *verify(struct linux_control *r, bool good)
{
	struct vp_err err;
	json_t *v;

	linux_control_again(r);
	v = linux_control_call(r, "verify", json_object(), 0, &err);
	if (json_is_true(json_object_get(v, "good")) != good)
		fail_msg("%s", json_dumps(v, 0));
	return v;
}

static void is_good(struct linux_control *r)
{
	json_decref(verify(r, true));
}

static long long number(const json_t *v, const char *key)
{
	return json_integer_value(json_object_get(v, key));
}

static long long changes(const json_t *v, const char *key)
{
	return number(json_object_get(v, "changes"), key);
}

static const char *text(const json_t *object, const char *key)
{
	const char *is = json_string_value(json_object_get(object, key));

	return is ? is : "";
}

static void first_and_second(void **state)
{
	struct linux_control *r = *state;
	const json_t *region;
	size_t i, modules = 0;
	json_t *v = verify(r, true);

	assert_true(json_is_true(json_object_get(v, "first")));
	assert_int_equal(number(v, "added"), 4);
	json_array_foreach(json_object_get(v, "regions"), i, region)
	{
		assert_true(number(region, "since") > 0);
		modules += json_is_true(json_object_get(region, "module"));
	}
	assert_int_equal(modules, 2);
	json_decref(v);
	assert_int_equal(access(r->baseline, F_OK), 0);
	v = verify(r, true);
	assert_true(json_is_false(json_object_get(v, "first")));
	assert_int_equal(number(v, "added"), 0);
	/* A module that is coming; what the guest made itself. */
	assert_int_equal(json_array_size(json_object_get(v, "not-verified")), 2);
	json_decref(v);
}

/* @at is changed from @was to @now, and named. */
static void named(struct linux_control *r, uint64_t at, const char *in, const char *was,
		  const char *now)
{
	char addr[32];
	json_t *v = verify(r, false);
	const json_t *d = json_array_get(json_object_get(v, "differences"), 0);

	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)at);
	assert_int_equal(json_array_size(json_object_get(v, "differences")), 1);
	assert_string_equal(text(d, "addr"), addr);
	assert_string_equal(text(d, "in"), in);
	assert_string_equal(text(d, "was"), was);
	assert_string_equal(text(d, "now"), now);
	json_decref(v);
}

static void one_byte(void **state)
{
	struct linux_control *r = *state;
	struct linux_guest *g = r->g;
	uint64_t module = LG_MODULES + 0x50;

	is_good(r);
	*lg_image(g, 0x800) = 0x91;
	named(r, g->text + 0x800, "text", "90", "91");
	*lg_image(g, 0x805) = 0x92; /* near, and so in one with it */
	named(r, g->text + 0x800, "text", "909090909090", "919090909092");
	*lg_image(g, 0x800) = *lg_image(g, 0x805) = 0x90;
	is_good(r);
	*lg_image(g, LG_RODATA + 0x800) ^= 0xff;
	named(r, g->text + LG_RODATA + 0x800, "rodata", "00", "ff");
	*lg_image(g, LG_RODATA + 0x800) ^= 0xff;
	*lg_at(g, module) = 0x91;
	named(r, module, "alpha", "90", "91");
	*lg_at(g, module) = 0x90;
	is_good(r);
	/* Behind the last symbol of each, and in data, is what nobody looks at. */
	*lg_image(g, LG_ETEXT) ^= 1;
	*lg_image(g, LG_END_RODATA) ^= 1;
	*lg_image(g, LG_DATA + 0x3000) ^= 1;
	is_good(r);
}

static void many(void **state)
{
	struct linux_control *r = *state;
	json_t *v;

	is_good(r);
	for (uint32_t i = 0; i < 100; i++)
		*lg_image(r->g, 0x2000 + 16 * i) ^= 1;
	v = verify(r, false);
	assert_int_equal(json_array_size(json_object_get(v, "differences")), 64);
	assert_int_equal(number(v, "more"), 36);
	json_decref(v);
}

static void guests_own(void **state)
{
	struct linux_control *r = *state;
	struct linux_guest *g = r->g;
	json_t *v;

	lg_put(g, LG_KPROBES + 8 * 5, 0, 8);
	is_good(r);
	lg_put(g, LG_KPROBES + 8 * 5, g->text + LG_PROBE_STRUCT + 0x10, 8);
	lg_put(g, LG_KEY_MOD, 1, 4); /* the key goes on, its sites with it */
	memcpy(lg_image(g, LG_SITE(7)), "\xe9\x07\x00\x00\x00", 5);
	memcpy(lg_at(g, LG_MOD_SITE), "\xeb\x0a", 2);
	*lg_image(g, LG_PROBED) = 0xcc;
	v = verify(r, true);
	assert_int_equal(changes(v, "static-keys"), 2);
	assert_int_equal(changes(v, "kprobes"), 1);
	json_decref(v);
	/* A site against its key: named as a difference, and as a broken key. */
	memcpy(lg_image(g, LG_SITE(7)), "\x0f\x1f\x44\x00\x01", 5);
	v = verify(r, false);
	assert_int_equal(json_array_size(json_object_get(v, "broken-keys")), 1);
	assert_string_equal(text(json_array_get(json_object_get(v, "differences"), 0), "place-of"),
			    "static key key_mod");
	json_decref(v);
}

/* A kprobe that was there already: what it covers is not known. */
static void hole(void **state)
{
	struct linux_control *r = *state;
	json_t *v;

	*lg_image(r->g, LG_PROBED) = 0xcc;
	is_good(r);
	lg_put(r->g, LG_KPROBES + 8 * 5, 0, 8);
	*lg_image(r->g, LG_PROBED) = 0x90;
	v = verify(r, true);
	assert_int_equal(changes(v, "unknown"), 1);
	json_decref(v);
	*lg_image(r->g, LG_PROBED + 5) ^= 1;
	json_decref(verify(r, false));
}

/* What was ours at the first look is taken out of it; what comes later has a reason. */
static void ours(void **state)
{
	static const unsigned int funcs[] = { 1, 2 };
	struct linux_control *r = *state;
	struct linux_guest *g = r->g;
	struct vp_err err;
	json_t *v;

	v = json_pack("{s:[{s:o, s:s, s:s}]}", "sites", "addr",
		      json_sprintf("0x%llx", (unsigned long long)g->text + 0x900), "old", "90",
		      "new", "fc");
	json_decref(linux_control_call(r, "poke", v, 0, &err));
	lg_put_hotfix(g, 0, "fix", 1000, funcs, 2);
	lg_redirect(g, 1, 0, 0);
	lg_redirect(g, 2, 0, 1);
	v = verify(r, true);
	assert_int_equal(json_array_size(json_object_get(v, "hotfixes")), 1);
	json_decref(v);
	v = verify(r, true);
	assert_int_equal(changes(v, "pokes"), 1);
	assert_int_equal(changes(v, "hotfixes"), 2);
	json_decref(v);
	*lg_at(g, LG_HOTFIX(0) + LG_REPLACEMENT(0)) ^= 1;
	json_decref(verify(r, false));
	*lg_at(g, LG_HOTFIX(0) + LG_REPLACEMENT(0)) ^= 1;
	lg_redirect(g, 2, 1, 0); /* elsewhere */
	json_decref(verify(r, false));
	lg_redirect(g, 2, 0, 1);
	json_decref(linux_control_call(r, "revert", json_object(), 0, &err));
	is_good(r);
}

static void modules_come_and_go(void **state)
{
	struct linux_control *r = *state;
	struct linux_guest *g = r->g;
	json_t *v;

	lg_set(g, LG_MODULE(1), 1, 4); /* beta is coming */
	v = verify(r, true);
	assert_int_equal(number(v, "added"), 3);
	assert_int_equal(json_array_size(json_object_get(v, "not-verified")), 2);
	json_decref(v);
	lg_set(g, LG_MODULE(1), 0, 4);
	v = verify(r, true);
	assert_int_equal(number(v, "added"), 1);
	json_decref(v);
	*lg_at(g, LG_BETA + 0x40) ^= 1;
	json_decref(verify(r, false));
	lg_set(g, LG_MODULE(1), 2, 4); /* it goes, and another comes to its place */
	is_good(r);
	lg_set(g, LG_MODULE(1), 0, 4);
	v = verify(r, true);
	assert_int_equal(number(v, "added"), 1);
	json_decref(v);
}

static void another_boot(void **state)
{
	struct linux_control *r = *state;
	json_t *v;

	is_good(r);
	*lg_image(r->g, 0x800) ^= 1;
	lg_put(r->g, LG_PAGE_OFFSET, 0xffff999000000000, 8); /* KASLR's doing */
	v = verify(r, true);
	assert_true(json_is_true(json_object_get(v, "first")));
	json_decref(v);
}

static void refused(void **state)
{
	struct linux_control *r = *state;
	struct vp_err err;
	int fd;

	is_good(r);
	fd = open(r->baseline, O_WRONLY);
	assert_true(fd >= 0 && pwrite(fd, "nonsense", 8, 100) == 8);
	close(fd);
	linux_control_again(r);
	assert_null(linux_control_call(r, "verify", json_object(), -EBADMSG, &err));
	assert_non_null(strstr(err.text, "is damaged"));
	unlink(r->baseline);
	r->g->fail_with = -EIO;
	for (unsigned long i = 1; i < 60; i += 3) {
		linux_control_again(r);
		r->g->fail_at = r->g->reads + i;
		r->g->fail_stays = true;
		assert_null(linux_control_call(r, "verify", json_object(), -EIO, &err));
		assert_int_not_equal(access(r->baseline, F_OK), 0);
	}
	r->g->fail_at = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_and_second, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(one_byte, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(many, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(guests_own, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(hole, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(ours, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(modules_come_and_go, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(another_boot, setup, linux_control_teardown),
		cmocka_unit_test_setup_teardown(refused, setup, linux_control_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
