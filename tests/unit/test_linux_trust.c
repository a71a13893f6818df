/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a guest comes from that guest, and from answers: not from another guest with the
 * same build-id, and not from a read that failed.
 */
#include "unit.h"
#include "linux_build.h"

#include "base/digest.h"
#include "linux/internal.h"

static struct lg_opts all_of_it = { .layout = LG_6_1, .modules = true, .pti = true };

/* --- one guest lies for another --------------------------------------------------------- */

/* In the packed names of the guest's kallsyms, give one symbol another's name and the reverse. */
static void swap_names(struct linux_guest *g, const char *a, const char *b)
{
	size_t len = strlen(a);
	uint8_t *names = lg_image(g, g->at.names), *end = lg_image(g, g->at.markers);
	uint8_t *pa = memmem(names, (size_t)(end - names), a, len);
	uint8_t *pb = memmem(names, (size_t)(end - names), b, len);

	assert_int_equal(strlen(b), len);
	assert_non_null(pa);
	assert_non_null(pb);
	memcpy(pa, b, len);
	memcpy(pb, a, len);
}

static uint64_t address_of(struct linux_guest *g, const char *name)
{
	struct vp_linux *l;
	vp_gva addr;

	assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
	assert_int_equal(vp_symtab_find(vp_linux_symbols(l), name, &addr, NULL), 0);
	vp_linux_free(l);
	return addr.v;
}

/*
 * Two guests with one build-id, and so with one kernel if nobody lies. The first lies with its
 * symbols and with the type information that says where modules have theirs. (0.1.0 kept in a
 * folder what the first had said, and believed it of the second.)
 */
static void a_lie_stays_at_home(void **state)
{
	struct linux_guest *liar = lg_new(&all_of_it), *honest = lg_new(&all_of_it);

	(void)state;
	swap_names(liar, "key_off", "key_mod");
	*lg_image(liar, LG_BTF) ^= 1;
	assert_int_equal(address_of(liar, "key_mod"), liar->text + LG_KEY_OFF);
	assert_int_equal(address_of(honest, "key_mod"), honest->text + LG_KEY_MOD);
	assert_true(address_of(honest, "alpha:shared") >= LG_MODULES);
	/* Each time the table is read where it is believed. */
	honest->bytes_read = 0;
	address_of(honest, "key_off");
	assert_true(honest->bytes_read >= LG_RODATA_SIZE);
	lg_free(liar);
	lg_free(honest);
}

/* --- a read fails --------------------------------------------------------------------- */

/* A digest of all that opening tells. */
static uint64_t facts(struct vp_linux *l)
{
	const struct vp_linux_kernel *i = vp_linux_info(l);
	uint64_t d = vp_digest(VP_DIGEST_INIT, i->banner, strlen(i->banner));

	d = vp_digest(d, i->build_id, strlen(i->build_id));
	d = vp_digest(d, &i->kaslr_slide, sizeof(i->kaslr_slide));
	d = vp_digest(d, &i->boot, sizeof(i->boot));
	d = vp_digest(d, &i->space.cr3, sizeof(i->space.cr3));
	d = vp_digest(d, &i->pti, sizeof(i->pti));
	return d + vp_symtab_count(vp_linux_symbols(l));
}

static int fold_key(void *arg, const struct vp_linux_key *k)
{
	uint64_t *d = arg;

	*d = vp_digest(*d, k->name, strlen(k->name));
	*d = vp_digest(*d, &k->sites, sizeof(k->sites));
	*d = vp_digest(*d, &k->init_sites, sizeof(k->init_sites));
	*d += k->broken != NULL;
	return 0;
}

static int open_facts(struct linux_guest *g, uint64_t *out)
{
	struct vp_err err = { "" };
	struct vp_linux *l;
	int rc = vp_linux_open(&g->target, NULL, &l, &err);

	if (rc) {
		assert_true(err.text[0]);
		return rc;
	}
	*out = facts(l);
	vp_linux_free(l);
	return 0;
}

static int keys_facts(struct linux_guest *g, uint64_t *out)
{
	struct vp_err err = { "" };
	unsigned long fail_at = g->fail_at;
	struct vp_linux *l;
	uint64_t d = VP_DIGEST_INIT;
	int rc;

	g->fail_at = 0;
	assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
	g->reads = 0;
	g->fail_at = fail_at;
	rc = vp_linux_keys(l, fold_key, &d, &err);
	vp_linux_free(l);
	*out = d;
	return rc;
}

static int plan_facts(struct linux_guest *g, uint64_t *out)
{
	struct vp_err err = { "" };
	unsigned long fail_at = g->fail_at;
	struct vp_linux_flip f;
	struct vp_linux *l;
	int rc;

	g->fail_at = 0;
	assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
	g->reads = 0;
	g->fail_at = fail_at;
	rc = vp_linux_key_plan(l, VP_GVA(g->text + LG_KEY_MOD), true, &f, &err);
	if (!rc) {
		*out = vp_digest(VP_DIGEST_INIT, f.sites, f.nsites * sizeof(*f.sites));
		vp_linux_flip_free(&f);
	}
	vp_linux_free(l);
	return rc;
}

/*
 * Whichever read fails, and if the target is silent from then on: the answer is that of the target,
 * or the same as if none had failed.
 */
static void sweep(const struct lg_opts *opts, int (*look)(struct linux_guest *, uint64_t *))
{
	struct linux_guest *g = lg_new(opts);
	uint64_t truth = 0, seen = 0;
	unsigned long n;

	assert_int_equal(look(g, &truth), 0);
	n = g->reads;
	assert_true(n > 5);
	g->fail_with = -ETIMEDOUT;
	for (unsigned long i = 2; i < 2 * (n + 1); i++) {
		int rc;

		g->reads = 0;
		g->fail_at = i / 2;
		g->fail_stays = i % 2;
		rc = look(g, &seen);
		if (rc ? rc != -ETIMEDOUT : seen != truth)
			fail_msg("read %lu of %lu fails: %d", i / 2, n, rc);
		assert_false(g->locked);
	}
	lg_free(g);
}

static void no_answer_is_no_fact(void **state)
{
	struct lg_opts old = all_of_it;

	(void)state;
	sweep(&all_of_it, open_facts);
	old.pti = false;
	old.core_layout = true;
	sweep(&old, open_facts);
	sweep(&all_of_it, keys_facts);
	sweep(&(struct lg_opts){ .layout = LG_6_1 }, plan_facts); /* no module comes or goes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lie_stays_at_home),
		cmocka_unit_test(no_answer_is_no_fact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
