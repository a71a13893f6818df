/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "hotfix_build.h"
#include "hotfix/object.h"

#define RX (SHF_ALLOC | SHF_EXECINSTR)

static struct hotfix_build h;
static unsigned int text, data, fixed, outside;

/* A hotfix without notes, and the symbols that they may refer to. */
static void begin(void)
{
	hotfix_begin(&h);
	text = object_section(&h.o, ".text", RX, "\xc3\xc3\xc3\xc3", 4);
	data = object_section(&h.o, ".data", SHF_ALLOC | SHF_WRITE, "data", 4);
	fixed = object_symbol(&h.o, "fixed", STT_FUNC, text, 0, 2);
	object_symbol(&h.o, "data", STT_OBJECT, data, 0, 4);
	outside = object_symbol(&h.o, "resched", STT_NOTYPE, SHN_UNDEF, 0, 0);
}

struct opened {
	struct vp_elf_object *elf;
	struct vp_hotfix_object *hotfix;
	struct vp_blockers b;
	struct vp_err err;
};

static int open_it(struct opened *o)
{
	*o = (struct opened){ 0 };
	hotfix_finish(&h);
	assert_int_equal(vp_elf_object_open(h.o.bytes, h.o.len, "FILE", &o->elf, NULL), 0);
	return vp_hotfix_object_open(o->elf, &o->hotfix, &o->b, &o->err);
}

static void close_it(struct opened *o)
{
	vp_hotfix_object_close(o->hotfix);
	vp_elf_object_close(o->elf);
	vp_blockers_free(&o->b);
}

static void good_notes(void **state)
{
	const struct vp_hotfix_about *a;
	struct opened o;

	(void)state;
	begin();
	hotfix_good_info(&h);
	hotfix_info(&h, "");
	hotfix_info(&h, "for=6.1.0-56-amd64");
	hotfix_info(&h, "for=build-id:0123456789abcdef");
	hotfix_function(&h, "one", fixed, 0);
	hotfix_function(&h, "two", fixed, 2)->expected[31] = 7;
	hotfix_function_where(&h, VMPOKE_WHICH_NTH, NULL, 2);
	hotfix_function(&h, "two", fixed, 0);
	hotfix_function_where(&h, VMPOKE_WHICH_FILE, "net/ipv4/arp.c", 0);
	hotfix_symbol(&h, "cache", VMPOKE_WHICH_MODULE, "nf_tables", 0);
	hotfix_call(&h, VMPOKE_WHEN_AFTER_APPLY, outside);
	hotfix_call(&h, VMPOKE_WHEN_BEFORE_REMOVE, fixed);
	assert_int_equal(open_it(&o), 0);
	assert_int_equal(o.b.n, 0);
	a = vp_hotfix_object_about(o.hotfix);
	assert_ptr_equal(vp_hotfix_object_elf(o.hotfix), o.elf);
	assert_string_equal(a->name, "fix");
	assert_string_equal(a->version, "1");
	assert_string_equal(a->description, "a fix");
	assert_int_equal(a->nreleases, 2);
	assert_string_equal(a->releases[1], "6.1.0-56-amd64");
	assert_int_equal(a->nbuild_ids, 1);
	assert_string_equal(a->build_ids[0], "0123456789abcdef");

	assert_int_equal(a->nfunctions, 3);
	assert_string_equal(a->functions[0].old.name, "one");
	assert_string_equal(a->functions[0].old.where, "");
	assert_string_equal(a->functions[0].replacement_name, "fixed");
	assert_true(!a->functions[0].expects && !a->functions[0].replacement.offset &&
		    a->functions[0].replacement.section == text);
	assert_true(a->functions[1].expects && a->functions[1].expected[31] == 7);
	for (size_t i = 0; i < 3; i++)
		assert_memory_equal((const uint8_t *)h.o.bytes + a->functions[i].expected_at,
				    a->functions[i].expected, sizeof(a->functions[i].expected));
	assert_int_equal(a->functions[1].expected_at - a->functions[0].expected_at,
			 sizeof(struct vmpoke_function));
	assert_true(a->functions[1].old.which == VMPOKE_WHICH_NTH &&
		    a->functions[1].old.number == 2 && a->functions[1].replacement.offset == 2);
	assert_string_equal(a->functions[1].replacement_name, "");
	assert_string_equal(a->functions[2].old.where, "net/ipv4/arp.c");

	assert_int_equal(a->nsymbols, 1);
	assert_true(a->symbols[0].which == VMPOKE_WHICH_MODULE);
	assert_string_equal(a->symbols[0].where, "nf_tables");
	assert_int_equal(a->ncalls, 2);
	assert_true(a->calls[0].own && a->calls[0].place.section == text);
	assert_true(!a->calls[1].own && a->calls[1].when == VMPOKE_WHEN_AFTER_APPLY);
	assert_string_equal(a->calls[1].name, "resched");

	assert_true(vp_hotfix_object_is_for(o.hotfix, "6.1", NULL));
	assert_true(vp_hotfix_object_is_for(o.hotfix, "6.2", "0123456789ABCDEF"));
	assert_false(vp_hotfix_object_is_for(o.hotfix, "6.1.0", "0123456789abcdee"));
	assert_false(vp_hotfix_object_is_for(o.hotfix, NULL, NULL));
	close_it(&o);
	vp_hotfix_object_close(NULL);
}

