/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "linux_build.h"

#include "linux/kallsyms.h"
#include "linux/kallsyms_find.h"
#include "linux/kernel_mem.h"

static const char *const layout_name[] = { "5.10", "6.1", "6.4", "6.15", "7.0" };

static struct vp_blob rodata(struct linux_guest *g)
{
	return (struct vp_blob){ lg_image(g, LG_RODATA), LG_RODATA_SIZE, g->text + LG_RODATA };
}

static int decode(struct linux_guest *g, struct vp_kallsyms *k, struct vp_err *err)
{
	struct vp_blob b = rodata(g);

	return vp_kallsyms_decode(&b, VP_GVA(g->text), g->text + LG_IMAGE_SIZE, k, err);
}

/* Every generation, with all symbols and with the text's only: all names, all addresses. */
static void layouts(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4 * LG_LAYOUTS; i++) {
		const struct lg_opts opts = {
			.layout = (enum lg_layout)(i % LG_LAYOUTS),
			.text_symbols_only = i >= 2 * LG_LAYOUTS,
			.empty_tokens = i / LG_LAYOUTS % 2,
			.slide = i * 0x600000ull,
		};
		struct linux_guest *g = lg_new(&opts);
		struct vp_err err = { "" };
		struct vp_kallsyms k;

		if (decode(g, &k, &err))
			fail_msg("%s: %s", layout_name[opts.layout], err.text);
		assert_int_equal(k.n, g->nsymbols);
		for (size_t s = 0; s < k.n; s++) {
			struct vp_symbol want;
			uint64_t addr = k.entries[s].addr;

			lg_symbol(g, s, &want);
			assert_string_equal(k.names + k.entries[s].name, want.name);
			assert_int_equal(k.entries[s].global,
					 want.name[-1] >= 'A' && want.name[-1] <= 'Z');
			assert_int_equal(addr >> 31 ? addr + opts.slide : addr, want.addr.v);
		}
		vp_kallsyms_free(&k);
		lg_free(g);
	}
}

static void parts(void **state)
{
	static const enum vp_kallsyms_mode modes[] = { VP_KALLSYMS_ABSOLUTE, VP_KALLSYMS_ABSOLUTE,
						       VP_KALLSYMS_ABSOLUTE, VP_KALLSYMS_BASE,
						       VP_KALLSYMS_PLACE };

	(void)state;
	for (unsigned int i = 0; i < LG_LAYOUTS; i++) {
		struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = (enum lg_layout)i });
		struct vp_blob b = rodata(g);
		struct vp_kallsyms_parts p;

		assert_int_equal(vp_kallsyms_find(&b, VP_GVA(g->text), g->text + LG_IMAGE_SIZE, &p,
						  NULL),
				 0);
		assert_int_equal(p.num_syms, g->at.num_syms - LG_RODATA);
		assert_int_equal(p.names, g->at.names - LG_RODATA);
		assert_int_equal(p.offsets, g->at.offsets - LG_RODATA);
		assert_int_equal(p.token_table, g->at.token_table - LG_RODATA);
		assert_int_equal(p.token_index, g->at.token_index - LG_RODATA);
		assert_int_equal(p.mode, modes[i]);
		lg_free(g);
	}
}

/* What a test breaks, and what is said of it. */
struct lie {
	const char *what;
	void (*tell)(struct linux_guest *g);
	int rc;
};

static void no_tokens(struct linux_guest *g)
{
	memset(lg_image(g, g->at.token_table), 0, 100);
}

static void wrong_index(struct linux_guest *g)
{
	lg_put(g, g->at.token_index + 2 * 200, 0xffff, 2);
}

static void control_character(struct linux_guest *g)
{
	*lg_image(g, g->at.token_table + 2) = 0x1b;
}

static void huge_count(struct linux_guest *g)
{
	lg_put(g, g->at.num_syms, 0xffffffff, 4);
}

static void one_more(struct linux_guest *g)
{
	lg_put(g, g->at.num_syms, g->nsymbols + 1, 4);
}

static void one_less(struct linux_guest *g)
{
	lg_put(g, g->at.num_syms, g->nsymbols - 1, 4);
}

static void wrong_marker(struct linux_guest *g)
{
	lg_put(g, g->at.markers + 4, lg_get(g, g->at.markers + 4, 4) + 1, 4);
}

static void falling_markers(struct linux_guest *g)
{
	lg_put(g, g->at.markers + 8, 1, 4);
}

static void name_without_length(struct linux_guest *g)
{
	lg_put(g, g->at.names, 0, 1);
}

static void name_too_long(struct linux_guest *g)
{
	lg_put(g, g->at.names, 0xffff, 2);
}

static void addresses_that_fall(struct linux_guest *g)
{
	lg_put(g, g->at.offsets + 4 * 300, lg_get(g, g->at.offsets + 4 * 100, 4), 4);
}

static void base_elsewhere(struct linux_guest *g)
{
	if (g->opts.layout == LG_7_0) /* has none: move all */
		addresses_that_fall(g);
	else
		lg_put(g, g->at.relative_base, 0xffffffff00000000, 8);
}

