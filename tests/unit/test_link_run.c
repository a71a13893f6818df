/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linker on what a compiler makes of tests/unit/objects/run.c; the outcome runs in this
 * process, below 2 GB, where the kernel's code model works, too.
 */
#include "unit.h"
#include "hotfix/link.h"
#include "x86/encode.h"

#include <libgen.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

/* A page that the new code reaches: a stub of host_add() and three words of data. */
static uint8_t *world_page;

enum { AT_ADD = 0, AT_COUNTER = 64, AT_LOCAL = 128, AT_OLD = 256 };

static int host_add(int a, int b)
{
	return a + b;
}

static void *low_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
		       -1, 0);

	assert_true(p != MAP_FAILED && (uintptr_t)p + size < 1ull << 31);
	return p;
}

static int make_world(void **state)
{
	uint64_t to = (uint64_t)(uintptr_t)host_add;

	(void)state;
	world_page = low_pages(PAGE);
	memcpy(world_page + AT_ADD, "\x48\xb8", 2); /* movabs $to,%rax; jmp *%rax */
	memcpy(world_page + AT_ADD + 2, &to, 8);
	memcpy(world_page + AT_ADD + 10, "\xff\xe0", 2);
	/* The one page whose data and code stand together is the test's, not the linker's. */
	return mprotect(world_page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int symbol(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err)
{
	static const struct {
		const char *name, *where;
		enum vmpoke_which which;
		unsigned int number, at;
	} known[] = {
		{ "host_add", "", VMPOKE_WHICH_ONLY, 0, AT_ADD },
		{ "host_counter", "", VMPOKE_WHICH_ONLY, 0, AT_COUNTER },
		{ "host_local", "", VMPOKE_WHICH_NTH, 2, AT_LOCAL },
		{ "old_call", "", VMPOKE_WHICH_ONLY, 0, AT_OLD },
		{ "old_static", "", VMPOKE_WHICH_NTH, 2, AT_OLD + 1 },
		{ "old_switch", "kernel/some.c", VMPOKE_WHICH_FILE, 0, AT_OLD + 2 },
		{ "old_text.isra.0", "old_call", VMPOKE_WHICH_BESIDE, 0, AT_OLD + 3 },
		{ "old_pointer", "a_module", VMPOKE_WHICH_MODULE, 0, AT_OLD + 4 },
		{ "old_tail", "", VMPOKE_WHICH_ONLY, 0, AT_OLD + 5 },
		{ "old_local", "", VMPOKE_WHICH_ONLY, 0, AT_OLD + 6 },
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i].name, name->name) && known[i].which == name->which &&
		    known[i].number == name->number && !strcmp(known[i].where, name->where)) {
			*at = VP_GVA((uintptr_t)world_page + known[i].at);
			return 0;
		}
	return vp_err_set(err, -ENOENT, "not in the test's world");
}

static int no_thunk(void *arg, const char *name, vp_gva *at, struct vp_err *err)
{
	(void)arg;
	(void)at;
	return vp_err_set(err, -ENOENT, "no thunk %s", name);
}

static int no_feature(void *arg, unsigned int bit, struct vp_err *err)
{
	(void)arg;
	return vp_err_set(err, -ENOENT, "no feature %u", bit);
}

static int no_pointer(void *arg, vp_gva at, uint64_t *value, struct vp_err *err)
{
	(void)arg;
	(void)value;
	return vp_err_set(err, -EFAULT, "nothing at %#llx", (unsigned long long)at.v);
}

static const struct vp_hotfix_world world = { NULL, symbol, no_thunk, no_feature, no_pointer };

/* --- the object -------------------------------------------------------------------------- */

static uint8_t file[1 << 20];

