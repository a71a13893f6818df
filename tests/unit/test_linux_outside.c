/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of code are neither the image's nor a module's. */
#include "unit.h"
#include "linux_build.h"

#define PAGE	   0x1000u
#define PT_MODULES 0xb000u /* of the synthetic guest; its PMD is one page before */

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_linux_range *list;
static size_t n;
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
	free(list);
	list = NULL;
	vp_linux_free(l);
	lg_free(g);
	return 0;
}

static int look(void)
{
	free(list);
	list = NULL;
	err.text[0] = '\0';
	return vp_linux_code_outside(l, &list, &n, &err);
}

/* Pages of the modules' memory, as first and count; ended by a count of 0. */
static void expect(const unsigned int (*wanted)[2])
{
	size_t i;

	assert_int_equal(look(), 0);
	for (i = 0; wanted[i][1]; i++) {
		assert_true(i < n);
		assert_int_equal(list[i].start.v, LG_MODULES + wanted[i][0] * PAGE);
		assert_int_equal(list[i].len, wanted[i][1] * PAGE);
	}
	assert_int_equal(n, i);
}

static void set_pte(unsigned int page, uint64_t pte)
{
	memcpy(g->ram + PT_MODULES + 8u * page, &pte, sizeof(pte));
}

static uint64_t get_pte(unsigned int page)
{
	uint64_t pte;

	memcpy(&pte, g->ram + PT_MODULES + 8u * page, sizeof(pte));
	return pte;
}

static void modules_are_not(void **state)
{
	(void)state;
	/* alpha has the pages 0 and 3, beta 8 */
	expect((const unsigned int[][2]){ { 1, 2 }, { 4, 4 }, { 9, 7 }, { 0, 0 } });
}

static void data_is_not(void **state)
{
	(void)state;
	set_pte(5, get_pte(5) | 1ull << 63);
	set_pte(10, 0);
	expect((const unsigned int[][2]){
		{ 1, 2 }, { 4, 1 }, { 6, 2 }, { 9, 1 }, { 11, 5 }, { 0, 0 } });
}

/* A large page, of which a module has a part. */
static void large(void **state)
{
	uint64_t pde = 0xe3 | (LG_IMAGE_GPA + LG_IMAGE_SIZE); /* the same memory */

	(void)state;
	memcpy(g->ram + PT_MODULES - PAGE, &pde, sizeof(pde));
	expect((const unsigned int[][2]){ { 1, 2 }, { 4, 4 }, { 9, 512 - 9 }, { 0, 0 } });
}

/* All of it, 1.4 GB: nothing of that is read, and it is too much. */
static void too_much(void **state)
{
	uint64_t pde = 0xe3 | (LG_IMAGE_GPA + LG_IMAGE_SIZE);
	uint64_t read;

	(void)state;
	for (unsigned int i = 0; i < 512; i++)
		memcpy(g->ram + PT_MODULES - PAGE + 8u * i, &pde, sizeof(pde));
	read = g->bytes_read;
	assert_int_equal(look(), -E2BIG);
	assert_non_null(strstr(err.text, "256 MB of code outside of its modules"));
	assert_true(g->bytes_read - read <= 16 * PAGE);
	assert_null(list);
}

/* A table that is in no memory maps nothing; one that cannot be read is an error. */
static void tables(void **state)
{
	uint64_t pde = 0x63 | (1ull << 40);

	(void)state;
	memcpy(g->ram + PT_MODULES - PAGE + 8, &pde, sizeof(pde));
	expect((const unsigned int[][2]){ { 1, 2 }, { 4, 4 }, { 9, 7 }, { 0, 0 } });
	g->fail_at = g->reads + 2;
	g->fail_with = -EIO;
	assert_int_equal(look(), -EIO);
	assert_non_null(strstr(err.text, "does not answer"));
}

/* Nothing at all is mapped up to the end of the address space. */
static void empty(void **state)
{
	(void)state;
	memset(g->ram + PT_MODULES - 6 * PAGE + 8 * 511, 0, 8); /* the PUD's last entry */
	expect((const unsigned int[][2]){ { 0, 0 } });
	assert_null(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(modules_are_not, setup, teardown),
		cmocka_unit_test_setup_teardown(data_is_not, setup, teardown),
		cmocka_unit_test_setup_teardown(large, setup, teardown),
		cmocka_unit_test_setup_teardown(too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(empty, setup, teardown),
		cmocka_unit_test_setup_teardown(tables, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
