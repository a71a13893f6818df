/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "linux_build.h"

#include "linux/kernel_mem.h"

static struct vp_kernel_mem mem;

static int find(struct linux_guest *g, struct vp_err *err)
{
	int rc;

	assert_int_equal(g->target.ops->lock(&g->target, NULL), 0);
	rc = vp_kernel_mem_find(&g->target, &mem, err);
	assert_false(g->held);
	g->target.ops->unlock(&g->target);
	return rc;
}

/* Every way that page tables can be: the same image is found. */
static void finds_the_image(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 16; bits++) {
		const struct lg_opts opts = {
			.five_levels = bits & 1,
			.pti = bits & 2,
			.user_mode = (bits & 6) == 6, /* only with PTI */
			.slide = bits & 8 ? 0x1ba00000 : 0,
		};
		struct linux_guest *g = lg_new(&opts);
		struct vp_err err = { "" };

		if (find(g, &err))
			fail_msg("%u: %s", bits, err.text);
		assert_int_equal(mem.text.v, g->text);
		assert_int_equal(mem.text_phys.v, LG_IMAGE_GPA);
		assert_int_equal(mem.end - mem.text.v, LG_IMAGE_SIZE);
		assert_int_equal(mem.levels, opts.five_levels ? 5 : 4);
		assert_int_equal(mem.space.cr3 & 0x1000, 0);
		assert_int_equal(mem.nruns, 3);
		assert_int_equal(mem.runs[1].start, g->text + LG_RODATA);
		assert_false(mem.runs[0].nx || mem.runs[0].writable || mem.runs[1].writable);
		assert_true(mem.runs[1].nx && mem.runs[2].nx && mem.runs[2].writable);
		assert_true(g->reads < 16);
		lg_free(g);
	}
}

/* Without PTI, a table may lie at an odd page: bit 12 of CR3 then means nothing. */
static void odd_page_without_pti(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });

	(void)state;
	memcpy(g->ram + 0xf000, g->ram + 0x2000, 0x1000);
	memset(g->ram + 0x2000, 0, 0x1000);
	g->vcpus[0].paging.cr3 = g->vcpus[1].paging.cr3 = 0xf000;
	assert_int_equal(find(g, NULL), 0);
	assert_int_equal(mem.text.v, g->text);
	lg_free(g);
}

/* What lies before such a table is anything; tables of which most lead to no memory, say. */
static void odd_page_behind_garbage(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });
	uint64_t *pml4 = (uint64_t *)(g->ram + 0xe000);
	uint64_t *pdpt = (uint64_t *)(g->ram + LG_RAM - 0x1000);
	uint64_t *pd = (uint64_t *)(g->ram + LG_RAM - 0x2000);

	(void)state;
	memcpy(g->ram + 0xf000, g->ram + 0x2000, 0x1000);
	pml4[511] = (LG_RAM - 0x1000) | 3;
	pdpt[510] = (LG_RAM - 0x2000) | 3;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = (0x7000000000 + i * 0x1000) | 3;
	g->vcpus[0].paging.cr3 = g->vcpus[1].paging.cr3 = 0xf000;
	assert_int_equal(find(g, NULL), 0);
	assert_int_equal(mem.text.v, g->text);
	assert_true(g->misses > 0 && g->misses <= 2 * 512);
	assert_true(g->reads < 32);
	lg_free(g);
}

/* One vCPU has not started, one is in real mode, the third runs the kernel. */
static void asks_each_vcpu(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });
	struct vp_err err = { "" };

	(void)state;
	g->vcpus[0].paging = (struct vp_paging){ .cr0 = 0x10 };
	assert_int_equal(find(g, NULL), 0);
	g->vcpus[1].paging = g->vcpus[0].paging;
	assert_int_equal(find(g, &err), -ENOENT);
	assert_non_null(strstr(err.text, "64-bit mode"));
	g->nvcpus = 0;
	assert_int_equal(find(g, &err), -ENOENT);
	lg_free(g);
}

/* Tables that lead nowhere, in circles, or outside RAM: refused, after a bounded number of reads.
 */
static void hostile_tables(void **state)
{
	static const uint64_t values[] = {
		0, 0x5063, 0x2063, 0xfffffffffff063, 0x63, 0xe3, 0x80000000000000e3, UINT64_MAX,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });
		struct vp_err err = { "" };

		for (uint32_t off = 0; off < 0x1000; off += 8)
			memcpy(g->ram + 0x5000 + off, &values[i], 8); /* all of the PUD */
		assert_int_equal(find(g, &err), -ENOENT);
		assert_non_null(strstr(err.text, "no vCPU has a Linux kernel"));
		assert_true(g->reads < 20000);
		lg_free(g);
	}
}

/* Entries that all differ in rights: more runs than a kernel has. */
static void too_many_runs(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });

	(void)state;
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t pde = 0xf00063, pte = 0xe00061 + i * 0x1000 + (i & 1 ? 2 : 0);

		memcpy(g->ram + 0x6000 + 8 * i, &pde, 8);
		memcpy(g->ram + 0xf00000 + 8 * i, &pte, 8);
	}
	assert_int_equal(find(g, NULL), -ENOENT);
	lg_free(g);
}