/* It stands beside this program. */
static size_t read_file(void)
{
	char self[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t len;
	FILE *f;

	assert_true(n > 0);
	self[n] = 0;
	snprintf(path, sizeof(path), "%s/objects/run.o", dirname(self));
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	len = fread(file, 1, sizeof(file), f);
	fclose(f);
	assert_true(len && len < sizeof(file));
	return len;
}

struct linked {
	struct vp_elf_object *elf;
	struct vp_hotfix_object *hotfix;
	struct vp_hotfix_link *link;
	struct vp_blockers b;
};

static void open_link(struct linked *l)
{
	size_t len = read_file();
	struct vp_err err = { "" };

	*l = (struct linked){ 0 };
	assert_int_equal(vp_elf_object_open(file, len, "run.o", &l->elf, &err), 0);
	if (vp_hotfix_object_open(l->elf, &l->hotfix, &l->b, &err) ||
	    vp_hotfix_link_open(l->hotfix, &world, &l->link, &l->b, &err))
		fail_msg("%s", err.text);
	assert_int_equal(l->b.n, 0);
}

static void close_link(struct linked *l)
{
	vp_hotfix_link_close(l->link);
	vp_hotfix_object_close(l->hotfix);
	vp_elf_object_close(l->elf);
	vp_blockers_free(&l->b);
}

/* --- running it ----------------------------------------------------------------------------- */

static const int protection[] = { PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE };

static void load(const struct linked *l, struct vp_hotfix_image *image)
{
	struct vp_blockers b = { 0 };
	vp_gva bases[VP_AREA_COUNT];
	struct vp_err err = { "" };

	for (int i = 0; i < VP_AREA_COUNT; i++) {
		size_t size = vp_hotfix_link_size(l->link, i);

		assert_true(size && size % PAGE == 0);
		bases[i] = VP_GVA((uintptr_t)low_pages(size));
	}
	if (vp_hotfix_link_at(l->link, bases, image, &b, &err))
		fail_msg("%s", err.text);
	for (int i = 0; i < VP_AREA_COUNT; i++) {
		void *to = (void *)(uintptr_t)bases[i].v;

		assert_true(image->areas[i].base.v == bases[i].v);
		memcpy(to, image->areas[i].bytes, image->areas[i].size);
		assert_int_equal(mprotect(to, image->areas[i].size, protection[i]), 0);
	}
}

static void unload(struct vp_hotfix_image *image)
{
	for (int i = 0; i < VP_AREA_COUNT; i++)
		munmap((void *)(uintptr_t)image->areas[i].base.v, image->areas[i].size);
	vp_hotfix_image_free(image);
}

/* The replacement of the function @old. */
static void *entry(const struct vp_hotfix_image *image, const char *old)
{
	for (size_t i = 0; i < image->nredirects; i++)
		if (!strcmp(image->redirects[i].function->old.name, old))
			return (void *)(uintptr_t)image->redirects[i].replacement.v;
	fail_msg("no function %s", old);
	return NULL;
}

static void call_all(const struct vp_hotfix_image *image)
{
	int (*call)(int) = (int (*)(int))entry(image, "old_call");
	int (*statics)(void) = (int (*)(void))entry(image, "old_static");
	int (*choose)(int) = (int (*)(int))entry(image, "old_switch");
	const char *(*text)(int) = (const char *(*)(int))entry(image, "old_text.isra.0");
	int (*pointer)(int) = (int (*)(int))entry(image, "old_pointer");
	int (*tail)(int) = (int (*)(int))entry(image, "old_tail");
	int (*local)(void) = (int (*)(void))entry(image, "old_local");
	int *counter = (int *)(void *)(world_page + AT_COUNTER);

	*counter = 10;
	assert_int_equal(call(3), 16);
	assert_int_equal(*counter, 13);
	assert_int_equal(statics(), 42);
	assert_int_equal(statics(), 44);
	assert_int_equal(choose(0), 100);
	assert_int_equal(choose(1), 8);
	assert_int_equal(choose(2), 46);
	assert_int_equal(choose(3), 13);
	assert_int_equal(choose(4), -7);
	assert_int_equal(choose(5), 50);
	assert_int_equal(choose(6), -1);
	assert_string_equal(text(0), "none");
	assert_string_equal(text(3), "three");
	assert_string_equal(text(4), "many");
	assert_int_equal(pointer(3), 6 + 10);
	assert_int_equal(pointer(4), 13 + 13);
	assert_int_equal(tail(41), 42);
	*(int *)(void *)(world_page + AT_LOCAL) = 77;
	assert_int_equal(local(), 77);
}

/* Twice at different addresses from one link: each has data of its own. */
static void runs(void **state)
{
	struct vp_hotfix_image first, second;
	struct linked l;

	(void)state;
	open_link(&l);
	load(&l, &first);
	load(&l, &second);
	call_all(&first);
	call_all(&second);
	unload(&first);
	unload(&second);
	close_link(&l);
}

/* The tracer's call is a nop; each replacement goes with what it replaces. */
static void entries_are_nops(void **state)
{
	static const char *const replacements[] = { "fix_call", "fix_static",  "fix_switch",
						    "fix_text", "fix_pointer", "fix_tail",
						    "fix_local" };
	struct vp_hotfix_image image;
	struct linked l;

	(void)state;
	open_link(&l);
	load(&l, &image);
	assert_int_equal(image.nredirects, 7);
	for (size_t i = 0; i < image.nredirects; i++) {
		const struct vp_hotfix_redirect *r = &image.redirects[i];
		const uint8_t *code = entry(&image, r->function->old.name);
		uint64_t which = r->old.v - (uintptr_t)world_page - AT_OLD;
		uint8_t nop[5];

		vp_encode_nop(nop, sizeof(nop));
		assert_memory_equal(code, nop, sizeof(nop));
		assert_in_range(which, 0, 6);
		assert_string_equal(r->function->replacement_name, replacements[which]);
	}
	unload(&image);
	close_link(&l);
}

static void calls(void **state)
{
	struct vp_hotfix_image image;
	struct linked l;
	int (*before)(void);

	(void)state;
	open_link(&l);
	load(&l, &image);
	assert_int_equal(image.ncalls, 2);
	assert_true(image.calls[0].call->own &&
		    image.calls[0].call->when == VMPOKE_WHEN_BEFORE_APPLY);
	assert_string_equal(image.calls[0].call->name, "fix_before");
	before = (int (*)(void))(uintptr_t)image.calls[0].at.v;
	assert_int_equal(before(), 0);
	assert_true(!image.calls[1].call->own &&
		    image.calls[1].call->when == VMPOKE_WHEN_AFTER_REMOVE &&
		    image.calls[1].at.v == (uintptr_t)world_page + AT_ADD);
	unload(&image);
	close_link(&l);
}

/* From where nothing of the test's world is in reach. */
static void out_of_reach(void **state)
{
	const vp_gva far[] = { VP_GVA(1ull << 40), VP_GVA((1ull << 40) + (1 << 20)),
			       VP_GVA((1ull << 40) + (2 << 20)) };
	const vp_gva odd[] = { VP_GVA(0x10000), VP_GVA(0x20008), VP_GVA(0x30000) };
	struct vp_hotfix_image image = { 0 };
	struct vp_err err = { "" };
	struct linked l;

	(void)state;
	open_link(&l);
	assert_int_equal(vp_hotfix_link_at(l.link, far, &image, &l.b, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "out of range"));
	assert_true(l.b.n > 5);
	err.text[0] = 0;
	assert_int_equal(vp_hotfix_link_at(l.link, odd, &image, &l.b, &err), -EINVAL);
	assert_non_null(strstr(err.text, "0x20008"));
	assert_null(image.redirects);
	close_link(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs),
		cmocka_unit_test(entries_are_nops),
		cmocka_unit_test(calls),
		cmocka_unit_test(out_of_reach),
	};

	return cmocka_run_group_tests(tests, make_world, NULL);
}