/* How symbols are told by what stands in the kernel's code. */
static void told_by_code(void **state)
{
	const struct vp_hotfix_about *a;
	struct opened o;
	struct vmpoke_use *use;

	(void)state;
	begin();
	hotfix_good_info(&h);
	memset(hotfix_function(&h, "twin", fixed, 0)->expected, 1, 32);
	hotfix_function_where(&h, VMPOKE_WHICH_CODE, "tun", 0);
	memset(hotfix_function(&h, "twin", fixed, 0)->expected, 2, 32);
	hotfix_function_where(&h, VMPOKE_WHICH_CODE, "tun", 0);
	hotfix_function(&h, "kern_path", fixed, 0)->which = VMPOKE_WHICH_GLOBAL;
	hotfix_symbol(&h, "cache", VMPOKE_WHICH_USED, "tun", 2);
	hotfix_use(&h, "other", R_X86_64_64);
	use = hotfix_use(&h, "user", R_X86_64_PC32);
	use->which = VMPOKE_WHICH_CODE;
	use->offset = 6;
	use->addend = -4;
	use->expected[31] = 9;
	assert_int_equal(open_it(&o), 0);
	a = vp_hotfix_object_about(o.hotfix);
	assert_int_equal(a->nfunctions, 3);
	assert_ptr_equal(a->functions[1].old.expected, a->functions[1].expected);
	assert_string_equal(a->functions[1].old.where, "tun");
	assert_null(a->functions[2].old.expected);
	assert_int_equal(a->functions[2].old.which, VMPOKE_WHICH_GLOBAL);
	assert_int_equal(a->symbols[0].which, VMPOKE_WHICH_USED);
	assert_string_equal(a->symbols[0].use->function.name, "user");
	assert_int_equal(a->symbols[0].use->function.which, VMPOKE_WHICH_CODE);
	assert_int_equal(a->symbols[0].use->function.expected[31], 9);
	assert_int_equal(a->symbols[0].use->offset, 6);
	assert_int_equal(a->symbols[0].use->type, R_X86_64_PC32);
	assert_int_equal(a->symbols[0].use->addend, -4);
	close_it(&o);
}

/* --- refusals ----------------------------------------------------------------------------- */

static void refused_as(const char *why)
{
	struct opened o;

	assert_int_equal(open_it(&o), -ENOEXEC);
	assert_null(o.hotfix);
	assert_string_equal(o.err.text + strlen("FILE: "), o.b.list[0].text);
	for (size_t i = 0; i < vp_blockers_kept(&o.b); i++)
		if (strstr(o.b.list[i].text, why)) {
			close_it(&o);
			return;
		}
	fail_msg("\"%s\" does not say \"%s\"", o.err.text, why);
}

/* An object with good notes, and with @more. */
#define REFUSED(why, more)                            \
	do {                                          \
		begin();                              \
		hotfix_good_info(&h);                 \
		hotfix_function(&h, "one", fixed, 0); \
		more;                                 \
		refused_as(why);                      \
	} while (0)

/* An object whose info is all of @texts. */
static void refused_info(const char *why, const char *const *texts)
{
	begin();
	hotfix_function(&h, "one", fixed, 0);
	for (; *texts; texts++)
		hotfix_info(&h, *texts);
	refused_as(why);
}

#define INFO(why, ...) refused_info(why, (const char *const[]){ __VA_ARGS__, NULL })

