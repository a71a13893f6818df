/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a guest once it is opened: linux.c and identify.c. */
#include "unit.h"
#include "linux_build.h"

#include "base/text.h"
#include "linux/internal.h"

static struct linux_guest *g;
static struct vp_linux *l;

static int open_with(const struct lg_opts *opts, struct vp_err *err)
{
	g = lg_new(opts);
	return vp_linux_open(&g->target, NULL, &l, err);
}

static void close_it(void)
{
	vp_linux_free(l);
	lg_free(g);
	l = NULL;
}

static void all_generations(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < LG_LAYOUTS * 8; i++) {
		const struct lg_opts opts = {
			.layout = (enum lg_layout)(i % LG_LAYOUTS),
			.five_levels = i / LG_LAYOUTS & 1,
			.pti = i / LG_LAYOUTS & 2,
			.user_mode = i / LG_LAYOUTS & 2,
			.slide = i / LG_LAYOUTS & 4 ? 0x12200000 : 0,
		};
		const struct vp_linux_kernel *info;
		struct vp_err err = { "" };

		if (open_with(&opts, &err))
			fail_msg("%u: %s", i, err.text);
		info = vp_linux_info(l);
		assert_string_equal(info->release, "6.1.0-test");
		assert_string_equal(info->banner, "Linux version 6.1.0-test (me@here) #1 SMP "
						  "PREEMPT_DYNAMIC Debian (2026-01-01)");
		assert_string_equal(info->build_id, "deadbeef0102030405060708090a0b0c0d0e0f10");
		assert_int_equal(info->text.v, g->text);
		assert_int_equal(info->text_phys.v, LG_IMAGE_GPA);
		assert_int_equal(info->kaslr_slide, opts.slide);
		assert_int_equal(info->phys_base, (uint64_t)LG_IMAGE_GPA - 0x1000000 - opts.slide);
		assert_int_equal(info->paging_levels, opts.five_levels ? 5 : 4);
		assert_int_equal(info->pti, opts.pti);
		/* The kernel's own tables, not those of the process that ran. */
		assert_int_equal(info->space.cr3, LG_IMAGE_GPA + LG_SWAPPER);
		assert_int_equal(vp_symtab_count(vp_linux_symbols(l)), g->nsymbols);
		assert_false(g->locked);
		close_it();
	}
}

/* A banner that would control a terminal: it is shown without. */
static void hostile_banner(void **state)
{
	static const char *const lies[] = {
		"\x1b[31m\x1b]0;title\x07",
		"\xc2\x9b"
		"2J\x9b\xff\xc0\xaf",
		"\x7f\x01\r\t\"'\\",
		"\xe2\x80\xae\xe2\x80\x8b\xed\xa0\x80",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct vp_linux_kernel *info;
		char *banner;

		g = lg_new(&(struct lg_opts){ .layout = LG_6_1 });
		banner = (char *)lg_image(g, LG_BANNER);
		sprintf(banner, "Linux version 6.1.0%s (me%s@here)\n", lies[i], lies[i]);
		assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
		info = vp_linux_info(l);
		assert_true(vp_text_is_clean(info->banner));
		assert_true(vp_text_is_clean(info->release));
		assert_memory_equal(info->release, "6.1.0", 5);
		assert_int_equal(strlen(info->banner), strlen(banner) - 1);
		close_it();
	}
}

/* The process whose tables were used has gone: its pages hold something else. */
static void survives_the_process(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(open_with(&(struct lg_opts){ 0 }, NULL), 0);
	memset(g->ram + 0x2000, 0xff, 0x2000);
	assert_int_equal(vp_linux_read(l, VP_GVA(LG_MODULES + 0x100), &byte, 1, NULL), 0);
	assert_int_equal(byte, *lg_at(g, LG_MODULES + 0x100));
	close_it();
}

/* A swapper_pg_dir that does not map the kernel is not believed. */
static void bad_swapper(void **state)
{
	struct vp_err err = { "" };

	(void)state;
	g = lg_new(&(struct lg_opts){ .pti = true });
	lg_put(g, LG_SWAPPER + 8 * 511, 0, 8);
	assert_int_equal(vp_linux_open(&g->target, NULL, &l, &err), 0);
	assert_int_equal(vp_linux_info(l)->space.cr3 & ~0xfffull, 0x2000);
	assert_true(vp_linux_info(l)->pti);
	close_it();
}

/* Without CONFIG_KALLSYMS_ALL there is less to know, but nothing wrong. */
static void text_symbols_only(void **state)
{
	const struct lg_opts opts = { .text_symbols_only = true, .slide = 0x400000, .pti = true };
	struct vp_err err = { "" };

	(void)state;
	if (open_with(&opts, &err))
		fail_msg("%s", err.text);
	assert_string_equal(vp_linux_info(l)->release, "6.1.0-test");
	assert_string_equal(vp_linux_info(l)->build_id, "");
	assert_int_equal(vp_linux_info(l)->kaslr_slide, 0x400000);
	assert_true(vp_linux_info(l)->pti);
	close_it();
}

static void rodata_off(void **state)
{
	struct vp_err err = { "" };

	(void)state;
	if (open_with(&(struct lg_opts){ .writable_image = true }, &err))
		fail_msg("%s", err.text);
	assert_string_equal(vp_linux_info(l)->release, "6.1.0-test");
	close_it();
}

