/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that is read of a Linux guest, whose memory says anything. A good guest is made, then the
 * input changes its memory here and there: bytes of page tables, kallsyms, notes, jump entries,
 * keys.
 *
 * Judged: nothing is read outside what the target gave (the sanitizers), it ends, a refusal has a
 * reason, and what is given out is fit for the one who gets it.
 */
#include "base/text.h"
#include "linux/explain.h"
#include "tests/fuzz/edit.h"
#include "tests/unit/linux_build.h"
#include "tests/unit/linux_tasks.h"

#include <errno.h>
#include <string.h>

/* Where changes go: guest-physical. */
static const struct fuzz_region regions[] = {
	{ 0x2000, 0xc000 }, /* page tables */
	{ LG_IMAGE_GPA + LG_BANNER, 0x300 },
	{ LG_IMAGE_GPA + LG_KALLSYMS, 0x8000 },
	{ LG_IMAGE_GPA + LG_SWAPPER, 0x2000 },
	{ LG_IMAGE_GPA + LG_VARS, 0x900 },
	{ LG_IMAGE_GPA + LG_JUMPS, LG_ENTRIES * 16 },
	{ LG_IMAGE_GPA + LG_KEYS, 0x40 },
	{ LG_IMAGE_GPA + LG_SITES, 0x90 },
	{ LG_IMAGE_GPA + LG_FUNC(0), 16 * LG_FUNCS },
	{ LG_IMAGE_GPA + LG_PAGE_STRUCTS, 64 },
	{ LG_IMAGE_GPA + LG_RECORDS, 0x180 },
	{ LG_IMAGE_GPA + LG_PROBE_STRUCT, 0x80 },
	{ LG_IMAGE_GPA + LG_CALLS, 16 },
	{ LG_IMAGE_GPA + LG_BTF, 0xa00 },
	{ LG_IMAGE_GPA + LG_TASKS, 0x400 * LG_NTASKS },
	{ LG_IMAGE_GPA + LG_SIGNALS, 0x80 },
	{ LG_IMAGE_GPA + LG_NR_CPUS, 0x310 },
	{ LG_IMAGE_GPA + LG_IMAGE_SIZE, 0x4000 }, /* the module */
};

#define REGIONS (sizeof(regions) / sizeof(regions[0]))

/* Guests are made once for each kind, and put right after each input. */
static struct linux_guest *guests[LG_LAYOUTS * 4];

static struct linux_guest *guest(unsigned int kind)
{
	if (!guests[kind])
		guests[kind] = lg_new(&(struct lg_opts){
			.layout = (enum lg_layout)(kind % LG_LAYOUTS),
			.pti = kind / LG_LAYOUTS & 1,
			.user_mode = kind / LG_LAYOUTS & 1,
			.five_levels = kind / LG_LAYOUTS & 2,
			.slide = 0x200000,
		});
	return guests[kind];
}

static void check_text(const char *text)
{
	FUZZ_CHECK(vp_text_is_clean(text));
}

static void check_info(const struct linux_guest *g, const struct vp_linux *l)
{
	const struct vp_linux_kernel *i = vp_linux_info(l);

	check_text(i->banner);
	check_text(i->release);
	check_text(i->build_id);
	FUZZ_CHECK(!strncmp(i->banner, "Linux version ", 14));
	FUZZ_CHECK(i->text.v % 0x200000 == 0 && i->text.v >= 0xffffffff80000000);
	FUZZ_CHECK(i->kaslr_slide <= i->text.v - 0xffffffff80000000);
	FUZZ_CHECK(i->paging_levels == (g->opts.five_levels ? 5 : 4));
}

/* Every site lies apart from the others, and is one whole instruction of a nop's or jmp's length.
 */
static void check_flip(const struct vp_linux_flip *f)
{
	size_t changes = 0;

	FUZZ_CHECK(!f->sites == !f->nsites);
	for (size_t i = 0; i < f->nsites; i++) {
		const struct vp_site *s = &f->sites[i];

		FUZZ_CHECK(s->len == 2 || s->len == 5);
		FUZZ_CHECK(memcmp(s->old_bytes, s->new_bytes, s->len));
		FUZZ_CHECK(!i || f->sites[i - 1].addr.v <= s->addr.v);
	}
	for (size_t i = 0; i < f->nwords; i++)
		changes += !vp_word_is_condition(&f->words[i]);
	FUZZ_CHECK(changes == (f->nsites != 0));
}

static int each_key(void *arg, const struct vp_linux_key *key)
{
	struct vp_linux *l = *(struct vp_linux **)arg;
	vp_gva addr = key->addr;
	struct vp_linux_flip flip = { 0 };
	struct vp_err err = { "" };
	bool broken = key->broken;
	int rc;

	check_text(key->name);
	if (broken)
		check_text(key->broken);
	rc = vp_linux_key_plan(l, addr, key->enabled <= 0, &flip, &err);
	FUZZ_CHECK(!rc == !err.text[0]);
	FUZZ_CHECK(!rc || !flip.sites);
	FUZZ_CHECK(!broken || rc);
	check_flip(&flip);
	vp_linux_flip_free(&flip);
	return 0;
}

/*
 * Of words no two are at one place, each is aligned, and one that changes sets one flag of what is
 * zero but for two others: whatever the guest says, no more of it is written.
 */