static void refused_infos(void **state)
{
	char longest[400];

	(void)state;
	INFO("metadata missing: no section", NULL);
	INFO("no format", "name=a", "version=1", "description=d", "for=6");
	INFO("no name", "format=1", "version=1", "description=d", "for=6");
	INFO("no version", "format=1", "name=a", "description=d", "for=6");
	INFO("no description", "format=1", "name=a", "version=1", "for=6");
	INFO("which kernel", "format=1", "name=a", "version=1", "description=d");
	REFUSED("two of key name", hotfix_info(&h, "name=b"));
	REFUSED("two of key format", hotfix_info(&h, "format=1"));
	REFUSED("two of key description", hotfix_info(&h, "description=b"));
	REFUSED("unknown text \"author=me\"", hotfix_info(&h, "author=me"));
	REFUSED("unknown text \"nothing\"", hotfix_info(&h, "nothing"));
	REFUSED("neither a release", hotfix_info(&h, "for="));
	REFUSED("neither a release", hotfix_info(&h, "for=6.1\n"));
	REFUSED("not a build-id", hotfix_info(&h, "for=build-id:012345678"));
	REFUSED("not a build-id", hotfix_info(&h, "for=build-id:0123456x"));
	REFUSED("more than 64 kernels", for (int i = 0; i < 64; i++) hotfix_info(&h, "for=6"));
	INFO("this vmpoke knows format 1", "format=2");
	INFO("the name holds control characters", "name=a\nb");
	INFO("the name holds control characters", "name=a\x1b[1m");
	INFO("only A-Z", "name=a b");
	INFO("only A-Z", "version=1/2");
	INFO("1 to 63", "name=");
	INFO("the description holds control characters", "description=a\nb");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	memcpy(longest, "name=", 5);
	INFO("1 to 63", longest);
	memcpy(longest, "description=", 12);
	INFO("more than 255", longest);
	REFUSED("does not end", h.info[h.info_len++] = 'x');
	REFUSED("is relocated", object_reloc(&h.o, h.sec_info, 0, R_X86_64_64, fixed, 0));
}

static void refused_records(void **state)
{
	(void)state;
	begin();
	hotfix_good_info(&h);
	refused_as("it replaces no function");
	REFUSED("function one is replaced twice", hotfix_function(&h, "one", fixed, 2));
	REFUSED("has no name", hotfix_function(&h, NULL, fixed, 0));
	REFUSED("has no name", hotfix_function(&h, "", fixed, 0));
	REFUSED("holds control characters", hotfix_function(&h, "a\tb", fixed, 0));
	REFUSED("\"a.isra .0\" holds a space", hotfix_function(&h, "a.isra .0", fixed, 0));
	REFUSED("no code of this object", hotfix_function(&h, "two", 0, 0));
	REFUSED("no code of this object", hotfix_function(&h, "two", outside, 0));
	REFUSED("no code of this object", hotfix_function(&h, "two", fixed, 4));
	REFUSED("no code of this object", hotfix_function(&h, "two", fixed, -1));
	REFUSED("no code of this object", hotfix_function(&h, "two", fixed + 1, 0)); /* data */
	REFUSED("unknown flags", hotfix_function(&h, "two", fixed, 0)->flags = 1);
	REFUSED("a number is for", hotfix_function(&h, "two", fixed, 0)->number = 1);
	REFUSED("unknown way", hotfix_function(&h, "two", fixed, 0)->which = 8);
	REFUSED("a number is for", hotfix_function(&h, "two", fixed, 0)->which = VMPOKE_WHICH_NTH);
	REFUSED("the place does not fit",
		hotfix_function(&h, "two", fixed, 0)->which = VMPOKE_WHICH_FILE);
	REFUSED("the place does not fit", hotfix_function(&h, "two", fixed, 0);
		hotfix_function_where(&h, VMPOKE_WHICH_ONLY, "somewhere", 0));
	REFUSED("the place does not fit", hotfix_function(&h, "two", fixed, 0);
		hotfix_function_where(&h, VMPOKE_WHICH_GLOBAL, "somewhere", 0));
	REFUSED("function two: told by code, which it lacks",
		hotfix_function(&h, "two", fixed, 0)->which = VMPOKE_WHICH_CODE);
	REFUSED("symbol two: only functions are told by code",
		hotfix_symbol(&h, "two", VMPOKE_WHICH_CODE, NULL, 0));
	REFUSED("odd relocation", object_reloc(&h.o, h.sec_functions, 24, R_X86_64_64, fixed, 0));
	REFUSED("odd relocation", object_reloc(&h.o, h.sec_functions, 0, R_X86_64_64, fixed, 0));
	REFUSED("odd relocation", object_reloc(&h.o, h.sec_functions, 16, R_X86_64_PC32, fixed, 0));
	REFUSED("not in .vmpoke.strings",
		object_reloc(&h.o, h.sec_functions, 16, R_X86_64_64, fixed, 0));
	REFUSED("not in .vmpoke.strings",
		object_reloc(&h.o, h.sec_functions, 16, R_X86_64_64, h.string_symbol, 4));
	REFUSED("several sections .vmpoke.info",
		object_section(&h.o, ".vmpoke.info", SHF_ALLOC, "x", 2));
	REFUSED("unknown section .vmpoke.more",
		object_section(&h.o, ".vmpoke.more", SHF_ALLOC, "x", 2));
	REFUSED("symbol two is told apart twice", hotfix_symbol(&h, "two", 2, NULL, 1);
		hotfix_symbol(&h, "two", 2, NULL, 2));
	REFUSED("there is no use 2 of it", hotfix_use(&h, "user", R_X86_64_64);
		hotfix_symbol(&h, "two", VMPOKE_WHICH_USED, NULL, 2));
	REFUSED("a number is for", hotfix_use(&h, "user", R_X86_64_64);
		hotfix_symbol(&h, "two", VMPOKE_WHICH_USED, NULL, 0));
	REFUSED("use 0 is of an unknown type", hotfix_use(&h, "user", R_X86_64_32));
	REFUSED("use 0: its function cannot be told apart so",
		hotfix_use(&h, "user", R_X86_64_64)->which = VMPOKE_WHICH_BESIDE);
	REFUSED("a number is for", hotfix_use(&h, "user", R_X86_64_64)->which = VMPOKE_WHICH_USED);
	REFUSED("use 0 has no name", hotfix_use(&h, "", R_X86_64_64));
	REFUSED("unknown moment", hotfix_call(&h, 0, fixed));
	REFUSED("unknown moment", hotfix_call(&h, 5, fixed));
	REFUSED("unknown moment", hotfix_call(&h, 1, 0));
	REFUSED("unknown moment", hotfix_call(&h, 1, fixed)->flags = 1);
	REFUSED("one place in the order", hotfix_call(&h, 1, fixed);
		hotfix_call(&h, 2, fixed)->order = 100);
	REFUSED("of no function", hotfix_call(&h, 1, fixed + 1));
}

