/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hotfixes in a guest's memory, which says anything: two are put there, one over the other, then
 * the input changes bytes of labels, page tables, entries. An odd first byte: the labels' digests
 * are put right again.
 *
 * Judged: it ends, nothing is read outside (the sanitizers), a refusal has a reason, and what is
 * said of a site is what stands there.
 */
#include "base/digest.h"
#include "base/text.h"
#include "hotfix/found.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/linux_hotfix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MODULE_GPA   (LG_IMAGE_GPA + LG_IMAGE_SIZE)
#define LABEL_GPA(i) (MODULE_GPA + (uint32_t)(LG_HOTFIX(i) - LG_MODULES))

static const struct {
	uint32_t start, len; /* guest-physical */
} regions[] = {
	{ LABEL_GPA(0), 0x180 },
	{ LABEL_GPA(1), 0x180 },
	{ LABEL_GPA(0), 0x4000 },
	{ LG_IMAGE_GPA + LG_FUNC(0), 16 * LG_FUNCS },
	{ 0xa000, 0x1080 }, /* page tables of the modules */
	{ LG_IMAGE_GPA + LG_SWAPPER, 0x1000 },
};

#define REGIONS (sizeof(regions) / sizeof(regions[0]))

static struct linux_guest *g;
static struct vp_linux *l;
static uint8_t *good; /* RAM as it was */

static void make_guest(void)
{
	static const unsigned int below[] = { 1, 2 }, above[] = { 2, 3 };

	g = lg_new(&(struct lg_opts){ .layout = LG_6_1, .modules = true });
	lg_put_hotfix(g, 0, "below", 1000, below, 2);
	lg_redirect(g, 1, 0, 0);
	lg_redirect(g, 2, 0, 1);
	lg_put_hotfix(g, 1, "above", 2000, above, 2);
	lg_redirect(g, 2, 1, 0);
	lg_redirect(g, 3, 1, 1);
	good = malloc(LG_RAM);
	FUZZ_CHECK(good && !vp_linux_open(&g->target, NULL, &l, NULL));
	memcpy(good, g->ram, LG_RAM);
}

static void change(struct fuzz_in *in)
{
	while (in->left) {
		size_t r = fuzz_take(in, 1) % REGIONS;
		uint32_t at = regions[r].start + (uint32_t)(fuzz_take(in, 2) % regions[r].len);
		unsigned int bytes = 1u << fuzz_take(in, 1) % 4;
		uint64_t value = fuzz_take(in, bytes);

		memcpy(g->ram + at, &value, bytes);
	}
}

static void seal(unsigned int i)
{
	uint8_t *label = g->ram + LABEL_GPA(i);
	size_t size = vp_hotfix_label_length(label);
	uint64_t digest;

	if (size <= VP_LABEL_HEAD || size > 0x2000)
		return;
	digest = vp_digest(VP_DIGEST_INIT, label + VP_LABEL_HEAD, size - VP_LABEL_HEAD);
	memcpy(label + VP_LABEL_HEAD - 8, &digest, sizeof(digest));
}

static void check(const struct vp_hotfix_found *f)
{
	size_t lead = 0;
	bool covered = false;

	FUZZ_CHECK(vp_text_is_clean(f->label->name) && f->label->nfunctions);
	FUZZ_CHECK(f->at.v == f->label->areas[VP_AREA_TEXT].at.v);
	for (size_t i = 0; i < f->label->nfunctions; i++) {
		const struct vp_hotfix_entry *e = &f->entries[i];

		FUZZ_CHECK(!e->over == (e->leads != VP_LEADS_OVER));
		FUZZ_CHECK(e->leads != VP_LEADS_BEFORE ||
			   !memcmp(e->now, f->label->functions[i].before, 5));
		FUZZ_CHECK((e->leads != VP_LEADS_HERE && e->leads != VP_LEADS_OVER) ||
			   e->now[0] == 0xe9);
		lead += e->leads <= VP_LEADS_OVER;
		covered |= e->leads == VP_LEADS_OVER;
	}
	FUZZ_CHECK(covered == f->covered);
	FUZZ_CHECK((f->stands == VP_HOTFIX_UNUSED) == !lead);
	FUZZ_CHECK((f->stands == VP_HOTFIX_APPLIED) == (lead == f->label->nfunctions));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct vp_hotfix_found *list = NULL;
	struct vp_err err = { "" };
	vp_gva *damaged = NULL;
	size_t n = 0, ndamaged = 0;
	bool sealed = fuzz_take(&in, 1) & 1;
	int rc;

	if (!g)
		make_guest();
	change(&in);
	if (sealed)
		seal(0), seal(1);
	rc = vp_hotfix_look(l, &list, &n, &damaged, &ndamaged, &err);
	FUZZ_CHECK(!rc == !err.text[0]);
	FUZZ_CHECK(!rc || rc == -E2BIG);
	for (size_t i = 0; i < n; i++)
		check(&list[i]);
	vp_hotfix_found_free(list, n);
	free(damaged);
	for (size_t i = 0; i < REGIONS; i++)
		memcpy(g->ram + regions[i].start, good + regions[i].start, regions[i].len + 8);
	return 0;
}
