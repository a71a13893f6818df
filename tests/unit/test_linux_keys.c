/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "linux_build.h"

static struct linux_guest *g;
static struct vp_linux *l;

static int setup(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .slide = 0x200000, .modules = true });
	lg_set(g, LG_MODULE(2) + LG_M_STATE, 0, 4); /* none is coming */
	return vp_linux_open(&g->target, NULL, &l, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

static vp_gva key(uint32_t off)
{
	return VP_GVA(g->text + off);
}

struct seen {
	char text[512];
	int stop_after;
};

static int note_key(void *arg, const struct vp_linux_key *k)
{
	struct seen *s = arg;
	size_t used = strlen(s->text);

	snprintf(s->text + used, sizeof(s->text) - used, "%s %d %zu+%zu %s\n", k->name, k->enabled,
		 k->sites, k->init_sites, k->broken ? k->broken : "fine");
	return s->stop_after && !--s->stop_after ? 7 : 0;
}

static void list(void **state)
{
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(vp_linux_keys(l, note_key, &s, NULL), 0);
	assert_string_equal(s.text, "key_off 0 3+1 fine\nkey_on 1 3+0 fine\nkey_mod 0 2+0 fine\n"
				    "alpha_key 1 1+0 fine\n");
	s = (struct seen){ .stop_after = 1 };
	assert_int_equal(vp_linux_keys(l, note_key, &s, NULL), 7);
	assert_string_equal(s.text, "key_off 0 3+1 fine\n");
}

static void one_key(void **state)
{
	struct vp_err err = { "" };
	struct vp_linux_key k;

	(void)state;
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, NULL), 0);
	assert_string_equal(k.name, "key_mod");
	assert_int_equal(k.sites, 2);
	assert_null(k.broken);
	assert_int_equal(vp_linux_key_at(l, VP_GVA(LG_KEY_MODS), &k, NULL), 0);
	assert_string_equal(k.name, "alpha_key");
	assert_int_equal(k.sites, 1);
	assert_int_equal(k.enabled, 1);
	assert_null(k.broken);
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_OFF + 4), &k, &err), -ENOENT);
	assert_int_equal(vp_linux_key_at(l, key(LG_VARS), &k, &err), -ENOENT);
	assert_int_equal(vp_linux_key_at(l, VP_GVA(0x1000), &k, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no static key is at 0x1000"));
}

static void *word_at(uint64_t addr)
{
	return lg_at(g, addr);
}

/* Carry a plan out as vp_poke() would: every old byte must stand there, every condition hold. */
static void apply(const struct vp_linux_flip *f)
{
	for (size_t i = 0; i < f->nsites; i++) {
		uint8_t *p = lg_at(g, f->sites[i].addr.v);

		assert_memory_equal(p, f->sites[i].old_bytes, f->sites[i].len);
		memcpy(p, f->sites[i].new_bytes, f->sites[i].len);
		assert_true(!i || f->sites[i - 1].addr.v < f->sites[i].addr.v);
		assert_int_equal(f->sites[i].resume, VP_RESUME_PARK);
	}
	for (size_t i = 0; i < f->nwords; i++) {
		const struct vp_word *w = &f->words[i];

		assert_memory_equal(word_at(w->addr.v), &w->old_value, sizeof(w->old_value));
		memcpy(word_at(w->addr.v), &w->new_value, sizeof(w->new_value));
	}
}

static const struct vp_word *count_of(const struct vp_linux_flip *f)
{
	const struct vp_word *found = NULL;

	for (size_t i = 0; i < f->nwords; i++)
		if (!vp_word_is_condition(&f->words[i])) {
			assert_null(found);
			found = &f->words[i];
		}
	assert_non_null(found);
	return found;
}

/* The count changes while nobody holds the locks of those who patch. */
static void conditions(void **state)
{
	struct vp_linux_flip f;
	unsigned int locks = 0, modules = 0;

	(void)state;
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_OFF), true, &f, NULL), 0);
	for (size_t i = 0; i < f.nwords; i++) {
		const struct vp_word *w = &f.words[i];

		if (!vp_word_is_condition(w))
			continue;
		modules += (w->addr.v & ~4ull) == g->text + LG_MODULE_LIST;
		for (unsigned int half = 0; half < 2; half++) {
			locks += w->addr.v == g->text + LG_TEXT_MUTEX + 4 * half;
			locks += w->addr.v == g->text + LG_JUMP_MUTEX + 4 * half;
		}
	}
	assert_int_equal(locks, 4);
	assert_int_equal(modules, 2);
	assert_int_equal(f.nwords, 7);
	vp_linux_flip_free(&f);
}