static void refused_sizes(void **state)
{
	static const uint8_t zeroes[20000];
	char name[600];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[512] = 0;
	REFUSED("longer than 511 bytes", hotfix_function(&h, name, fixed, 0));
	begin();
	h.o.sections[h.sec_functions].name = "none";
	object_section(&h.o, ".vmpoke.functions", SHF_ALLOC, zeroes, 79);
	refused_as("odd size of section .vmpoke.functions");
	begin();
	h.o.sections[h.sec_functions].name = "none";
	object_section(&h.o, ".vmpoke.functions", SHF_ALLOC, NULL, 80);
	refused_as("odd size of section .vmpoke.functions");
	begin();
	h.o.sections[h.sec_symbols].name = "none";
	object_section(&h.o, ".vmpoke.calls2", 0, zeroes, 8);
	refused_as("unknown section .vmpoke.calls2");
	begin();
	h.o.sections[h.sec_calls].name = "none";
	object_section(&h.o, ".vmpoke.calls", SHF_ALLOC, zeroes, 33 * sizeof(struct vmpoke_call));
	refused_as("more than 32 in section .vmpoke.calls");
}

/* All that is wrong is told, each once. */
static void all_of_them(void **state)
{
	struct opened o;

	(void)state;
	begin();
	hotfix_info(&h, "format=9");
	hotfix_info(&h, "format=9");
	hotfix_info(&h, "name=?");
	hotfix_function(&h, "one", outside, 0);
	hotfix_call(&h, 9, fixed);
	assert_int_equal(open_it(&o), -ENOEXEC);
	assert_int_equal(vp_blockers_kept(&o.b), o.b.n);
	assert_int_equal(o.b.n, 6); /* format, twice, name, no version, the replacement, the call */
	close_it(&o);
}

static void blockers(void **state)
{
	struct vp_blockers b = { 0 };

	(void)state;
	assert_int_equal(vp_blockers_kept(&b), 0);
	vp_blockers_add(&b, "a\nb %d", 1);
	assert_string_equal(b.list[0].text, "a?b 1");
	vp_blockers_add(&b, "a\nb %d", 1);
	assert_true(b.n == 1 && b.added == 2);
	for (int i = 0; i < 200; i++)
		vp_blockers_add(&b, "number %d", i);
	assert_true(b.n == 201 && b.added == 202 && vp_blockers_kept(&b) == VP_BLOCKERS_KEPT);
	vp_blockers_free(&b);
	assert_int_equal(vp_blockers_kept(&b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_notes),	 cmocka_unit_test(told_by_code),
		cmocka_unit_test(refused_infos), cmocka_unit_test(refused_records),
		cmocka_unit_test(refused_sizes), cmocka_unit_test(all_of_them),
		cmocka_unit_test(blockers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
