/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest itself may have written at a place of its text, by its tables; and what not. */
#include "unit.h"
#include "linux/explain.h"
#include "linux_build.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_explain *x;
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
	vp_explain_free(x);
	x = NULL;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

/* What is said of the byte at offset @off of the image; the tables are read afresh. */
static int ask(uint32_t off, const char *why, uint32_t start, uint32_t len)
{
	const struct vp_blob text = { lg_image(g, 0), 0x10000, g->text };
	char what[VP_EXPLAIN_MAX];
	uint64_t from = 0, to = 0;
	enum vp_why is = VP_WHY_COUNT;
	int rc;

	vp_explain_free(x);
	x = NULL;
	assert_int_equal(vp_explain_new(l, &x, &err), 0);
	rc = vp_explain_at(x, g->text + off, &text, &is, &from, &to, what, &err);
	if (rc > 0) {
		assert_string_equal(vp_why_name(is), why);
		assert_int_equal(from, g->text + start);
		assert_int_equal(to, g->text + start + len);
	} else if (!rc) {
		assert_true(!*why == !*what && (!*why || strstr(what, why)));
	}
	return rc;
}

static void is_right(uint32_t off, const char *why, uint32_t start, uint32_t len)
{
	assert_int_equal(ask(off, why, start, len), 1);
}

/* @whose: "": nobody's. */
static void is_wrong(uint32_t off, const char *whose)
{
	assert_int_equal(ask(off, whose, 0, 0), 0);
}

static void write(uint32_t off, const char *bytes, size_t len)
{
	memcpy(lg_image(g, off), bytes, len);
}

#define WRITE(off, bytes) write(off, bytes, sizeof(bytes) - 1)

static void keys(void **state)
{
	(void)state;
	is_right(LG_SITE(0), "static-keys", LG_SITE(0), 5);
	is_right(LG_SITE(0) + 4, "static-keys", LG_SITE(0), 5);
	is_wrong(LG_SITE(0) + 5, "");
	is_right(LG_SITE(1) + 1, "static-keys", LG_SITE(1), 2);
	is_wrong(LG_SITE(1) + 2, "");
	is_right(LG_SITE(4), "static-keys", LG_SITE(4), 5);
	lg_put(g, LG_KEY_ON, 0, 4); /* its jmp stands, but it is off */
	is_wrong(LG_SITE(4), "key_on");
	lg_put(g, LG_KEY_ON, 2, 4);
	is_right(LG_SITE(4), "static-keys", LG_SITE(4), 5);
	WRITE(LG_SITE(4), "\xe9\x08\x00\x00\x00"); /* elsewhere */
	is_wrong(LG_SITE(4), "key_on");
	WRITE(LG_SITE(4), "\xcc"); /* the guest is at it: another look */
	is_wrong(LG_SITE(4), "key_on");
	is_wrong(LG_SITE(3), ""); /* of boot */
}

static void calls(void **state)
{
	uint64_t func = g->text + LG_CALL + 5 + 0x10;

	(void)state;
	is_wrong(LG_CALL, "static call __SCK__one");
	lg_put(g, LG_CALL_KEY, func, 8);
	is_right(LG_CALL + 4, "static-calls", LG_CALL, 5);
	is_wrong(LG_CALL_JCC, "static call");
	lg_put(g, LG_CALL_KEY, g->text + LG_CALL_JCC + 6 + 0x10, 8);
	is_right(LG_CALL_JCC + 5, "static-calls", LG_CALL_JCC, 6);
	is_wrong(LG_CALL, "static call");
	WRITE(LG_CALL, "\x0f\x1f\x44\x00\x00");
	is_wrong(LG_CALL, "static call"); /* there is a function */
	lg_put(g, LG_CALL_KEY, 0, 8);
	is_right(LG_CALL, "static-calls", LG_CALL, 5);
	WRITE(LG_CALL, "\xc3\xcc\xcc\xcc\xcc");
	is_right(LG_CALL + 4, "static-calls", LG_CALL, 5);
	WRITE(LG_CALL, "\x66\x66\x48\x31\xc0");
	is_right(LG_CALL, "static-calls", LG_CALL, 5);
	WRITE(LG_CALL, "\x90\x90\x90\x90\x90");
	is_wrong(LG_CALL, "static call");
}