/* On and off again: each site becomes what it must, and then what it was. */
static void there_and_back(void **state)
{
	static const uint32_t keys[] = { LG_KEY_OFF, LG_KEY_ON, LG_KEY_MOD };
	static const size_t sites[] = { 3, 3, 2 };
	uint8_t *before = malloc(LG_RAM);

	(void)state;
	assert_non_null(before);
	memcpy(before, g->ram, LG_RAM);
	for (size_t i = 0; i < 3; i++) {
		bool on = keys[i] != LG_KEY_ON;
		struct vp_linux_flip f;
		struct vp_linux_key k;

		for (unsigned int way = 0; way < 2; way++, on = !on) {
			/* As it is wanted already: nothing to do. */
			assert_int_equal(vp_linux_key_plan(l, key(keys[i]), !on, &f, NULL), 0);
			assert_null(f.sites);
			assert_int_equal(f.nsites, 0);
			assert_int_equal(vp_linux_key_plan(l, key(keys[i]), on, &f, NULL), 0);
			assert_int_equal(f.nsites, sites[i]);
			assert_int_equal(count_of(&f)->new_value, on);
			apply(&f);
			vp_linux_flip_free(&f);
			assert_int_equal(vp_linux_key_at(l, key(keys[i]), &k, NULL), 0);
			assert_null(k.broken);
			assert_int_equal(k.enabled, on);
		}
	}
	assert_memory_equal(before, g->ram, LG_RAM);
	free(before);
}

static void bytes_of_a_flip(void **state)
{
	struct vp_linux_flip f;

	(void)state;
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_OFF), true, &f, NULL), 0);
	assert_memory_equal(f.sites[0].new_bytes, "\xe9\x07\x00\x00\x00", 5);
	assert_memory_equal(f.sites[1].new_bytes, "\xeb\x0a", 2);
	assert_memory_equal(f.sites[2].new_bytes, "\x0f\x1f\x44\x00\x00", 5);
	assert_int_equal(f.sites[1].len, 2);
	vp_linux_flip_free(&f);
}

/* An older kernel on an AMD CPU has another nop, and would panic over ours. */
static void learns_the_nop(void **state)
{
	static const uint8_t k8[] = { 0x66, 0x66, 0x66, 0x66, 0x90 };
	static const uint32_t sites[] = { 0, 6, 7 };
	struct vp_err err = { "" };
	struct vp_linux_flip f;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		memcpy(lg_image(g, LG_SITE(sites[i])), k8, 5);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_ON), false, &f, NULL), 0);
	assert_memory_equal(f.sites[0].new_bytes, k8, 5);
	assert_memory_equal(f.sites[1].new_bytes, "\x66\x90", 2);
	vp_linux_flip_free(&f);
	/* Two kinds at once: who knows. */
	memcpy(lg_image(g, LG_SITE(7)), "\x0f\x1f\x44\x00\x00", 5);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_ON), false, &f, &err), -EBUSY);
	assert_non_null(strstr(err.text, "different 5-byte nops"));
}

static void broken(const char *text)
{
	struct vp_err err = { "" };
	struct vp_linux_flip f;
	struct vp_linux_key k;
	struct seen s = { 0 };

	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_OFF), &k, NULL), 0);
	assert_non_null(k.broken);
	if (!strstr(k.broken, text))
		fail_msg("%s", k.broken);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_OFF), true, &f, &err), -EBUSY);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_OFF), false, &f, &err), -EBUSY);
	assert_non_null(strstr(err.text, "key key_off: "));
	assert_int_equal(vp_linux_keys(l, note_key, &s, NULL), 0);
	assert_non_null(strstr(s.text, text));
	assert_non_null(strstr(s.text, "key_on 1 3+0 fine"));
}

