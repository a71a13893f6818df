/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols of modules: modules.c, module_symbols.c, module_layout.c. */
#include "unit.h"
#include "linux_build.h"

#define SYMBOLS 6u /* of alpha and beta that have names */

static struct linux_guest *g;
static struct vp_linux *l;

static struct vp_err why;

static int start(const struct lg_opts *opts)
{
	g = lg_new(opts);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return start(&(struct lg_opts){ .layout = LG_6_1, .slide = 0x3400000, .modules = true });
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(l);
	lg_free(g);
	l = NULL;
	return 0;
}

/* Whatever the modules say, the kernel opens. */
static void reopen(void)
{
	vp_linux_free(l);
	l = NULL;
	if (vp_linux_open(&g->target, NULL, &l, &why))
		fail_msg("%s", why.text);
}

static size_t count(void)
{
	return vp_symtab_count(vp_linux_symbols(l)) - g->nsymbols;
}

/* The address of a symbol, or -errno. */
static uint64_t find(const char *name)
{
	vp_gva at;
	int rc = vp_symtab_find(vp_linux_symbols(l), name, &at, NULL);

	return rc ? (uint64_t)(int64_t)rc : at.v;
}

static uint64_t none(int code)
{
	return (uint64_t)(int64_t)code;
}

static void set(uint64_t gva, uint64_t value)
{
	lg_set(g, gva, value, 8);
}

static uint64_t head(void)
{
	return g->text + LG_MODULE_LIST;
}

static uint64_t node(unsigned int i)
{
	return LG_MODULE(i) + LG_M_LIST;
}

/* Take beta from the list: alpha, gamma. */
static void unload_beta(void)
{
	set(node(0), node(2));
	set(node(2) + 8, node(0));
}

/* --- what is there ---------------------------------------------------------------- */

static void symbols(void **state)
{
	(void)state;
	reopen();
	assert_int_equal(count(), SYMBOLS);
	assert_int_equal(find("alpha_text"), LG_MODULES + 0x100);
	assert_int_equal(find("alpha_percpu"), 0x2f000);
	assert_int_equal(find("beta_text"), LG_BETA + 0x10);
	assert_int_equal(find("shared"), none(-EEXIST));
	assert_int_equal(find("alpha:shared"), LG_MODULES + 0x180);
	assert_int_equal(find("beta:shared"), LG_BETA + 0x20);
	assert_int_equal(find("beta:alpha_text"), none(-ENOENT));
	assert_int_equal(find("gamma_text"), none(-ENOENT));
	assert_int_equal(find("gamma:gamma_text"), none(-ENOENT));
	assert_int_equal(find("key_on"), g->text + LG_KEY_ON);
}

static const char *near(uint64_t addr, uint64_t *offset)
{
	return vp_linux_nearest(l, VP_GVA(addr), offset);
}

static void nearest(void **state)
{
	uint64_t off = 0;

	(void)state;
	reopen();
	assert_string_equal(near(LG_MODULES + 0x104, &off), "alpha_text");
	assert_int_equal(off, 4);
	assert_string_equal(near(LG_MODULES + 0xfff, &off), "shared");
	assert_string_equal(near(LG_KEY_MODS + 8, &off), "alpha_key");
	assert_string_equal(near(LG_BETA + 0x30, &off), "shared");
	assert_string_equal(near(g->text + LG_KEY_ON + 1, &off), "key_on");
	assert_int_equal(off, 1);
	/* Between the pieces, before the first symbol of one, behind them all. */
	assert_null(near(LG_MODULES + 0x1000, NULL));
	assert_null(near(LG_MODULES, NULL));
	assert_null(near(LG_BETA + 0xf, NULL));
	assert_null(near(LG_BETA + 0x1000, NULL));
	assert_null(near(g->text - 1, NULL));
}

/* Before 6.4 a module's memory is one piece. */
static void core_layout(void **state)
{
	uint64_t off = 0;

	(void)state;
	start(&(struct lg_opts){ .layout = LG_5_10, .modules = true, .core_layout = true });
	reopen();
	assert_int_equal(count(), SYMBOLS);
	assert_string_equal(near(LG_MODULES + 0x1000, &off), "shared");
	assert_int_equal(off, 0xe80);
}

static void no_modules(void **state)
{
	(void)state;
	start(&(struct lg_opts){ .layout = LG_6_4 });
	reopen();
	assert_int_equal(count(), 0);
	assert_int_equal(vp_linux_refresh(l, &why), 0);
}

