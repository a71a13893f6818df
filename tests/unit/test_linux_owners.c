/* SPDX-License-Identifier: Apache-2.0 */
/* Who else writes into the kernel's text: each kind of owner, and when none can be told. */
#include "unit.h"
#include "linux_build.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_linux_care care;
static struct vp_err err;

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .slide = 0x200000, .modules = true });
	return vp_linux_open(&g->target, NULL, &l, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

/* Ask for what stands at @addr, of @len bytes. */
static int ask(uint64_t addr, uint8_t len, bool force)
{
	struct vp_site s = { .addr = VP_GVA(addr), .len = len };

	vp_linux_care_free(&care);
	err.text[0] = '\0';
	memcpy(s.old_bytes, lg_at(g, addr), len);
	return vp_linux_poke_plan(l, &s, 1, force, &care, &err);
}

static int ask_image(uint32_t off, uint8_t len)
{
	return ask(g->text + off, len, false);
}

/* @owner and, by force, nobody. */
static void owned(uint64_t addr, uint8_t len, const char *owner)
{
	assert_int_equal(ask(addr, len, false), -EBUSY);
	if (!strstr(err.text, owner) || !strstr(err.text, "site 0 at 0x"))
		fail_msg("\"%s\" does not tell of %s", err.text, owner);
	assert_int_equal(ask(addr, len, true), 0);
	assert_non_null(strstr(care.forced.text, owner));
	vp_linux_care_free(&care);
}

static bool requires(uint32_t off, uint32_t value)
{
	for (size_t i = 0; i < care.nwords; i++)
		if (care.words[i].addr.v == g->text + off && vp_word_is_condition(&care.words[i]) &&
		    care.words[i].old_value == value)
			return true;
	return false;
}

static size_t changing(void)
{
	size_t n = 0;

	for (size_t i = 0; i < care.nwords; i++)
		n += !vp_word_is_condition(&care.words[i]);
	return n;
}

/* Plain code, and user space: the locks of those who patch, or nothing. */
static void nobodys(void **state)
{
	(void)state;
	assert_int_equal(ask_image(0x800, 1), 0);
	assert_true(requires(LG_TEXT_MUTEX, 0) && requires(LG_KPROBE_MUTEX + 4, 0));
	assert_int_equal(changing(), 0);
	assert_false(care.stop);
	assert_string_equal(care.forced.text, "");
	vp_linux_care_free(&care);
	{
		const struct vp_site s = { .addr = VP_GVA(0x401000), .len = 1 };

		assert_int_equal(vp_linux_poke_plan(l, &s, 1, false, &care, NULL), 0);
		assert_int_equal(care.nwords, 0);
	}
	lg_put(g, LG_TEXT_MUTEX, 0xffff888000123450, 8);
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	assert_int_equal(ask(g->text + 0x800, 1, true), -EAGAIN); /* force does not outrun it */
}

static void static_keys(void **state)
{
	(void)state;
	owned(g->text + LG_SITE(0), 5, "key set TARGET key_off on|off");
	owned(g->text + LG_SITE(1), 2, "static key key_off");
	assert_int_equal(ask_image(LG_SITE(1) + 2, 1), 0); /* behind a nop of two bytes */
	owned(g->text + LG_SITE(0) + 4, 1, "static key key_off");
	assert_int_equal(ask_image(LG_SITE(3), 2), 0); /* freed after boot: another's by now */
	owned(LG_MOD_SITE, 2, "static key key_mod");
	owned(LG_MOD_SITE2, 5, "static key alpha_key");
	vp_linux_care_free(&care);
}

static void static_calls(void **state)
{
	(void)state;
	owned(g->text + LG_CALL, 5, "static call __SCK__one");
	assert_int_equal(ask_image(LG_CALL + 5, 1), 0);
	owned(g->text + LG_CALL_JCC, 6, "static call __SCK__one");
	owned(g->text + LG_CALL_JCC + 5, 1, "static call __SCK__one");
	owned(g->text + LG_TRAMPOLINE + 0x20, 5, "trampoline of a static call");
	owned(g->text + LG_TRAMPOLINE, 5, "trampoline of a static call (__SCT__one)");
	owned(LG_MOD_CALL, 5, "static call __SCK__one");
	vp_linux_care_free(&care);
}

static void kprobes(void **state)
{
	(void)state;
	owned(g->text + LG_PROBED, 1, "kprobe at filler_64");
	owned(g->text + LG_PROBED + 4, 1, "kprobe at filler_64");
	owned(g->text + LG_PROBED - 1, 2, "kprobe at filler_64");
	assert_int_equal(ask_image(LG_PROBED + 5, 1), 0);
	assert_int_equal(ask_image(LG_PROBED - 1, 1), 0);
	owned(g->text + LG_PROBED + 0x40, 1, "kprobe at filler_68");
	vp_linux_care_free(&care);
	lg_put(g, LG_PROBE_STRUCT + 0x50, g->text + LG_PROBE_STRUCT + 0x10, 8); /* a loop */
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	lg_put(g, LG_PROBE_STRUCT + 0x50, 0xffff900000000000, 8); /* to nowhere */
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	lg_put(g, LG_PROBE_STRUCT + 0x50, 0x1234, 8); /* to user space */
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
}

/* --- ftrace ----------------------------------------------------------------------- */

/* Each function that has a record: its flag is set with the poke, while nothing is attached. */
static void entries(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LG_FUNCS - 1; i++) {
		uint32_t flags = i % 3 ? 0 : 0x180000; /* TOUCHED, MODIFIED */
		const struct vp_word *w = NULL;

		lg_put(g, LG_RECORD(i) + 8, flags, 8);
		assert_int_equal(ask_image(LG_ENTRY(i), 5), 0);
		assert_true(care.stop);
		assert_int_equal(changing(), 1);
		for (size_t k = 0; k < care.nwords; k++)
			if (!vp_word_is_condition(&care.words[k]))
				w = &care.words[k];
		assert_int_equal(w->addr.v, g->text + LG_RECORD(i) + 8);
		assert_int_equal(w->old_value, flags);
		assert_int_equal(w->new_value, flags | LG_DISABLED);
		assert_true(requires(LG_FTRACE_OPS, (uint32_t)(g->text + LG_FTRACE_END)));
		assert_true(requires(LG_FTRACE_OPS + 4, 0xffffffff));
		assert_true(requires(LG_FTRACE_LOCK, 0) && requires(LG_FTRACE_LOCK + 4, 0));
		assert_true(requires(LG_JUMP_MUTEX, 0) && requires(LG_TEXT_MUTEX, 0));
		assert_true(requires(LG_RECORD(i), (uint32_t)(g->text + LG_ENTRY(i))));
	}
	vp_linux_care_free(&care);
}