static void contradictions(void **state)
{
	uint8_t *site = lg_image(g, LG_SITE(0)), was[5];

	(void)state;
	memcpy(was, site, 5);
	memcpy(site, "\xe9\x07\x00\x00\x00", 5);
	broken("its count is 0, but its site");
	memcpy(site, "\xe9\x08\x00\x00\x00", 5); /* a jmp elsewhere */
	broken("neither a nop nor the right jmp: e9 08 00 00 00");
	memcpy(site, "\x0f\x1f\x00", 3); /* a nop of three */
	broken("neither a nop");
	*site = 0xcc;
	broken("an int3 stands at its site");
	memcpy(site, was, 5);
	lg_put(g, LG_KEY_OFF, 0xffffffff, 4);
	broken("the guest is switching it");
	lg_put(g, LG_KEY_OFF, 1, 4);
	broken("its count is 1");
}

/* The table was read once; its entries are checked when they are used. */
static void site_that_is_no_code(void **state)
{
	struct vp_linux_key k;

	(void)state;
	lg_put(g, LG_JUMPS, LG_RODATA - LG_JUMPS, 4);
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_OFF), &k, NULL), 0);
	assert_non_null(strstr(k.broken, "is no code"));
}

static void several_users(void **state)
{
	struct vp_err err = { "" };
	struct vp_linux_flip f;

	(void)state;
	lg_put(g, LG_KEY_ON, 3, 4);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_ON), true, &f, NULL), 0);
	assert_int_equal(f.nsites, 0);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_ON), false, &f, &err), -EBUSY);
	assert_non_null(strstr(err.text, "3 users"));
}

static void guest_patches_itself(void **state)
{
	static const uint32_t locks[] = { LG_TEXT_MUTEX, LG_JUMP_MUTEX };
	struct vp_linux_flip f;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vp_err err = { "" };

		lg_put(g, locks[i], 0xffff888001234560, 8);
		assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_OFF), true, &f, &err), -EAGAIN);
		assert_non_null(strstr(err.text, i ? "jump_label_mutex" : "text_mutex"));
		lg_put(g, locks[i], 0, 8);
	}
	/* Behind the owner are lists, which say nothing. */
	lg_put(g, LG_TEXT_MUTEX + 24, 1, 8);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_OFF), true, &f, NULL), 0);
	vp_linux_flip_free(&f);
}

static void realtime_mutex(void **state)
{
	struct linux_guest *rt = lg_new(&(struct lg_opts){
		.layout = LG_6_1, .slide = 0x200000, .modules = true, .rt = true });
	struct vp_linux_flip f;
	struct vp_linux *lrt;

	(void)state;
	lg_set(rt, LG_MODULE(2) + LG_M_STATE, 0, 4);
	assert_int_equal(vp_linux_open(&rt->target, NULL, &lrt, NULL), 0);
	assert_int_equal(vp_linux_key_plan(lrt, key(LG_KEY_OFF), true, &f, NULL), 0);
	vp_linux_flip_free(&f);
	lg_put(rt, LG_TEXT_MUTEX + 24, 0xffff888001234561, 8);
	assert_int_equal(vp_linux_key_plan(lrt, key(LG_KEY_OFF), true, &f, NULL), -EAGAIN);
	vp_linux_free(lrt);
	lg_free(rt);
}

/* Modules: freed code of a kernel that does not mark it; lists that lie. */
static void modules(void **state)
{
	struct vp_err err = { "" };
	struct vp_linux_key k;
	uint64_t self = LG_MOD_NODES, nowhere = 0x1234560;

	(void)state;
	memset(lg_at(g, LG_MOD_JUMPS), 0xff, 4); /* the site: in the table, which is code here */
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, NULL), 0);
	assert_non_null(k.broken);
	memcpy(lg_at(g, LG_MOD_JUMPS), "\x00\x00\x20\x00", 4); /* not mapped: freed */
	assert_int_equal(vp_linux_refresh(l, NULL), 0);
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, NULL), 0);
	assert_null(k.broken);
	assert_int_equal(k.sites, 1);
	assert_int_equal(k.init_sites, 1);

	memcpy(lg_at(g, LG_MOD_NODES), &self, 8); /* a loop */
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "do not end"));
	memcpy(lg_at(g, LG_MOD_NODES), &nowhere, 8);
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, &err), -ENOENT);
}