static void reads(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ .slide = 0x200000 });
	uint8_t *buf = malloc(LG_IMAGE_SIZE);
	struct vp_err err = { "" };

	(void)state;
	assert_non_null(buf);
	assert_int_equal(find(g, NULL), 0);
	g->reads = 0;
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(g->text + 5), buf,
					    LG_RODATA + LG_RODATA_SIZE - 5, &err),
			 0);
	assert_int_equal(g->reads, 1); /* all up to the hole at once */
	assert_memory_equal(buf, lg_image(g, 5), LG_RODATA + LG_RODATA_SIZE - 5);
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(g->text + LG_DATA - 8), buf, 16, &err),
			 -EFAULT);

	/* Modules go through the page tables, which are read page by page. */
	g->reads = 0;
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(LG_MODULES + 0xff0), buf, 0x8000, &err),
			 0);
	assert_memory_equal(buf, lg_at(g, LG_MODULES + 0xff0), 0x8000);
	assert_int_equal(g->reads, 4 + 1);

	/* Pages that are neighbours in the address space only. */
	memcpy(g->ram + 0xb000 + 8, g->ram + 0xb000 + 5 * 8, 8);
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(LG_MODULES + 0xff0), buf, 0x20, &err), 0);
	assert_memory_equal(buf, lg_at(g, LG_MODULES + 0xff0), 0x10);
	assert_memory_equal(buf + 0x10, lg_at(g, LG_MODULES + 0x5000), 0x10);

	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(g->text - 1), buf, 2, &err), -EFAULT);
	assert_non_null(strstr(err.text, "not mapped"));
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(LG_MODULES + 0xffff), buf, 2, &err),
			 -EFAULT);
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(UINT64_MAX), buf, 2, &err), -EFAULT);
	assert_int_equal(vp_kernel_mem_read(&mem, VP_GVA(0x1234567890abcdef), buf, 1, &err),
			 -EFAULT);
	free(buf);
	lg_free(g);
}

static bool is_code(const struct vp_kernel_mem *m, uint64_t addr)
{
	bool yes;

	assert_int_equal(vp_kernel_mem_is_code(m, VP_GVA(addr), &yes, NULL), 0);
	return yes;
}

static void code(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });
	bool yes;

	(void)state;
	assert_int_equal(find(g, NULL), 0);
	assert_true(is_code(&mem, g->text));
	assert_false(is_code(&mem, g->text + LG_RODATA));
	assert_false(is_code(&mem, g->text + LG_DATA));
	assert_true(is_code(&mem, LG_MODULES));
	assert_false(is_code(&mem, LG_MODULES + 0x10000));
	assert_false(is_code(&mem, 0x400000));
	g->fail_at = g->reads + 1;
	g->fail_with = -ETIMEDOUT;
	assert_int_equal(vp_kernel_mem_is_code(&mem, VP_GVA(LG_MODULES), &yes, NULL), -ETIMEDOUT);
	lg_free(g);
}

/* The accessor that all else reads bytes through. */
static void blob(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 0x88, 'a', 'b', 0, 'c' };
	const struct vp_blob b = { bytes, sizeof(bytes), 0x1000 };
	uint64_t q = 1;
	uint32_t d = 1;
	uint16_t w = 1;

	(void)state;
	assert_true(vp_blob_u64(&b, 0, &q));
	assert_int_equal(q, 0x8807060504030201);
	assert_true(vp_blob_u32(&b, 8, &d));
	assert_int_equal(d, 0x63006261);
	assert_false(vp_blob_u32(&b, 9, &d));
	assert_false(vp_blob_u64(&b, UINT64_MAX, &q));
	assert_false(vp_blob_u64(&b, UINT64_MAX - 3, &q));
	assert_int_equal(d, 0x63006261);
	assert_true(vp_blob_u16(&b, 10, &w));
	assert_false(vp_blob_u16(&b, 11, &w));
	assert_null(vp_blob_at(&b, 12, 1));
	assert_non_null(vp_blob_at(&b, 12, 0));
	assert_null(vp_blob_at(&b, 1, UINT64_MAX));
	assert_string_equal(vp_blob_text(&b, 8, 9), "ab");
	assert_null(vp_blob_text(&b, 8, 2));
	assert_null(vp_blob_text(&b, 11, 9));
	assert_null(vp_blob_text(&b, 99, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_image),
		cmocka_unit_test(odd_page_without_pti),
		cmocka_unit_test(odd_page_behind_garbage),
		cmocka_unit_test(asks_each_vcpu),
		cmocka_unit_test(hostile_tables),
		cmocka_unit_test(too_many_runs),
		cmocka_unit_test(reads),
		cmocka_unit_test(code),
		cmocka_unit_test(blob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
