/* SPDX-License-Identifier: Apache-2.0 */
/* What each kernel has for calls, and for memory. */
#include "unit.h"

#include "hotfix/arena.h"
#include "linux/internal.h"
#include "linux_build.h"

static struct linux_guest *g;
static struct vp_linux *l;
static struct vp_err err;

#define PAD 0x9100u /* an offset in the image, behind its first pieces */

/* A guest that has these symbols, too; the i-th at 0x100 * i. */
static void boot(const char *const *names, size_t n, bool btf)
{
	struct vp_symbol symbols[32];
	struct vp_symtab *more = NULL, *all = NULL;

	g = lg_new(&(struct lg_opts){
		.layout = LG_6_1, .slide = 0x200000, .modules = true, .no_btf = !btf });
	if (vp_linux_open(&g->target, NULL, &l, &err))
		fail_msg("%s", err.text);
	memset(lg_image(g, 0), 0x90, 0x10000);
	memset(lg_image(g, 0x3ffd), 0xcc, 6); /* too few */
	memset(lg_image(g, PAD), 0xcc, 16);
	for (size_t i = 0; i < n; i++)
		symbols[i] = (struct vp_symbol){ names[i], VP_GVA(g->text + 0x100 * (i + 1)) };
	symbols[n++] = (struct vp_symbol){ "_stext", VP_GVA(g->text) };
	assert_int_equal(vp_symtab_make(symbols, n, &more, &err), 0);
	assert_int_equal(vp_symtab_merge(l->symbols, more, NULL, &all, &err), 0);
	vp_symtab_free(more);
	vp_symtab_free(l->all);
	l->all = all;
}

static void end(void)
{
	vp_linux_free(l);
	lg_free(g);
}

static uint64_t at(size_t i)
{
	return g->text + 0x100 * (i + 1);
}

static void test_site(void **state)
{
	static const char *const six[] = { "__x64_sys_read", "x64_sys_call", "vmstat_shepherd",
					   "psi_avgs_work", "oops_enter" },
				 *const five[] = { "__x64_sys_write", "__x64_sys_read",
						   "vmstat_shepherd" },
				 *const none[] = { "oops_enter", "schedule" };
	struct vp_call_site site;

	(void)state;
	boot(six, 5, true);
	assert_int_equal(vp_call_site_find(l, &site, &err), 0);
	assert_int_equal(site.nsafe, 3);
	assert_int_equal(site.safe[0].v, at(1));
	assert_int_equal(site.safe[1].v, at(2));
	assert_int_equal(site.safe[2].v, at(3));
	assert_int_equal(site.oops.v, at(4));
	/* An int3 among int3s. */
	assert_in_range(site.pad.v, g->text + PAD + 2, g->text + PAD + 13);
	memset(lg_image(g, PAD), 0x90, 16);
	assert_int_equal(vp_call_site_find(l, &site, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "padding"));
	end();
	boot(five, 3, true);
	assert_int_equal(vp_call_site_find(l, &site, &err), 0);
	assert_int_equal(site.nsafe, 3);
	assert_int_equal(site.safe[0].v, at(1));
	assert_int_equal(site.safe[1].v, at(0));
	assert_int_equal(site.oops.v, 0);
	end();
	boot(none, 2, true);
	assert_int_equal(vp_call_site_find(l, &site, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "no point"));
	end();
}

#define SETS "set_memory_ro", "set_memory_rw", "set_memory_x", "set_memory_nx"

static void test_recipes(void **state)
{
	static const char *const six[] = { SETS, "module_alloc", "module_memfree" },
				 *const new[] = { SETS, "execmem_alloc", "execmem_free",
						  "set_memory_rox" };
	struct vp_arena_recipe r;

	(void)state;
	boot(six, 6, true);
	assert_int_equal(vp_arena_recipe_find(l, &r, &err), 0);
	assert_false(r.typed);
	assert_int_equal(r.ro.v, at(0));
	assert_int_equal(r.rw.v, at(1));
	assert_int_equal(r.x.v, at(2));
	assert_int_equal(r.nx.v, at(3));
	assert_int_equal(r.alloc.v, at(4));
	assert_int_equal(r.free.v, at(5));
	assert_int_equal(r.rox.v, 0);
	end();
	boot(new, 7, true);
	if (vp_arena_recipe_find(l, &r, &err))
		fail_msg("%s", err.text);
	assert_true(r.typed);
	assert_int_equal(r.text_type, 0);
	assert_int_equal(r.data_type, 4);
	assert_int_equal(r.alloc.v, at(4));
	assert_int_equal(r.rox.v, at(6));
	end();
	boot(new, 7, false);
	assert_int_equal(vp_arena_recipe_find(l, &r, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "BTF"));
	end();
}

/* Each name that is needed, missing. */
static void test_lacking(void **state)
{
	static const char *const names[] = { SETS, "module_alloc", "module_memfree" };
	struct vp_arena_recipe r;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		const char *left[6];
		size_t n = 0;

		for (size_t k = 0; k < 6; k++)
			if (k != i)
				left[n++] = names[k];
		boot(left, n, true);
		assert_int_equal(vp_arena_recipe_find(l, &r, &err), -EOPNOTSUPP);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_site),
		cmocka_unit_test(test_recipes),
		cmocka_unit_test(test_lacking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