static void no_btf(void **state)
{
	(void)state;
	start(&(struct lg_opts){ .layout = LG_6_4, .modules = true, .no_btf = true });
	reopen();
	assert_int_equal(count(), 0);
	assert_null(near(LG_MODULES + 0x104, NULL));
	assert_int_equal(vp_linux_refresh(l, &why), 0);
}

struct keys_seen {
	unsigned int n, broken;
	bool alphas;
};

static int see_key(void *arg, const struct vp_linux_key *key)
{
	struct keys_seen *seen = arg;

	seen->n++;
	seen->broken += key->broken != NULL;
	if (key->addr.v == LG_KEY_MODS) {
		seen->alphas = true;
		assert_string_equal(key->name, "alpha_key");
		assert_int_equal(key->sites, 1);
		assert_int_equal(key->enabled, 1);
	}
	return 0;
}

/* Of alpha's two entries one is for a key of the kernel, which is told once. */
static void keys(void **state)
{
	struct keys_seen seen = { 0 };

	(void)state;
	reopen();
	assert_int_equal(vp_linux_keys(l, see_key, &seen, &why), 0);
	assert_int_equal(seen.n, 4);
	assert_int_equal(seen.broken, 0);
	assert_true(seen.alphas);
	/* A table that cannot be read, and one of another size than any. */
	for (unsigned int i = 0; i < 2; i++) {
		set(LG_MODULE(0) + LG_M_JUMPS, i ? LG_MOD_JUMPS : LG_MODULES_END);
		lg_set(g, LG_MODULE(0) + LG_M_NJUMPS, i ? UINT32_MAX : 2, 4);
		reopen();
		seen = (struct keys_seen){ 0 };
		assert_int_equal(vp_linux_keys(l, see_key, &seen, &why), 0);
		assert_int_equal(seen.n, 3);
	}
}

/* --- they come and go --------------------------------------------------------------- */

static void refresh(void **state)
{
	const struct vp_symtab *before;
	unsigned long reads;

	(void)state;
	reopen();
	before = vp_linux_symbols(l);
	reads = g->reads;
	assert_int_equal(vp_linux_refresh(l, &why), 0);
	assert_ptr_equal(vp_linux_symbols(l), before);
	assert_in_range(g->reads - reads, 4, 20); /* the list, and page tables */
	unload_beta();
	lg_set(g, LG_MODULE(2) + LG_M_STATE, 0, 4);
	assert_int_equal(vp_linux_refresh(l, &why), 0);
	assert_int_equal(find("beta_text"), none(-ENOENT));
	assert_int_equal(find("gamma_text"), LG_BETA + 0x800);
	assert_int_equal(find("shared"), LG_MODULES + 0x180);
	set(head(), head());
	assert_int_equal(vp_linux_refresh(l, &why), 0);
	assert_int_equal(count(), 0);
}

static unsigned long unload_at;

static void unload_once(struct linux_guest *guest)
{
	if (guest->reads == unload_at)
		unload_beta();
}

/* Beta goes away while it is read, at each read in turn. */
static void unloaded_meanwhile(void **state)
{
	unsigned long reads;

	(void)state;
	reopen();
	reads = g->reads;
	lg_free(g);
	for (unload_at = 0; unload_at < reads; unload_at++) {
		setup(state);
		g->on_read = unload_once;
		reopen();
		assert_int_equal(find("alpha_text"), LG_MODULES + 0x100);
		/* The last look at the list is four entries; what comes before is seen. */
		if (unload_at + 8 < reads)
			assert_int_equal(find("beta_text"), none(-ENOENT));
		assert_int_equal(vp_linux_refresh(l, &why), 0);
		assert_int_equal(find("beta_text"), none(-ENOENT));
		assert_int_equal(count(), 4);
		lg_free(g);
	}
	setup(state);
}

/* --- lies ---------------------------------------------------------------------------- */

