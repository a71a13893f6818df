/* SPDX-License-Identifier: Apache-2.0 */
/* A hotfix's bytes for one place in a guest: the label and the code, and their way there. */
#include "fake.h"
#include "hotfix/place.h"
#include "link_rig.h"
#include "unit.h"

#define AT (FAKE_DATA + 0x4000) /* pages of the guest, mapped one behind the other */

static struct vp_err err;

/* A hotfix of two functions, whose own function is called when it is removed. */
struct put {
	struct linked *linked;
	struct vp_linux_function functions[2];
	struct vp_hotfix_fit fit;
	struct vp_hotfix_before before[2];
	struct vp_hotfix_plan plan;
	struct vp_hotfix_placing *p;
	struct vp_arena arena;
};

static void put_new(struct put *k)
{
	memset(k, 0, sizeof(*k));
	link_begin();
	hotfix_function(&link_h, "old2", link_func, 0);
	hotfix_call(&link_h, VMPOKE_WHEN_AFTER_REMOVE, link_func);
	hotfix_call(&link_h, VMPOKE_WHEN_BEFORE_APPLY, link_func);
	k->linked = link_good();
	for (size_t i = 0; i < 2; i++) {
		k->functions[i].start = VP_GVA(0xffffffff81000000 + 0x100 * i);
		k->before[i].site = VP_GVA(k->functions[i].start.v + 4 * i);
		memcpy(k->before[i].bytes, "\x0f\x1f\x44\x00\x00", 5);
	}
	k->before[1].record = VP_GVA(0xffff888000001000);
	k->fit = (struct vp_hotfix_fit){
		.about = vp_hotfix_object_about(k->linked->hotfix),
		.functions = k->functions,
		.link = k->linked->link,
	};
	assert_int_equal(k->fit.about->nfunctions, 2);
	k->plan = (struct vp_hotfix_plan){ .fit = &k->fit,
					   .before = k->before,
					   .object = { 1, 2, 3 },
					   .who = "me@here",
					   .when = 7 };
	assert_int_equal(vp_hotfix_placing_new(&k->plan, &k->p, &err), 0);
}

static void put_free(struct put *k)
{
	vp_hotfix_placing_free(k->p);
	link_close(k->linked);
}

static void link_there(struct put *k)
{
	uint64_t size[VP_ARENA_KINDS], at = AT;

	vp_hotfix_placing_sizes(k->p, size);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++) {
		k->arena.part[i] = (struct vp_arena_part){ VP_GVA(size[i] ? at : 0), size[i] };
		at += size[i];
	}
	assert_int_equal(vp_hotfix_placing_link(k->p, &k->arena, &k->linked->b, &err), 0);
}

static void test_sizes(void **state)
{
	uint64_t size[VP_ARENA_KINDS];
	struct put k;

	(void)state;
	put_new(&k);
	vp_hotfix_placing_sizes(k.p, size);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		assert_int_equal(size[i] - vp_hotfix_link_size(k.linked->link,
							       (enum vp_hotfix_area)i),
				 i == VP_ARENA_TEXT ? 4096 : 0);
	put_free(&k);
}

static int space_of(struct fake *f, struct vp_paging *out)
{
	*out = f->paging;
	return 0;
}

/* What stands in the guest is a label that tells all, and the code that it tells of. */
static void test_there(void **state)
{
	struct fake *f = fake_new();
	struct vp_hotfix_label *l;
	struct vp_paging space;
	struct put k;
	const uint8_t *ram;

	(void)state;
	put_new(&k);
	link_there(&k);
	space_of(f, &space);
	assert_int_equal(f->target.ops->lock(&f->target, &err), 0);
	if (vp_hotfix_placing_write(k.p, &f->target, &space, &err))
		fail_msg("%s", err.text);
	assert_false(f->stopped);
	f->target.ops->unlock(&f->target);
	ram = fake_at(f, AT);
	assert_int_equal(vp_hotfix_label_read(ram, 4096, VP_GVA(AT), &l, &err), 0);
	assert_string_equal(l->name, "fix");
	assert_string_equal(l->who, "me@here");
	assert_int_equal(l->when, 7);
	assert_int_equal(l->object[2], 3);
	assert_int_equal(l->nfunctions, 2);
	assert_int_equal(l->functions[0].replacement.v,
			 vp_hotfix_placing_image(k.p)->redirects[0].replacement.v);
	assert_true(l->functions[0].replacement.v >= AT + 4096);
	assert_int_equal(l->functions[1].site.v, k.before[1].site.v);
	assert_int_equal(l->functions[1].record.v, k.before[1].record.v);
	assert_memory_equal(l->functions[1].before, k.before[1].bytes, 5);
	assert_int_equal(l->ncalls, 1);
	assert_int_equal(l->calls[0].when, VMPOKE_WHEN_AFTER_REMOVE);
	assert_int_equal(l->calls[0].at.v, AT + 4096);
	assert_int_equal(l->areas[VP_AREA_TEXT].at.v, AT);
	assert_int_equal(l->areas[VP_AREA_TEXT].size, k.arena.part[VP_ARENA_TEXT].size);
	assert_memory_equal(ram + 4096, vp_hotfix_placing_image(k.p)->areas[VP_AREA_TEXT].bytes,
			    vp_hotfix_placing_image(k.p)->areas[VP_AREA_TEXT].size);
	free(l);
	put_free(&k);
	fake_free(f);
}

static void test_other_memory(void **state)
{
	struct put k;

	(void)state;
	put_new(&k);
	k.arena.part[VP_ARENA_TEXT] = (struct vp_arena_part){ VP_GVA(AT), 4096 };
	assert_int_equal(vp_hotfix_placing_link(k.p, &k.arena, &k.linked->b, &err), -EINVAL);
	put_free(&k);
}

/* Memory that is not mapped, and a target that does not write: the guest goes on in any case. */
static void test_fails(void **state)
{
	struct fake *f = fake_new();
	struct vp_paging space;
	struct put k;

	(void)state;
	put_new(&k);
	link_there(&k);
	space_of(f, &space);
	f->fail_write = true;
	f->writes_left = 1;
	assert_int_equal(f->target.ops->lock(&f->target, &err), 0);
	assert_int_not_equal(vp_hotfix_placing_write(k.p, &f->target, &space, &err), 0);
	assert_false(f->stopped);
	space.cr3 = 0x3000;
	assert_int_equal(vp_hotfix_placing_write(k.p, &f->target, &space, &err), -EFAULT);
	f->target.ops->unlock(&f->target);
	put_free(&k);
	fake_free(f);
}

/* The old page tables lie in RAM as they were, but no vCPU uses them: nothing is written. */
static void test_reset(void **state)
{
	struct fake *f = fake_new();
	struct vp_paging space;
	struct put k;
	uint8_t was[64];

	(void)state;
	put_new(&k);
	link_there(&k);
	space_of(f, &space);
	memcpy(was, fake_at(f, AT), sizeof(was));
	f->paging.cr3 = 0x3000;
	assert_int_equal(f->target.ops->lock(&f->target, &err), 0);
	assert_int_equal(vp_hotfix_placing_write(k.p, &f->target, &space, &err), -ENXIO);
	assert_false(f->stopped);
	f->target.ops->unlock(&f->target);
	f->paging = space;
	assert_memory_equal(fake_at(f, AT), was, sizeof(was));
	put_free(&k);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	     cmocka_unit_test(test_there),
		cmocka_unit_test(test_other_memory), cmocka_unit_test(test_fails),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
