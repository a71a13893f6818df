/* SPDX-License-Identifier: Apache-2.0 */
/* Page tables that are kept: each is read once, what cannot be read is asked for again. */
#include "unit.h"

#include <string.h>

#include "x86/tables.h"

#define TABLE(n) ((uint64_t)(n)*VP_TABLE_SIZE)

struct memory {
	uint64_t entry[32][VP_TABLE_SIZE / 8];
	unsigned int reads;
	uint64_t lost; /* the page that cannot be read */
};

static int read_memory(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct memory *m = arg;

	m->reads++;
	if (gpa.v == m->lost || gpa.v + len > sizeof(m->entry))
		return vp_err_set(err, -EFAULT, "not RAM");
	memcpy(buf, (const uint8_t *)m->entry + gpa.v, len);
	return 0;
}

static void make(struct memory *m, struct vp_tables *tab)
{
	memset(m, 0, sizeof(*m));
	m->lost = UINT64_MAX;
	m->entry[1][511] = TABLE(2) | 3;
	m->entry[2][510] = TABLE(3) | 3;
	m->entry[3][0] = TABLE(4) | 3;
	for (unsigned int i = 0; i < 512; i++)
		m->entry[4][i] = TABLE(i) | 3;
	m->entry[4][9] = 0;
	m->entry[3][1] = TABLE(40) | 3; /* outside memory */
	vp_tables_init(tab, (struct vp_phys_reader){ read_memory, m });
}

static const struct vp_paging paging = {
	.cr0 = 0x80000001, .cr3 = TABLE(1), .cr4 = 0x20, .efer = 0xd01
};

#define TEXT 0xffffffff80000000ull

static void test_walk(void **state)
{
	static struct memory m;
	static struct vp_tables tab;
	struct vp_map map;

	(void)state;
	make(&m, &tab);
	for (uint64_t i = 10; i < 500; i++) {
		assert_int_equal(
			vp_tables_walk(&tab, &paging, VP_GVA(TEXT + TABLE(i) + 5), &map, NULL), 0);
		assert_int_equal(map.gpa.v, TABLE(i) + 5);
	}
	assert_int_equal(m.reads, 4);
	assert_int_equal(tab.reads, 4);
	m.entry[4][10] = 0; /* it is kept */
	assert_int_equal(vp_tables_walk(&tab, &paging, VP_GVA(TEXT + TABLE(10)), &map, NULL), 0);
	vp_tables_init(&tab, tab.mem);
	assert_int_equal(vp_tables_walk(&tab, &paging, VP_GVA(TEXT + TABLE(10)), &map, NULL),
			 -EFAULT);
}

/* How deep a walk got that found nothing, and whether for want of memory. */
static void test_depth(void **state)
{
	static struct memory m;
	static struct vp_tables tab;
	struct vp_map map;

	(void)state;
	make(&m, &tab);
	assert_int_equal(vp_tables_walk(&tab, &paging, VP_GVA(TEXT + TABLE(9)), &map, NULL),
			 -EFAULT);
	assert_int_equal(tab.reads, 4);
	assert_false(tab.lost);
	assert_int_equal(vp_tables_walk(&tab, &paging, VP_GVA(TEXT + (3u << 21)), &map, NULL),
			 -EFAULT);
	assert_int_equal(tab.reads, 3);
	for (unsigned int i = 0; i < 2; i++) { /* what is lost is not kept */
		m.reads = 0;
		assert_int_equal(vp_tables_walk(&tab, &paging, VP_GVA(TEXT + (1u << 21)), &map,
						NULL),
				 -EFAULT);
		assert_true(tab.lost);
		assert_int_equal(m.reads, 1);
	}
	m.entry[3][1] = TABLE(4) | 3;
	vp_tables_init(&tab, tab.mem);
	assert_int_equal(vp_tables_walk(&tab, &paging, VP_GVA(TEXT + (1u << 21)), &map, NULL), 0);
}

/* More tables than are kept: the oldest goes. */
static void test_many(void **state)
{
	static struct memory m;
	static struct vp_tables tab;
	uint64_t entry;

	(void)state;
	make(&m, &tab);
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < VP_TABLES_MAX + 1; i++) {
			m.entry[i][7] = i;
			assert_int_equal(
				vp_tables_read(&tab, VP_GPA(TABLE(i) + 56), &entry, 8, NULL), 0);
			assert_int_equal(entry, i);
		}
	assert_int_equal(m.reads, 2 * (VP_TABLES_MAX + 1));
	assert_int_equal(vp_tables_read(&tab, VP_GPA(TABLE(3)), &entry, 8, NULL), 0);
	assert_int_equal(m.reads, 2 * (VP_TABLES_MAX + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
