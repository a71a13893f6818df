/* SPDX-License-Identifier: Apache-2.0 */
/* Memory from the guest's allocator, by each kernel's recipe, against an allocator that is
 * scripted. */
#include "unit.h"

#include "fake_calls.h"
#include "hotfix/arena.h"

#define FN(i)	 (FC_FN + 16 * (i))
#define ALLOC	 FN(0)
#define FREE	 FN(1)
#define RO	 FN(2)
#define RW	 FN(3)
#define X	 FN(4)
#define NX_	 FN(5)
#define ROX	 FN(6)
#define WRITABLE 2ull
#define NO_EXEC	 (1ull << 63)
#define FIRST	 (FAKE_DATA + 0x4000) /* what is given out; pages up to +0xf000 */

/* The kernel's side. */
struct kernel {
	uint64_t next;
	uint64_t given;	     /* rights of new memory: bits of the page table entry */
	uint64_t given_data; /* the same for execmem's data */
	bool typed;
	size_t out;	   /* allocations that are out */
	unsigned int fail; /* the number of the call that fails, 1..; 0: none */
	uint64_t fails_with;
	bool deaf; /* set_memory_*() says 0 and does nothing */
	bool was_wx;
};

static struct vp_err err;

static uint64_t *entry(struct fake_calls *c, uint64_t gva)
{
	/* The tables of fake.c: all of FAKE_TEXT's 2 MB has one page of entries. */
	uint64_t pt = 0, at = 0x1000;
	static const unsigned int shifts[] = { 39, 30, 21 };

	at = c->f->paging.cr3;
	for (size_t i = 0; i < 3; i++) {
		memcpy(&pt, c->f->ram + at + 8 * (gva >> shifts[i] & 511), 8);
		at = pt & 0x000ffffffffff000ull;
	}
	return (uint64_t *)(void *)(c->f->ram + at + 8 * (gva >> 12 & 511));
}

static void change(struct fake_calls *c, uint64_t at, uint64_t pages, uint64_t set, uint64_t clear)
{
	struct kernel *k = c->arg;

	for (uint64_t i = 0; i < pages && !k->deaf; i++) {
		uint64_t *e = entry(c, at + 4096 * i);

		*e = (*e | set) & ~clear;
		k->was_wx |= (*e & WRITABLE) && !(*e & NO_EXEC);
	}
}

static uint64_t alloc(struct fake_calls *c, const struct vp_regs *regs)
{
	struct kernel *k = c->arg;
	uint64_t size = regs->gpr[k->typed ? VP_RSI : VP_RDI], at = k->next;
	bool data = k->typed && regs->gpr[VP_RDI] == 4;

	assert_true(size && size % 4096 == 0);
	assert_true(!k->typed || data || regs->gpr[VP_RDI] == 0);
	k->next += size;
	k->out++;
	change(c, at, size / 4096, data ? k->given_data : k->given,
	       ~(data ? k->given_data : k->given) & (WRITABLE | NO_EXEC));
	return at;
}

static uint64_t kernel_call(struct fake_calls *c, const struct vp_regs *regs)
{
	struct kernel *k = c->arg;
	uint64_t a = regs->gpr[VP_RDI], n = regs->gpr[VP_RSI];

	if (k->fail && !--k->fail)
		return k->fails_with;
	switch (regs->rip) {
	case ALLOC:
		return alloc(c, regs);
	case FREE:
		k->out--;
		break;
	case RO:
		change(c, a, n, 0, WRITABLE);
		break;
	case RW:
		change(c, a, n, WRITABLE, 0);
		break;
	case X:
		change(c, a, n, 0, NO_EXEC);
		break;
	case NX_:
		change(c, a, n, NO_EXEC, 0);
		break;
	case ROX:
		change(c, a, n, 0, WRITABLE | NO_EXEC);
		break;
	default:
		fail_msg("what is called at 0x%llx?", (unsigned long long)regs->rip);
	}
	return 0xffffffff00000000ull; /* an int: the upper half is anything */
}

static struct vp_arena_recipe recipe(const struct kernel *k, bool rox)
{
	return (struct vp_arena_recipe){ .alloc = VP_GVA(ALLOC),
					 .free = VP_GVA(FREE),
					 .typed = k->typed,
					 .data_type = 4,
					 .ro = VP_GVA(RO),
					 .rw = VP_GVA(RW),
					 .x = VP_GVA(X),
					 .nx = VP_GVA(NX_),
					 .rox = VP_GVA(rox ? ROX : 0) };
}

static const enum fc_event script[] = { FC_AT_SAFE, FC_RETURN, FC_RETURN, FC_RETURN, FC_RETURN,
					FC_RETURN,  FC_RETURN, FC_RETURN, FC_RETURN, FC_RETURN,
					FC_RETURN,  FC_RETURN, FC_RETURN, FC_RETURN, FC_END };

static const uint64_t sizes[VP_ARENA_KINDS] = { 5000, 1, 4096 };