/*
 * A key that is __ro_after_init is sealed: its list is empty, whoever uses it. The modules' own
 * tables tell; where they cannot be read, the key is not to be touched.
 */
static void sealed(void **state)
{
	const struct lg_opts opts = { .modules = true, .no_btf = true };
	struct linux_guest *other = lg_new(&opts);
	struct vp_linux_flip f;
	struct vp_linux_key k;
	struct vp_err err = { "" };
	struct vp_linux *lo;

	(void)state;
	lg_put(g, LG_KEY_MOD + 8, 2, 8);
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, NULL), 0);
	assert_int_equal(k.sites, 2);
	assert_null(k.broken);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_MOD), true, &f, NULL), 0);
	assert_int_equal(f.nsites, 2);
	vp_linux_flip_free(&f);
	memcpy(lg_at(g, LG_MOD_SITE), "\xeb\x0a", 2); /* and the module's site counts */
	assert_int_equal(vp_linux_key_at(l, key(LG_KEY_MOD), &k, NULL), 0);
	assert_non_null(strstr(k.broken, "is a jmp"));

	assert_int_equal(vp_linux_open(&other->target, NULL, &lo, NULL), 0);
	assert_int_equal(vp_linux_key_at(lo, VP_GVA(other->text + LG_KEY_MOD), &k, NULL), 0);
	assert_int_equal(k.sites, 2); /* by its list, which has not been taken away */
	assert_null(k.broken);
	lg_put(other, LG_KEY_MOD + 8, 2, 8);
	assert_int_equal(vp_linux_key_at(lo, VP_GVA(other->text + LG_KEY_MOD), &k, NULL), 0);
	assert_non_null(strstr(k.broken, "cannot be found"));
	assert_int_equal(vp_linux_key_plan(lo, VP_GVA(other->text + LG_KEY_MOD), true, &f, &err),
			 -EBUSY);
	vp_linux_free(lo);
	lg_free(other);
}

/* A module that comes or goes may have sites that no list shows so far. */
static void module_is_coming(void **state)
{
	struct vp_err err = { "" };
	struct vp_linux_flip f;

	(void)state;
	lg_set(g, LG_MODULE(2) + LG_M_STATE, 1, 4);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_MOD), true, &f, &err), -EAGAIN);
	assert_non_null(strstr(err.text, "loading or unloading a module"));
	lg_set(g, LG_MODULE(2) + LG_M_STATE, 0, 4);
	assert_int_equal(vp_linux_key_plan(l, key(LG_KEY_MOD), true, &f, NULL), 0);
	vp_linux_flip_free(&f);
}

static void no_table(void **state)
{
	struct linux_guest *other = lg_new(&(struct lg_opts){ .text_symbols_only = true });
	struct vp_err err = { "" };
	struct seen s = { 0 };
	struct vp_linux *lo;

	(void)state;
	assert_int_equal(vp_linux_open(&other->target, NULL, &lo, NULL), 0);
	assert_int_equal(vp_linux_keys(lo, note_key, &s, &err), -ENOENT);
	assert_non_null(strstr(err.text, "CONFIG_KALLSYMS_ALL"));
	vp_linux_free(lo);
	lg_free(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(list),
		TEST(one_key),
		TEST(there_and_back),
		TEST(conditions),
		TEST(bytes_of_a_flip),
		TEST(learns_the_nop),
		TEST(contradictions),
		TEST(site_that_is_no_code),
		TEST(several_users),
		TEST(guest_patches_itself),
		TEST(realtime_mutex),
		TEST(modules),
		TEST(sealed),
		TEST(module_is_coming),
		TEST(no_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