/* The boot digest is the same as long as nothing moves, and differs if anything does. */
static void boot_digest(void **state)
{
	static const uint32_t vars[] = { LG_PAGE_OFFSET, LG_VMALLOC, LG_VMEMMAP };
	uint64_t first;

	(void)state;
	assert_int_equal(open_with(&(struct lg_opts){ 0 }, NULL), 0);
	first = vp_linux_info(l)->boot;
	close_it();
	assert_int_equal(open_with(&(struct lg_opts){ 0 }, NULL), 0);
	assert_int_equal(vp_linux_info(l)->boot, first);
	close_it();
	assert_int_equal(open_with(&(struct lg_opts){ .slide = 0x200000 }, NULL), 0);
	assert_true(vp_linux_info(l)->boot != first);
	close_it();
	for (size_t i = 0; i < 3; i++) {
		g = lg_new(&(struct lg_opts){ 0 });
		lg_put(g, vars[i], lg_get(g, vars[i], 8) + 0x40000000, 8);
		assert_int_equal(vp_linux_open(&g->target, NULL, &l, NULL), 0);
		assert_true(vp_linux_info(l)->boot != first);
		close_it();
	}
}

static void refuse(int rc, const char *text)
{
	struct vp_err err = { "" };

	assert_int_equal(vp_linux_open(&g->target, NULL, &l, &err), rc);
	if (!strstr(err.text, text))
		fail_msg("%s", err.text);
	assert_null(l);
	assert_false(g->locked || g->held);
	lg_free(g);
}

static void lies(void **state)
{
	(void)state;
	g = lg_new(&(struct lg_opts){ 0 });
	g->nvcpus = 0;
	refuse(-ENOENT, "no vCPU");

	g = lg_new(&(struct lg_opts){ 0 });
	memset(lg_image(g, LG_KALLSYMS), 0, 0x40000);
	refuse(-ENOENT, "no kernel symbol table");

	g = lg_new(&(struct lg_opts){ 0 });
	memcpy(lg_image(g, LG_BANNER), "FreeB", 5);
	refuse(-ENOENT, "no banner");

	g = lg_new(&(struct lg_opts){ 0 });
	lg_put(g, LG_PHYS_BASE, 0x1000, 8);
	refuse(-EBADMSG, "phys_base");

	g = lg_new(&(struct lg_opts){ 0 });
	memcpy(strchr((char *)lg_image(g, LG_VMCOREINFO_TEXT), '\n'), "\nKERNELOFFSET=ffffffffff",
	       24);
	lg_put(g, LG_VMCOREINFO_SIZE, 60, 8);
	refuse(-EBADMSG, "it was moved by");
}

/* Data that cannot be used is left alone. */
static void odd_data(void **state)
{
	struct vp_err err = { "" };

	(void)state;
	g = lg_new(&(struct lg_opts){ .slide = 0x600000 });
	lg_put(g, LG_VMCOREINFO, 0x1234, 8);		/* leads nowhere */
	lg_put(g, LG_NOTES + 4, 0xfffffff0, 4);		/* a note without end */
	memset(lg_image(g, LG_BANNER) + 20, 0x1b, 4);	/* a terminal's escape */
	memset(lg_image(g, LG_BANNER) + 40, 'x', 1000); /* no line end */
	assert_int_equal(vp_linux_open(&g->target, NULL, &l, &err), 0);
	assert_int_equal(vp_linux_info(l)->kaslr_slide, 0x600000);
	assert_string_equal(vp_linux_info(l)->build_id, "");
	assert_int_equal(strlen(vp_linux_info(l)->banner), 511);
	assert_null(strchr(vp_linux_info(l)->banner, 0x1b));
	assert_string_equal(vp_linux_info(l)->release, "6.1.0-????");
	close_it();
}

/* All is read in a few large pieces. */
static void few_reads(void **state)
{
	(void)state;
	assert_int_equal(open_with(&(struct lg_opts){ .five_levels = true, .pti = true }, NULL), 0);
	assert_true(g->reads < 45);
	assert_true(g->bytes_read < LG_RODATA_SIZE + 45 * 0x1000);
	close_it();
}

/*
 * After a reboot the old kernel's pages may be there as they were, page tables and all. What tells
 * is where the vCPUs are, and what this boot has chosen.
 */
static void still_runs(void **state)
{
	struct vp_vcpu_state was[2];

	(void)state;
	assert_int_equal(open_with(&(struct lg_opts){ 0 }, NULL), 0);
	assert_true(vp_linux_still_runs(l));
	memcpy(was, g->vcpus, sizeof(was));
	for (unsigned int i = 0; i < g->nvcpus; i++)
		g->vcpus[i].paging.cr3 = 0; /* in a boot loader, say */
	assert_false(vp_linux_still_runs(l));
	memcpy(g->vcpus, was, sizeof(was));
	assert_true(vp_linux_still_runs(l));
	lg_put(g, LG_PAGE_OFFSET, lg_get(g, LG_PAGE_OFFSET, 8) + 0x40000000, 8);
	assert_false(vp_linux_still_runs(l));
	close_it();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_generations),
		cmocka_unit_test(hostile_banner),
		cmocka_unit_test(survives_the_process),
		cmocka_unit_test(bad_swapper),
		cmocka_unit_test(text_symbols_only),
		cmocka_unit_test(rodata_off),
		cmocka_unit_test(boot_digest),
		cmocka_unit_test(still_runs),
		cmocka_unit_test(lies),
		cmocka_unit_test(odd_data),
		cmocka_unit_test(few_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