static struct fake_calls *start(struct kernel *k)
{
	struct fake_calls *c = fake_calls_new(script);

	k->next = FIRST;
	c->function = kernel_call;
	c->arg = k;
	return c;
}

static bool rights(struct fake_calls *c, vp_gva at, bool writable, bool executable)
{
	uint64_t e = *entry(c, at.v);

	return !!(e & WRITABLE) == writable && !(e & NO_EXEC) == executable;
}

/* The functions that were called, as letters. */
static const char *called(struct fake_calls *c)
{
	static char text[40];

	for (size_t i = 0; i <= c->ncalls; i++)
		text[i] = i < c->ncalls ? "AFowxnXG"[(c->called[i].v - FC_FN) / 16] : 0;
	c->ncalls = 0;
	return text;
}

static void goes_well(struct kernel k, bool rox, const char *get, const char *put)
{
	struct fake_calls *c = start(&k);
	struct vp_arena_recipe r = recipe(&k, rox);
	struct vp_call_site site = fake_calls_site();
	struct vp_arena arena;

	if (vp_arena_alloc(&c->f->target, &site, &r, sizes, NULL, &arena, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(arena.part[VP_ARENA_TEXT].size, 8192);
	assert_int_equal(arena.part[VP_ARENA_RODATA].size, 4096);
	assert_int_equal(arena.part[VP_ARENA_DATA].size, 4096);
	assert_true(rights(c, arena.part[VP_ARENA_TEXT].at, false, true));
	assert_true(rights(c, VP_GVA(arena.part[VP_ARENA_TEXT].at.v + 4096), false, true));
	assert_true(rights(c, arena.part[VP_ARENA_RODATA].at, false, false));
	assert_true(rights(c, arena.part[VP_ARENA_DATA].at, true, false));
	assert_string_equal(called(c), get);
	fake_calls_clean(c);
	fake_calls_again(c, script);
	if (vp_arena_free(&c->f->target, &site, &r, NULL, &arena, NULL, &err))
		fail_msg("%s", err.text);
	assert_string_equal(called(c), put);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		assert_int_equal(arena.part[i].size, 0);
	assert_int_equal(k.out, 0);
	assert_false(k.was_wx);
	fake_calls_clean(c);
	fake_calls_free(c);
}

static void test_recipes(void **state)
{
	const uint64_t data = WRITABLE | NO_EXEC;

	(void)state;
	/* 5.10, 6.1; 6.12; 7.x */
	goes_well((struct kernel){ .given = data }, false, "AoxAoA", "nwFwFF");
	goes_well((struct kernel){ .given = data, .given_data = data, .typed = true }, true,
		  "AXAoA", "FwFF");
	goes_well((struct kernel){ .given = 0, .given_data = data, .typed = true }, true, "AAoA",
		  "FwFF");
}

/* Whichever call fails: nothing is left, nothing was writable and executable. */
static void test_fails_half_way(void **state)
{
	const uint64_t data = WRITABLE | NO_EXEC;

	(void)state;
	for (unsigned int i = 1; i <= 6; i++) {
		struct kernel k = { .given = data, .fail = i };
		struct vp_arena_recipe r = recipe(&k, false);
		struct vp_call_site site = fake_calls_site();
		struct vp_arena arena;
		struct fake_calls *c = start(&k);
		bool allocates = i == 1 || i == 4 || i == 6;

		k.fails_with = allocates ? 0 : (uint32_t)-ENOMEM;
		assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, sizes, NULL, &arena, NULL,
						&err),
				 allocates ? -ENOMEM : -EIO);
		assert_int_equal(k.out, 0);
		assert_false(k.was_wx);
		for (size_t n = 0; n < VP_ARENA_KINDS; n++)
			assert_int_equal(arena.part[n].size, 0);
		fake_calls_clean(c);
		fake_calls_free(c);
	}
}

static void refused(struct kernel k, int code, const char *part)
{
	struct vp_arena_recipe r = recipe(&k, false);
	struct vp_call_site site = fake_calls_site();
	struct vp_arena arena;
	struct fake_calls *c = start(&k);

	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, sizes, NULL, &arena, NULL, &err),
			 code);
	if (!strstr(err.text, part))
		fail_msg("'%s' lacks '%s'", err.text, part);
	assert_int_equal(k.out, 0);
	fake_calls_clean(c);
	fake_calls_free(c);
}

static void test_odd_kernels(void **state)
{
	(void)state;
	refused((struct kernel){ .given = WRITABLE }, -EPERM, "writable and executable");
	refused((struct kernel){ .given = WRITABLE | NO_EXEC, .typed = true }, -EPERM, "rights");
	refused((struct kernel){ .given = NO_EXEC }, -EPERM, "rights that are not known");
	refused((struct kernel){ .fail = 1, .fails_with = 0x1234 }, -EIO, "no address");
	refused((struct kernel){ .fail = 1, .fails_with = (uint64_t)-ENOMEM }, -EIO, "no address");
}