/* One number of the guest's memory is wrong: which symbols are left? */
static void lies(void **state)
{
	const uint64_t alpha = LG_MODULE(0), names = LG_M_CORE + LG_K_STRTAB;
	const struct {
		uint64_t at, value;
		size_t left;
	} lie[] = {
		/* the list: nowhere, into user space, round and round, another way back */
		{ head(), 0, 0 },
		{ head(), 0x1000, 0 },
		{ head(), LG_MODULES_END, 0 },
		{ node(1), node(0), SYMBOLS },
		{ node(1), node(1), SYMBOLS },
		{ node(0) + 8, node(1), 0 },
		{ node(1) + 8, head(), 4 },
		{ node(1), UINT64_MAX, SYMBOLS },
		/* names of modules: none, not printable */
		{ alpha + LG_M_NAME, 0, 2 },
		{ alpha + LG_M_NAME, 0x1b5b1b5b, 2 },
		/* where alpha's symbols are */
		{ alpha + LG_M_KALLSYMS, 0, 2 },
		{ alpha + LG_M_KALLSYMS, LG_MODULES_END - 4, 2 },
		{ alpha + LG_M_CORE + LG_K_SYMTAB, UINT64_MAX - 8, 2 },
		{ alpha + LG_M_CORE + LG_K_COUNT, UINT32_MAX, 2 },
		{ alpha + LG_M_CORE + LG_K_COUNT, 0x10000, 2 },
		{ alpha + names, 0, 2 },
		{ alpha + names, UINT64_MAX, 2 },
		{ alpha + names, LG_MODULES_END - 8, 2 },
		/* its second symbol's name: far away, without an end, not printable */
		{ LG_SYMTAB(0) + 24, UINT32_MAX, 2 },
		{ LG_MODULES_END - 8, 0x4141414141414141, 2 },
		{ LG_MODULES_END - 8, 0x0041414141411b41, 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		uint8_t *p = lg_at(g, lie[i].at), was[8];
		unsigned long reads = g->reads;

		memcpy(was, p, 8);
		set(lie[i].at, lie[i].value);
		reopen();
		if (count() != lie[i].left)
			fail_msg("lie %zu: %zu symbols", i, count());
		assert_int_equal(vp_linux_refresh(l, &why), 0);
		if (g->reads - reads > 200000)
			fail_msg("lie %zu: %lu reads", i, g->reads - reads);
		memcpy(lg_at(g, lie[i].at), was, 8);
	}
	reopen();
	assert_int_equal(count(), SYMBOLS);
}

/* A list that is right, of more modules than any guest has, all of them coming. */
static void long_list(void **state)
{
	const uint32_t n = 32768, first = 0x100000;
	uint64_t last = head();
	unsigned long reads;

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = g->text + first + 16 * i;

		set(last, at);
		set(at + 8, last);
		last = at;
	}
	set(last, head());
	reads = g->reads;
	reopen();
	assert_int_equal(count(), 0);
	assert_in_range(g->reads - reads, 0, n);
}

/* The kernel shows at most 511 characters. */
static void long_names(void **state)
{
	(void)state;
	memset(lg_at(g, LG_BETA_STRINGS + 1), 'x', 511);
	lg_set(g, LG_BETA_STRINGS + 512, 0, 1);
	reopen();
	assert_int_equal(count(), SYMBOLS);
	lg_set(g, LG_BETA_STRINGS + 512, 'x', 2);
	reopen();
	assert_int_equal(count(), 4);
}

/* Every byte of the BTF in turn, damaged. */
static void damaged_btf(void **state)
{
	static const uint8_t change[] = { 0x01, 0x80, 0xff };
	uint32_t len = g->btf_len;

	(void)state;
	for (uint32_t i = 0; i < len; i++) {
		uint8_t *p = lg_image(g, LG_BTF + i), was = *p;

		*p ^= change[i % 3];
		reopen();
		assert_int_equal(vp_linux_refresh(l, &why), 0);
		*p = was;
	}
	reopen();
	assert_int_equal(count(), SYMBOLS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(symbols, setup, teardown),
		cmocka_unit_test_setup_teardown(nearest, setup, teardown),
		cmocka_unit_test_teardown(core_layout, teardown),
		cmocka_unit_test_teardown(no_modules, teardown),
		cmocka_unit_test_teardown(no_btf, teardown),
		cmocka_unit_test_setup_teardown(keys, setup, teardown),
		cmocka_unit_test_setup_teardown(refresh, setup, teardown),
		cmocka_unit_test_setup_teardown(unloaded_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(lies, setup, teardown),
		cmocka_unit_test_setup_teardown(long_list, setup, teardown),
		cmocka_unit_test_setup_teardown(long_names, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_btf, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