static void ftrace(void **state)
{
	uint64_t made = LG_MODULES + 0xa000; /* no module's */
	uint64_t site = g->text + LG_ENTRY(2);

	(void)state;
	is_right(LG_ENTRY(2), "ftrace", LG_ENTRY(2), 5);
	is_right(LG_ENTRY(5) + 4, "ftrace", LG_ENTRY(5), 5);
	is_wrong(LG_FUNC(5), "");	      /* its endbr64 */
	is_wrong(LG_ENTRY(LG_FUNCS - 1), ""); /* without a record */
	lg_put(g, LG_ENTRY(2), 0xe8, 1);
	lg_put(g, LG_ENTRY(2) + 1, made - (site + 5), 4);
	is_wrong(LG_ENTRY(2), "ftrace"); /* nobody is attached */
	lg_put(g, LG_RECORD(2) + 8, LG_FTRACE_ENABLED | 1, 8);
	is_right(LG_ENTRY(2), "ftrace", LG_ENTRY(2), 5);
	lg_put(g, LG_ENTRY(2), 0xe9, 1);
	is_wrong(LG_ENTRY(2), "ftrace");
	lg_put(g, LG_ENTRY(2), 0xe8, 1);
	lg_put(g, LG_ENTRY(2) + 1, LG_MODULES + 0x100 - (site + 5), 4); /* a module's text */
	is_wrong(LG_ENTRY(2), "ftrace");
	lg_put(g, LG_RECORD(2) + 8, LG_FTRACE_ENABLED | 1 << 27 | 1, 8); /* a direct call */
	is_right(LG_ENTRY(2), "ftrace", LG_ENTRY(2), 5);
}

static void probes(void **state)
{
	uint64_t made = LG_MODULES + 0xa000;

	(void)state;
	is_wrong(LG_PROBED, "kprobe");
	WRITE(LG_PROBED, "\xcc");
	is_right(LG_PROBED, "kprobes", LG_PROBED, 1);
	is_wrong(LG_PROBED + 1, ""); /* of the instruction that it stands in */
	lg_put(g, LG_PROBED, 0xe9, 1);
	lg_put(g, LG_PROBED + 1, made - (g->text + LG_PROBED + 5), 4);
	is_right(LG_PROBED + 4, "kprobes", LG_PROBED, 5);
	lg_put(g, LG_PROBED + 1, 0x100, 4);
	is_wrong(LG_PROBED, "kprobe");
}

static void nobodys(void **state)
{
	(void)state;
	is_wrong(0x800, "");
	is_wrong(0, "");
}

static void counted(void *arg, uint64_t addr, uint32_t len)
{
	assert_true(addr == g->text + LG_PROBED || addr == g->text + LG_PROBED + 0x40);
	assert_int_equal(len, 5);
	++*(unsigned int *)arg;
}

static void told(void **state)
{
	unsigned int n = 0;

	(void)state;
	assert_int_equal(vp_explain_new(l, &x, &err), 0);
	vp_explain_probes(x, counted, &n);
	assert_int_equal(n, 2);
	assert_int_equal(vp_explain_made(x), 13 * 0x1000);
}

/* Where one of the tables is not known, nothing is explained. */
static void unknown(void **state)
{
	unsigned long reads = g->reads;

	(void)state;
	assert_int_equal(vp_explain_new(l, &x, &err), 0);
	vp_explain_free(x);
	x = NULL;
	reads = g->reads - reads;
	g->fail_with = -EIO;
	for (unsigned long i = 1; i <= reads; i++) {
		vp_linux_free(l);
		g->fail_at = 0;
		assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
		g->fail_at = g->reads + i;
		g->fail_stays = true;
		assert_int_not_equal(vp_explain_new(l, &x, &err), 0);
		assert_null(x);
	}
	g->fail_at = 0;
	vp_linux_free(l);
	lg_free(g);
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .no_btf = true });
	assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
	assert_int_equal(vp_explain_new(l, &x, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "no type information"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys, setup, teardown),
		cmocka_unit_test_setup_teardown(calls, setup, teardown),
		cmocka_unit_test_setup_teardown(ftrace, setup, teardown),
		cmocka_unit_test_setup_teardown(probes, setup, teardown),
		cmocka_unit_test_setup_teardown(nobodys, setup, teardown),
		cmocka_unit_test_setup_teardown(told, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