/* set_memory_*() that says it has, and has not. */
static void test_not_protected(void **state)
{
	struct kernel k = { .given = WRITABLE | NO_EXEC, .deaf = true };

	(void)state;
	refused(k, -EPERM, "did not protect");
}

static void test_free_is_refused(void **state)
{
	struct kernel k = { .given = WRITABLE | NO_EXEC };
	struct vp_arena_recipe r = recipe(&k, false);
	struct vp_call_site site = fake_calls_site();
	struct fake_calls *c = start(&k);
	struct vp_arena arena;

	(void)state;
	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, sizes, NULL, &arena, NULL, &err),
			 0);
	fake_calls_again(c, script);
	k.fail = 2; /* behind "nx" */
	k.fails_with = (uint32_t)-EINVAL;
	assert_int_equal(vp_arena_free(&c->f->target, &site, &r, NULL, &arena, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "set_memory_rw"));
	assert_int_equal(arena.part[VP_ARENA_TEXT].size, 8192);
	assert_int_equal(arena.part[VP_ARENA_RODATA].size, 0);
	assert_int_equal(arena.part[VP_ARENA_DATA].size, 0);
	assert_int_equal(k.out, 1);
	fake_calls_clean(c);
	fake_calls_free(c);
}

/* What a witness heard. */
struct heard {
	char text[256];
	unsigned int fails; /* the one that fails, 1..; 0: none */
};

static int hear(void *arg, const char *what, unsigned int nr, enum vp_arena_kind kind, vp_gva at,
		struct vp_err *why)
{
	struct heard *h = arg;
	size_t n = strlen(h->text);

	snprintf(h->text + n, sizeof(h->text) - n, "%s%u:%d+0x%llx ", what, nr, (int)kind,
		 (unsigned long long)(at.v - FIRST));
	return h->fails && !--h->fails ? vp_err_set(why, -ENOSPC, "no room") : 0;
}

static int hear_got(void *arg, unsigned int nr, enum vp_arena_kind kind, vp_gva at, uint64_t size,
		    struct vp_err *why)
{
	assert_int_equal(size % 4096, 0);
	return hear(arg, "+", nr, kind, at, why);
}

static int hear_freed(void *arg, unsigned int nr, enum vp_arena_kind kind, vp_gva at,
		      struct vp_err *why)
{
	return hear(arg, "-", nr, kind, at, why);
}

/* Whoever is told can say at any time what is out; if he cannot take it down, it is freed. */
static void test_witness(void **state)
{
	struct heard h = { .fails = 0 };
	const struct vp_arena_witness w = { hear_got, hear_freed, &h };
	struct kernel k = { .given = WRITABLE | NO_EXEC };
	struct vp_arena_recipe r = recipe(&k, false);
	struct vp_call_site site = fake_calls_site();
	struct fake_calls *c = start(&k);
	struct vp_arena arena;

	(void)state;
	r.witness = &w;
	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, sizes, NULL, &arena, NULL, &err),
			 0);
	assert_string_equal(h.text, "+0:0+0x0 +3:1+0x2000 +5:2+0x3000 ");
	h.text[0] = '\0';
	fake_calls_again(c, script);
	assert_int_equal(vp_arena_free(&c->f->target, &site, &r, NULL, &arena, NULL, &err), 0);
	assert_string_equal(h.text, "-2:0+0x0 -4:1+0x2000 -5:2+0x3000 ");
	assert_int_equal(k.out, 0);
	h.text[0] = '\0';
	h.fails = 2;
	fake_calls_again(c, script);
	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, sizes, NULL, &arena, NULL, &err),
			 -ENOSPC);
	assert_int_equal(k.out, 0);
	fake_calls_clean(c);
	fake_calls_free(c);
}

static void test_sizes(void **state)
{
	static const uint64_t huge[VP_ARENA_KINDS] = { 0, 0, VP_ARENA_MAX + 1 },
			      one[VP_ARENA_KINDS] = { 0, 7, 0 }, none[VP_ARENA_KINDS] = { 0 };
	struct kernel k = { .given = WRITABLE | NO_EXEC };
	struct vp_arena_recipe r = recipe(&k, false);
	struct vp_call_site site = fake_calls_site();
	struct fake_calls *c = start(&k);
	struct vp_arena arena;

	(void)state;
	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, huge, NULL, &arena, NULL, &err),
			 -EINVAL);
	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, none, NULL, &arena, NULL, &err),
			 0);
	assert_int_equal(c->ncalls, 0);
	fake_calls_again(c, script);
	assert_int_equal(vp_arena_alloc(&c->f->target, &site, &r, one, NULL, &arena, NULL, &err),
			 0);
	assert_string_equal(called(c), "Ao");
	assert_int_equal(arena.part[VP_ARENA_RODATA].at.v, FIRST);
	fake_calls_clean(c);
	fake_calls_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipes),		cmocka_unit_test(test_fails_half_way),
		cmocka_unit_test(test_odd_kernels),	cmocka_unit_test(test_not_protected),
		cmocka_unit_test(test_free_is_refused), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_witness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