static void second_table(struct linux_guest *g)
{
	uint32_t from = LG_KALLSYMS, len = g->at.end - from;

	/* Place-relative numbers must move with their place, so that both are right. */
	memcpy(lg_image(g, from + 0x40000), lg_image(g, from), len);
	if (g->opts.layout == LG_7_0)
		for (uint32_t i = 0; i < g->nsymbols; i++)
			lg_put(g, g->at.offsets + 0x40000 + 4 * i,
			       lg_get(g, g->at.offsets + 4 * i, 4) - 0x40000, 4);
}

/* Each byte before the table a count that fits: the search must not take for ever. */
static void many_counts(struct linux_guest *g)
{
	for (uint32_t off = LG_RODATA + 0x400; off + 8 <= LG_KALLSYMS; off += 8)
		lg_put(g, off, 513 + off % 97, 8);
}

static void lies(void **state)
{
	static const struct lie all[] = {
		{ "no tokens", no_tokens, -ENOENT },
		{ "wrong index", wrong_index, -ENOENT },
		{ "control character", control_character, -ENOENT },
		{ "huge count", huge_count, -ENOENT },
		{ "one more", one_more, -ENOENT },
		{ "one less", one_less, -ENOENT },
		{ "wrong marker", wrong_marker, -ENOENT },
		{ "falling markers", falling_markers, -ENOENT },
		{ "name without length", name_without_length, -ENOENT },
		{ "name too long", name_too_long, -ENOENT },
		{ "addresses that fall", addresses_that_fall, -ENOENT },
		{ "base elsewhere", base_elsewhere, -ENOENT },
		{ "second table", second_table, -EBADMSG },
		{ "many counts", many_counts, 0 },
	};

	(void)state;
	for (unsigned int i = 0; i < LG_LAYOUTS * (sizeof(all) / sizeof(all[0])); i++) {
		const struct lie *lie = &all[i / LG_LAYOUTS];
		const struct lg_opts opts = { .layout = (enum lg_layout)(i % LG_LAYOUTS) };
		struct linux_guest *g = lg_new(&opts);
		struct vp_kallsyms k = { 0 };
		struct vp_err err = { "" };
		int rc;

		lie->tell(g);
		rc = decode(g, &k, &err);
		if (rc != lie->rc)
			fail_msg("%s, %s: %d, %s", layout_name[opts.layout], lie->what, rc,
				 err.text);
		assert_int_equal(!err.text[0], !rc);
		vp_kallsyms_free(&k);
		lg_free(g);
	}
}

/* Names that expand to more than KSYM_NAME_LEN: each token is long. */
static void expands_too_far(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = LG_6_1 });
	struct vp_err err = { "" };
	struct vp_kallsyms k;
	uint32_t off = g->at.names;

	(void)state;
	/* find the first long name, and make all of it "filler_" */
	while (!(lg_get(g, off, 1) & 0x80))
		off += 1 + (uint32_t)lg_get(g, off, 1);
	memset(lg_image(g, off + 2), 0x80, 200);
	assert_int_equal(decode(g, &k, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "is damaged"));
	lg_free(g);
}

/* The read-only data ends at every place in the table, and begins at some. */
static void truncated(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < LG_LAYOUTS; i++) {
		struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = (enum lg_layout)i });
		struct vp_blob whole = rodata(g);
		size_t len = g->at.end - LG_RODATA;

		for (size_t cut = 0; cut < len; cut += 997) {
			/* of the exact size, so that a sanitizer sees a read behind it */
			uint8_t *copy = malloc(cut + 1);
			struct vp_blob b = { copy, cut, whole.base };
			struct vp_kallsyms k = { 0 };
			int rc;

			assert_non_null(copy);
			memcpy(copy, whole.data, cut);
			rc = vp_kallsyms_decode(&b, VP_GVA(g->text), g->text + LG_IMAGE_SIZE, &k,
						NULL);
			/* seqs_of_names may be missing: nobody reads it */
			assert_true(rc == -ENOENT || cut >= g->at.token_index - LG_RODATA);
			vp_kallsyms_free(&k);
			free(copy);
		}
		lg_free(g);
	}
}

static void symtab_slides(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = LG_6_4, .slide = 0x200000 });
	struct vp_symtab *tab;
	struct vp_kallsyms k;
	vp_gva a;

	(void)state;
	assert_int_equal(decode(g, &k, NULL), 0);
	/* Another slide than it was decoded from. */
	assert_int_equal(vp_kallsyms_symtab(&k, VP_GVA(LG_LINKED + 0x800000), &tab, NULL), 0);
	assert_int_equal(vp_symtab_count(tab), k.n);
	assert_int_equal(vp_symtab_find(tab, "filler_3", &a, NULL), 0);
	assert_int_equal(a.v, LG_LINKED + 0x800030);
	assert_int_equal(vp_symtab_find(tab, "percpu_1", &a, NULL), 0);
	assert_int_equal(a.v, 0x100);
	vp_symtab_free(tab);
	vp_kallsyms_free(&k);
	lg_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts),   cmocka_unit_test(parts),
		cmocka_unit_test(lies),	     cmocka_unit_test(expands_too_far),
		cmocka_unit_test(truncated), cmocka_unit_test(symtab_slides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