static void several(void **state)
{
	struct vp_site s[4];

	(void)state;
	memset(s, 0, sizeof(s));
	for (uint32_t i = 0; i < 4; i++) {
		s[i] = (struct vp_site){ .addr = VP_GVA(g->text + LG_ENTRY(2 * i)), .len = 5 };
		memcpy(s[i].old_bytes, lg_at(g, s[i].addr.v), 5);
	}
	assert_int_equal(vp_linux_poke_plan(l, s, 4, false, &care, &err), 0);
	assert_int_equal(changing(), 4);
	for (size_t i = 0; i < care.nwords; i++) /* no word twice: the engine would refuse it */
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(care.words[i].addr.v, care.words[j].addr.v);
	vp_linux_care_free(&care);
	s[3].addr = VP_GVA(g->text + LG_SITE(0));
	assert_int_equal(vp_linux_poke_plan(l, s, 4, false, &care, &err), -EBUSY);
	assert_non_null(strstr(err.text, "site 3 at"));
}

static void attached(void **state)
{
	static const struct {
		uint64_t flags;
		const char *who;
	} tests[] = {
		{ LG_FTRACE_ENABLED | 1, "traces now" },
		{ 0x4000000 | LG_FTRACE_ENABLED | 1, "a livepatch" },
		{ 0x8000000 | LG_FTRACE_ENABLED | 1, "BPF trampoline" },
		{ LG_DISABLED, "itself has disabled" },
		{ 1, "traces now" },
		{ 1ull << 40, "traces now" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		lg_put(g, LG_RECORD(2) + 8, tests[i].flags, 8);
		owned(g->text + LG_ENTRY(2), 5, tests[i].who);
	}
	lg_put(g, LG_RECORD(2) + 8, 0, 8);
	owned(g->text + LG_ENTRY(2) + 1, 1, "part of the 5 bytes");
	owned(g->text + LG_ENTRY(LG_FUNCS - 1), 5, "no record of it");
	/* What another poke has taken from ftrace is no matter of ftrace's any more. */
	memcpy(lg_image(g, LG_ENTRY(2)), "\xe9\x10\x00\x00\x00", 5);
	owned(g->text + LG_ENTRY(2), 5, "not ftrace's nop");
	lg_put(g, LG_RECORD(2) + 8, LG_DISABLED, 8);
	assert_int_equal(ask_image(LG_ENTRY(2), 5), 0);
	assert_int_equal(changing(), 0);
	vp_linux_care_free(&care);
}

/* A hotfix goes: where the nop comes back ftrace gets its function, and nowhere else. */
static void given_back(void **state)
{
	struct vp_site s = { .addr = VP_GVA(g->text + LG_ENTRY(2)), .len = 5 };
	const struct vp_word *w = NULL;

	(void)state;
	memcpy(s.new_bytes, lg_at(g, s.addr.v), 5); /* the nop */
	memcpy(s.old_bytes, "\xe9\x10\x00\x00\x00", 5);
	memcpy(lg_image(g, LG_ENTRY(2)), s.old_bytes, 5);
	lg_put(g, LG_RECORD(2) + 8, LG_DISABLED | 0x180000, 8);
	assert_int_equal(vp_linux_redirect_plan(l, &s, 1, false, &care, &err), 0);
	assert_true(care.stop);
	assert_int_equal(changing(), 1);
	for (size_t k = 0; k < care.nwords; k++)
		if (!vp_word_is_condition(&care.words[k]))
			w = &care.words[k];
	assert_int_equal(w->addr.v, g->text + LG_RECORD(2) + 8);
	assert_int_equal(w->old_value, LG_DISABLED | 0x180000);
	assert_int_equal(w->new_value, 0x180000);
	assert_true(requires(LG_FTRACE_OPS, (uint32_t)(g->text + LG_FTRACE_END)));
	vp_linux_care_free(&care);
	/* a poke by hand is no such thing */
	assert_int_equal(vp_linux_poke_plan(l, &s, 1, false, &care, &err), 0);
	assert_int_equal(changing(), 0);
	vp_linux_care_free(&care);
	/* a hotfix below it, which keeps the function */
	memcpy(s.new_bytes, "\xe9\x20\x00\x00\x00", 5);
	assert_int_equal(vp_linux_redirect_plan(l, &s, 1, false, &care, &err), 0);
	assert_int_equal(changing(), 0);
	vp_linux_care_free(&care);
	/* what a tracer has meanwhile is not taken from it */
	lg_put(g, LG_RECORD(2) + 8, LG_DISABLED | LG_FTRACE_ENABLED | 1, 8);
	assert_int_equal(vp_linux_redirect_plan(l, &s, 1, false, &care, &err), -EBUSY);
}

static void in_use(void **state)
{
	static const uint32_t locks[] = { LG_FTRACE_LOCK, LG_JUMP_MUTEX, LG_KPROBE_MUTEX };

	(void)state;
	lg_put(g, LG_FTRACE_OPS, g->text + 0x700000, 8);
	assert_int_equal(ask_image(LG_ENTRY(0), 5), -EAGAIN);
	assert_non_null(strstr(err.text, "ftrace is in use"));
	assert_int_equal(ask_image(0x800, 1), 0); /* elsewhere that does not matter */
	/* By force it is not waited for, and nothing is taken from ftrace. */
	assert_int_equal(ask(g->text + LG_ENTRY(0), 5, true), 0);
	assert_int_equal(changing(), 0);
	assert_non_null(strstr(care.forced.text, "ftrace is in use"));
	lg_put(g, LG_FTRACE_OPS, g->text + LG_FTRACE_END, 8);
	for (size_t i = 0; i < 3; i++) {
		lg_put(g, locks[i], 0xffff888000123450, 8);
		assert_int_equal(ask_image(LG_ENTRY(0), 5), -EAGAIN);
		lg_put(g, locks[i], 0, 8);
	}
	assert_int_equal(ask_image(LG_ENTRY(0), 5), 0);
	vp_linux_care_free(&care);
}

/* Lists of records that make no sense. */
static void hostile_pages(void **state)
{
	uint64_t page = g->text + LG_PAGE_STRUCTS;

	(void)state;
	lg_put(g, LG_PAGE_STRUCTS + 32, page, 8); /* a loop */
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	lg_put(g, LG_PAGE_STRUCTS + 32, 0x123456, 8);
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	lg_put(g, LG_PAGE_STRUCTS + 32, 0, 8);
	lg_put(g, LG_PAGE_STRUCTS + 16, 0xffffffff, 4);
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	lg_put(g, LG_PAGE_STRUCTS + 16, 0x100000, 4);
	assert_int_equal(ask_image(0x800, 1), -EAGAIN);
	lg_put(g, LG_PAGE_STRUCTS + 16, 4, 4);
	assert_int_equal(ask_image(0x800, 1), 0);
	vp_linux_care_free(&care);
}

/* --- unknown means no ---------------------------------------------------------------- */

static void generated_code(void **state)
{
	(void)state;
	owned(LG_MODULES + 0x2000, 1, "neither the kernel nor a module");
	vp_linux_care_free(&care);
}

static void refused_as_unknown(const struct lg_opts *opts, const char *why)
{
	struct linux_guest *other = lg_new(opts);
	struct vp_site s = { .len = 1 };
	struct vp_linux *lo;

	s.addr = VP_GVA(other->text + 0x800);
	s.old_bytes[0] = 0x90;
	assert_int_equal(vp_linux_open(&other->target, NULL, &lo, NULL), 0);
	assert_int_equal(vp_linux_poke_plan(lo, &s, 1, false, &care, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, why));
	assert_int_equal(vp_linux_poke_plan(lo, &s, 1, true, &care, &err), 0);
	assert_non_null(strstr(care.forced.text, why));
	vp_linux_care_free(&care);
	vp_linux_free(lo);
	lg_free(other);
}

static void unknown(void **state)
{
	(void)state;
	refused_as_unknown(&(struct lg_opts){ .no_btf = true }, "no type information");
	refused_as_unknown(&(struct lg_opts){ .text_symbols_only = true }, "cannot be known");
	lg_put(g, LG_BTF + 20, 0xffffff, 4); /* damaged: so is what a cache would keep of it */
	refused_as_unknown(&(struct lg_opts){ .no_btf = true, .modules = true }, "BTF");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobodys), TEST(static_keys),   TEST(static_calls),	  TEST(kprobes),
		TEST(entries), TEST(several),	    TEST(attached),	  TEST(given_back),
		TEST(in_use),  TEST(hostile_pages), TEST(generated_code), TEST(unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