static void check_care(const struct vp_linux_care *c, bool force)
{
	size_t changes = 0;

	FUZZ_CHECK(!c->words == !c->nwords);
	for (size_t i = 0; c->words && i < c->nwords; i++) {
		const struct vp_word *w = &c->words[i];
		uint32_t bit = w->old_value ^ w->new_value;

		FUZZ_CHECK(w->addr.v >> 63);
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(c->words[j].addr.v != w->addr.v);
		if (vp_word_is_condition(w))
			continue;
		FUZZ_CHECK(!(bit & (bit - 1)) && w->new_value & bit);
		changes++;
	}
	FUZZ_CHECK(c->stop || !changes);
	FUZZ_CHECK(force || !c->forced.text[0]);
	check_text(c->forced.text);
}

static void ask_owners(struct linux_guest *g, struct vp_linux *l, bool force)
{
	static const uint32_t sites[] = { LG_ENTRY(0), LG_ENTRY(3), LG_ENTRY(6), LG_SITE(0),
					  LG_PROBED,   LG_CALL,	    0x800 };
	struct vp_linux_care care;
	struct vp_err err = { "" };
	struct vp_site s = { .len = 5 };
	int rc;

	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		s.addr = VP_GVA(g->text + sites[i]);
		memcpy(s.old_bytes, lg_image(g, sites[i]), 5);
		err.text[0] = '\0';
		rc = vp_linux_poke_plan(l, &s, 1, force, &care, &err);
		FUZZ_CHECK(!rc == !err.text[0]);
		FUZZ_CHECK(!rc || !care.words);
		check_text(err.text);
		check_care(&care, force);
		vp_linux_care_free(&care);
	}
}

/* A refusal has one line; who is named is named in printable text. */
static void ask_inside(struct linux_guest *g, struct vp_linux *l)
{
	struct vp_linux_range r = { VP_GVA(g->text + LG_FUNC(2)), 16 };
	struct vp_linux_blocker who = { .vcpu = -1 };
	struct vp_linux_inside *in = NULL;
	struct vp_err err = { "" };
	int rc = vp_linux_inside_new(l, &r, 1, &in, &err);

	FUZZ_CHECK(!rc == !err.text[0] && !rc == !!in);
	check_text(err.text);
	if (rc)
		return;
	FUZZ_CHECK(!g->target.ops->lock(&g->target, NULL));
	rc = vp_linux_inside_held(in, &who, &err);
	g->target.ops->unlock(&g->target);
	FUZZ_CHECK(!rc == !err.text[0]);
	check_text(err.text);
	check_text(who.comm);
	check_text(who.where);
	FUZZ_CHECK(rc != -EBUSY || !who.addr.v || who.addr.v - r.start.v < r.len);
	vp_linux_inside_free(in);
}

static void ask_facts(struct vp_linux *l)
{
	static const char *const names[] = { "filler_16", "filler_19", "key_on", "no" };
	struct vp_linux_features x;
	struct vp_linux_function f;
	struct vp_err err = { "" };
	int rc = vp_linux_features_read(l, &x, &err);

	FUZZ_CHECK(!rc == !err.text[0]);
	FUZZ_CHECK(rc || (x.ncaps < x.nwords && x.nwords <= VP_LINUX_CAPS_MAX));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		err.text[0] = '\0';
		rc = vp_linux_function_find(l, names[i], 0, NULL, &f, &err);
		FUZZ_CHECK(!rc == !err.text[0]);
		check_text(err.text);
		FUZZ_CHECK(rc || (f.site.v - f.start.v <= 4 && f.len >= 9));
	}
}

/* What is said to be right is a place of a few bytes around the one that was asked about. */
static void ask_explain(const struct linux_guest *g, struct vp_linux *l)
{
	static const uint32_t at[] = { LG_ENTRY(0), LG_ENTRY(3), LG_SITE(0), LG_SITE(4) + 1,
				       LG_PROBED,   LG_CALL,	 0x800 };
	const struct vp_blob text = { g->ram + LG_IMAGE_GPA, 0x2000, g->text };
	struct vp_explain *x = NULL;
	struct vp_err err = { "" };
	int rc = vp_explain_new(l, &x, &err);

	FUZZ_CHECK(!rc == !err.text[0] && !rc == !!x);
	for (size_t i = 0; x && i < sizeof(at) / sizeof(at[0]); i++) {
		uint64_t addr = g->text + at[i], start = 0, end = 0;
		char what[VP_EXPLAIN_MAX];
		enum vp_why why;

		rc = vp_explain_at(x, addr, &text, &why, &start, &end, what, &err);
		FUZZ_CHECK(rc <= 1);
		check_text(what);
		FUZZ_CHECK(rc != 1 || (start <= addr && addr < end && end - start <= 6));
	}
	vp_explain_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_edits edits;
	struct fuzz_in in = { data, size };
	struct linux_guest *g = guest((unsigned int)fuzz_take(&in, 1) % (LG_LAYOUTS * 4));
	struct vp_err err = { "" };
	struct vp_linux *l = NULL;
	int rc;

	fuzz_change(g->ram, regions, REGIONS, &in, &edits);
	rc = vp_linux_open(&g->target, NULL, &l, &err);

	FUZZ_CHECK(!g->locked && !g->held);
	FUZZ_CHECK(!rc == !err.text[0] && !rc == !!l);
	FUZZ_CHECK(rc == 0 || rc == -ENOENT || rc == -EBADMSG || rc == -EFAULT);
	if (!rc) {
		check_info(g, l);
		rc = vp_linux_keys(l, each_key, &l, &err);
		FUZZ_CHECK(!rc == !err.text[0]);
		ask_owners(g, l, size % 2);
		ask_inside(g, l);
		ask_facts(l);
		ask_explain(g, l);
	}
	vp_linux_free(l);
	fuzz_put_right(g->ram, &edits);
	return 0;
}
