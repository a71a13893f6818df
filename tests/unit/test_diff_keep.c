/* SPDX-License-Identifier: Apache-2.0 */
/* What of two compilations of a source goes into a hotfix (patcher/diff). */
#include "unit.h"

#include "base/sha256.h"
#include "diff/emit.h"
#include "diff/why.h"
#include "diff_rig.h"
#include "hotfix/object.h"

static struct vp_blockers blockers, notes;
static struct vp_source source;
static struct vp_keep keep;

static bool in_header(void *arg, const char *function)
{
	(void)arg;
	return !strcmp(function, "inline_h");
}

static bool source_traced;

static void decide(void)
{
	source = (struct vp_source){ .path = "mm/t.c",
				     .in_header = in_header,
				     .traced = source_traced,
				     .before = &before.unit,
				     .after = &after.unit,
				     .code = &code.unit };
	assert_int_equal(vp_keep_open(&source, &keep, &blockers, &notes, &diff_err), 0);
}

static void forget(void)
{
	vp_keep_close(&keep);
	vp_blockers_free(&blockers);
	vp_blockers_free(&notes);
	blockers = notes = (struct vp_blockers){ .n = 0 };
	diff_drop(&before);
	diff_drop(&after);
	diff_drop(&code);
}

static enum vp_fate fate(const char *name)
{
	size_t item = vp_unit_named(&code.unit, name);

	assert_int_not_equal(item, VP_NO_ITEM);
	return keep.fate[item];
}

/* f() calls h(), which is of the same source; both callers of a variable. */
static void make_two(struct compiled *c, const char *h, const uint8_t *f_bytes,
		     const uint8_t *h_bytes)
{
	unsigned int hs, fs, section;

	diff_begin(c);
	section = diff_function(c, h, h_bytes, &hs);
	diff_calls(c, section, diff_outside(c, "g"));
	section = diff_function(c, "f", f_bytes, &fs);
	diff_calls(c, section, hs);
	diff_end(c);
}

static void unchanged_functions_are_the_kernels(void **state)
{
	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", other, plain);
	make_two(&code, "h", other, plain);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("h"), VP_FATE_NONE);
	assert_int_equal(blockers.n, 0);
	forget();
}

static void nothing_is_kept_where_nothing_changes(void **state)
{
	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", plain, plain);
	make_two(&code, "h", other, other); /* the headers of hotfixes make other code */
	decide();
	assert_int_equal(keep.replaces, 0);
	forget();
}

static void new_functions_go_along(void **state)
{
	(void)state;
	diff_begin(&before);
	make_f(&before, plain, "g");
	diff_end(&before);
	make_two(&after, "h", plain, plain);
	make_two(&code, "h", plain, plain);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("h"), VP_FATE_GOES);
	forget();
}

static void callers_of_a_variant_are_replaced(void **state)
{
	(void)state;
	make_two(&before, "h.isra.0", plain, plain);
	make_two(&after, "h.isra.0", plain, other);
	make_two(&code, "h.isra.0", plain, other);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("h.isra.0"), VP_FATE_GOES);
	forget();
	/* And of one that is compiled into its callers where the code comes from. */
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", plain, other);
	diff_begin(&code);
	make_f(&code, other, "g");
	diff_end(&code);
	decide();
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	forget();
}

static void functions_of_headers_go_along(void **state)
{
	(void)state;
	make_two(&before, "inline_h", plain, plain);
	make_two(&after, "inline_h", other, plain);
	make_two(&code, "inline_h", other, plain);
	decide(); /* the kernel may have several */
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("inline_h"), VP_FATE_GOES);
	forget();
	make_two(&before, "inline_h", plain, plain);
	make_two(&after, "inline_h", plain, other);
	make_two(&code, "inline_h", plain, other);
	decide(); /* one that changes: its callers are replaced */
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("inline_h"), VP_FATE_GOES);
	forget();
}

/* f() has a variable's address: mov $X,%rdi */
static void make_user(struct compiled *c, const char *name, uint64_t flags, const void *bytes,
		      bool changed)
{
	static const uint8_t old[] = { 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xc3 };
	static const uint8_t new[] = { 0x48, 0xc7, 0xc6, 0, 0, 0, 0, 0xc3 };
	unsigned int section, v;

	diff_begin(c);
	v = diff_variable(c, name, flags, bytes, 4);
	section = object_section(&c->build, ".text.f", CODE, changed ? new : old, sizeof(old));
	object_symbol(&c->build, "f", STT_FUNC, section, 0, sizeof(old));
	object_reloc(&c->build, section, 3, R_X86_64_32S, v, 0);
	diff_end(c);
}

static void data_stay_the_kernels(void **state)
{
	(void)state;
	make_user(&before, "v", DATA, "abc", false);
	make_user(&after, "v", DATA, "abc", true);
	make_user(&code, "v", DATA, "abc", true);
	decide();
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("v"), VP_FATE_NONE);
	assert_int_equal(blockers.n, 0);
	forget();
	make_user(&before, "v.1", DATA, "abc", false);
	make_user(&after, "v.2", DATA, "xyz", true);
	make_user(&code, "v.2", DATA, "xyz", true);
	decide();
	assert_int_equal(blockers.n, 1);
	assert_string_equal(blockers.list[0].text,
			    "v.2: what it begins with changes: the kernel's own stays as it is");
	forget();
	make_user(&before, "__func__.1", SHF_ALLOC, "abc", false);
	make_user(&after, "__func__.2", SHF_ALLOC, "abc", true);
	make_user(&code, "__func__.2", SHF_ALLOC, "abc", true);
	decide();
	assert_int_equal(blockers.n, 0);
	assert_int_equal(fate("__func__.2"), VP_FATE_GOES);
	forget();
}

static void start_up_code_is_left_out(void **state)
{
	struct compiled *all[] = { &before, &after, &code };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		unsigned int section;

		diff_begin(all[i]);
		section = object_section(&all[i]->build, ".init.text", CODE, i ? other : plain,
					 sizeof(plain));
		object_symbol(&all[i]->build, "setup", STT_FUNC, section, 0, sizeof(plain));
		diff_calls(all[i], section, diff_outside(all[i], "g"));
		diff_end(all[i]);
	}
	decide();
	assert_int_equal(keep.replaces, 0);
	assert_int_equal(notes.n, 1);
	assert_int_equal(blockers.n, 0);
	forget();
}

static void tables_that_the_guest_does_not_see_are_refused(void **state)
{
	(void)state;
	diff_begin(&before);
	make_f(&before, other, "g");
	diff_end(&before);
	make_bug(&after, 1, 1);
	make_bug(&code, 1, 1);
	decide();
	assert_int_equal(blockers.n, 1);
	assert_non_null(strstr(blockers.list[0].text, "f: WARN and BUG are found by a table"));
	forget();
}

/* --- entries of ftrace ------------------------------------------------------------------------ */

/* call __fentry__; call X; ret. And without the first. */
#define TRACED(last)                                     \
	{                                                \
		0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, last \
	}
static const uint8_t traced[] = TRACED(0xc3), traced_other[] = TRACED(0xcc);

/* f(), which ftrace knows, calls h(), which it does not. */
static void make_untraced(struct compiled *c, const char *h, bool changed, bool by_pointer)
{
	static const uint8_t pointer[] = { 0xe8, 0, 0, 0, 0, 0xbe, 0, 0, 0, 0, 0xc3 };
	unsigned int hs, fs, section;

	diff_begin(c);
	section = diff_function(c, h, changed ? traced_other : traced, &hs);
	diff_calls(c, section, diff_outside(c, "g"));
	section = diff_function(c, "f", by_pointer ? pointer : traced, &fs);
	object_reloc(&c->build, section, 1, R_X86_64_PLT32, diff_outside(c, "__fentry__"), -4);
	if (by_pointer)
		object_reloc(&c->build, section, 6, R_X86_64_32S, hs, 0);
	else
		diff_calls(c, section, hs);
	diff_end(c);
}

static void decide_untraced(const char *h, bool by_pointer)
{
	make_untraced(&before, h, false, by_pointer);
	make_untraced(&after, h, true, by_pointer);
	make_untraced(&code, h, true, by_pointer);
	source_traced = true;
	decide();
	source_traced = false;
}

static void a_function_without_an_entry_is_replaced_in_its_callers(void **state)
{
	const struct vp_elf_reloc *r;
	const char *name = "";
	struct vp_ref ref;
	size_t n, f;

	(void)state;
	decide_untraced("inline_local", false); /* local, though not of a header */
	assert_int_equal(blockers.n, 0);
	assert_int_equal(keep.replaces, 1);
	assert_int_equal(fate("f"), VP_FATE_REPLACES);
	assert_int_equal(fate("inline_local"), VP_FATE_GOES);
	f = vp_unit_named(&code.unit, "f");
	r = vp_unit_relocs(&code.unit, code.unit.items[f].section, 5, 5, &n);
	assert_int_equal(n, 1);
	ref = vp_unit_ref(&code.unit, code.unit.items[f].section, r);
	assert_int_equal(vp_keep_meant(&keep, f, &ref, &name), VP_MEANT_OWN); /* not the old one */
	forget();
	decide_untraced("h", false);
	assert_int_equal(blockers.n, 1);
	assert_non_null(strstr(blockers.list[0].text, "h: the kernel has no entry of ftrace's"));
	forget();
	decide_untraced("inline_local", true);
	assert_int_equal(blockers.n, 1);
	assert_non_null(strstr(blockers.list[0].text, "its address is taken in f"));
	forget();
}

/* --- and why -------------------------------------------------------------------------------- */

static void add_why(void *arg, const struct vp_why *w)
{
	snprintf((char *)arg + strlen(arg), 512 - strlen(arg), "%s%s: %s: %s\n", w->function,
		 w->changed ? "*" : "", w->how, w->why);
}

static void says(const char *wanted)
{
	char text[512] = "";

	decide();
	vp_why_each(&keep, add_why, text);
	assert_string_equal(text, wanted);
	forget();
}

static void what_becomes_of_each_is_told(void **state)
{
	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", other, plain);
	make_two(&code, "h", other, plain);
	says("f*: replaced: its code changes\n");
	make_two(&before, "h.isra.0", plain, plain);
	make_two(&after, "h.isra.0", plain, other);
	make_two(&code, "h.isra.0", plain, other);
	says("h.isra.0*: goes along: it changes, and is a variant that the compiler made: its "
	     "users are replaced\n"
	     "f: replaced: it uses h.isra.0, which is a variant that the compiler made\n");
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", plain, other);
	diff_begin(&code);
	make_f(&code, other, "g");
	diff_end(&code);
	says("h*: compiled into others: it changes, and is no function of its own as a hotfix is "
	     "compiled: its users are replaced\n"
	     "f: replaced: it uses h, which is no function of its own as a hotfix is compiled\n");
	diff_begin(&before);
	make_f(&before, plain, "g");
	diff_end(&before);
	make_two(&after, "h", plain, plain);
	make_two(&code, "h", plain, plain);
	says("f*: replaced: its code changes\n"
	     "h: goes along: the kernel has no such function: it is new, or compiled into others "
	     "there\n");
}

/* --- what is written ------------------------------------------------------------------------- */

static const char *exported(void *arg, const char *symbol, bool *yes)
{
	*yes = !strcmp(symbol, "g");
	return *yes ? arg : NULL;
}

/* As a kernel has them: in one section, where calls among them are numbers. */
static void make_whole(struct compiled *c, const uint8_t *h_bytes, unsigned int h_bind)
{
	static uint8_t bytes[3 * FUNCTION_SIZE];
	unsigned int text, h;

	memcpy(bytes, h_bytes, FUNCTION_SIZE);
	memcpy(bytes + FUNCTION_SIZE, plain, FUNCTION_SIZE);
	memcpy(bytes + 2 * FUNCTION_SIZE, plain, FUNCTION_SIZE);
	bytes[FUNCTION_SIZE + 6] = 256 - FUNCTION_SIZE - 10; /* from f to h */
	memset(bytes + FUNCTION_SIZE + 7, 0xff, 3);
	diff_begin(c);
	text = object_section(&c->build, ".text", CODE, bytes, sizeof(bytes));
	h = object_symbol(&c->build, "h", STT_FUNC, text, 0, FUNCTION_SIZE);
	c->build.symbols[h].sym.st_info = (unsigned char)ELF64_ST_INFO(h_bind, STT_FUNC);
	object_symbol(&c->build, "f", STT_FUNC, text, FUNCTION_SIZE, FUNCTION_SIZE);
	object_symbol(&c->build, "last", STT_FUNC, text, 2 * FUNCTION_SIZE, FUNCTION_SIZE);
	object_reloc(&c->build, text, 6, R_X86_64_PLT32, diff_outside(c, "g"), -4);
	object_reloc(&c->build, text, 2 * FUNCTION_SIZE + 6, R_X86_64_PLT32, diff_outside(c, "g"),
		     -4);
	diff_end(c);
}

/* An object, written and read again. */
struct written {
	struct vp_hotfix_object *object;
	struct vp_elf_object *elf;
	const struct vp_hotfix_about *about;
	void *image;
};

static void write_object(struct written *w, struct vp_unit *whole, const char *module)
{
	const struct vp_emit_about about = { "fix",    "1",
					     "a test", "6.1.0-50-amd64",
					     exported, (void *)(uintptr_t)module };
	const struct vp_emit_source from = { &keep, whole };
	void *again;
	size_t len, len2;

	assert_int_equal(vp_emit(&from, 1, &about, &w->image, &len, &diff_err), 0);
	assert_int_equal(vp_emit(&from, 1, &about, &again, &len2, &diff_err), 0);
	assert_int_equal(len, len2);
	assert_memory_equal(w->image, again, len);
	free(again);
	assert_int_equal(vp_elf_object_open(w->image, len, "fix.o", &w->elf, &diff_err), 0);
	assert_int_equal(vp_hotfix_object_open(w->elf, &w->object, &blockers, &diff_err), 0);
	w->about = vp_hotfix_object_about(w->object);
}

static void drop_object(struct written *w)
{
	vp_hotfix_object_close(w->object);
	vp_elf_object_close(w->elf);
	free(w->image);
}

static void the_object_says_what_it_is(void **state)
{
	const struct vp_hotfix_about *a;
	struct compiled whole;
	struct written w;

	(void)state;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", other, other);
	make_two(&code, "h", other, other);
	make_whole(&whole, plain, STB_GLOBAL);
	decide();
	write_object(&w, &whole.unit, "tun");
	a = w.about;
	assert_string_equal(a->name, "fix");
	assert_string_equal(a->releases[0], "6.1.0-50-amd64");
	assert_int_equal(a->nfunctions, 2);
	assert_true(a->functions[0].expects && a->functions[1].expects);
	assert_int_equal(a->functions[0].old.which, VMPOKE_WHICH_GLOBAL);
	assert_int_equal(a->functions[1].old.which, VMPOKE_WHICH_GLOBAL);
	assert_int_equal(a->nsymbols, 1);
	assert_string_equal(a->symbols[0].name, "g");
	assert_string_equal(a->symbols[0].where, "tun");
	assert_int_equal(a->symbols[0].which, VMPOKE_WHICH_MODULE);
	drop_object(&w);
	/* Exported by the kernel itself. */
	write_object(&w, NULL, NULL);
	assert_false(w.about->functions[0].expects);
	assert_int_equal(w.about->symbols[0].which, VMPOKE_WHICH_GLOBAL);
	drop_object(&w);
	diff_drop(&whole);
	forget();
}

static const struct vp_hotfix_function *replaced(const struct written *w, const char *name)
{
	for (size_t i = 0; i < w->about->nfunctions; i++)
		if (!strcmp(w->about->functions[i].old.name, name))
			return &w->about->functions[i];
	fail_msg("%s is not replaced", name);
	return NULL;
}

/* Static functions are told by their code, or by whom else the code before calls. */
static void local_names_are_told_by_code(void **state)
{
	static const uint8_t per_cpu[FUNCTION_SIZE] = { 0x65, 0x8b, 0x34, 0x25, 0,   0,
							0,    0,    0x90, 0x90, 0xc3 };
	const struct vp_hotfix_name *n;
	struct compiled whole;
	struct written w;

	(void)state;
	/* h() is called, and stays the kernel's. */
	diff_all_local = true;
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", other, plain);
	make_two(&code, "h", other, plain);
	make_whole(&whole, plain, STB_LOCAL);
	decide();
	write_object(&w, &whole.unit, NULL);
	assert_int_equal(replaced(&w, "f")->old.which, VMPOKE_WHICH_CODE);
	assert_int_equal(w.about->nsymbols, 1);
	n = &w.about->symbols[0];
	assert_string_equal(n->name, "h");
	assert_int_equal(n->which, VMPOKE_WHICH_USED);
	assert_string_equal(n->use->function.name, "f");
	assert_int_equal(n->use->function.which, VMPOKE_WHICH_GLOBAL); /* make_whole() */
	assert_int_equal(n->use->offset, 6);
	assert_int_equal(n->use->type, R_X86_64_PC32);
	assert_int_equal(n->use->addend, -4);
	assert_memory_equal(n->use->expected, replaced(&w, "f")->expected, VP_SHA256_SIZE);
	drop_object(&w);
	write_object(&w, NULL, NULL);
	assert_int_equal(replaced(&w, "f")->old.which, VMPOKE_WHICH_ONLY);
	assert_int_equal(w.about->nsymbols, 0);
	drop_object(&w);
	diff_drop(&whole);
	forget();
	/* h() is replaced, and its code holds a number that the compiler does not know. */
	make_two(&before, "h", plain, plain);
	make_two(&after, "h", plain, other);
	make_two(&code, "h", plain, other);
	make_whole(&whole, per_cpu, STB_LOCAL);
	decide();
	write_object(&w, &whole.unit, NULL);
	n = &replaced(&w, "h")->old;
	assert_int_equal(n->which, VMPOKE_WHICH_USED);
	assert_string_equal(n->use->function.name, "f");
	drop_object(&w);
	diff_drop(&whole);
	forget();
	diff_all_local = false;
}

/* One name has one meaning in an object: two sources may use a global h(), not each its own. */
static void two_sources_mean_one(void **state)
{
	const struct vp_emit_about about = { "fix", "1", "a test", "6.1", exported, NULL };
	const struct vp_emit_source both[] = { { &keep, NULL }, { &keep, NULL } };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		void *image = NULL;
		size_t len;

		diff_all_local = i;
		make_two(&before, "h", plain, plain);
		make_two(&after, "h", other, plain);
		make_two(&code, "h", other, plain);
		decide();
		assert_int_equal(vp_emit(both, 2, &about, &image, &len, &diff_err),
				 i ? -EOPNOTSUPP : 0);
		assert_int_equal(blockers.n, i);
		if (i)
			assert_non_null(strstr(diff_err.text, "h: two of the changed files"));
		free(image);
		forget();
	}
	diff_all_local = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(local_names_are_told_by_code),
		cmocka_unit_test(two_sources_mean_one),
		cmocka_unit_test(unchanged_functions_are_the_kernels),
		cmocka_unit_test(nothing_is_kept_where_nothing_changes),
		cmocka_unit_test(new_functions_go_along),
		cmocka_unit_test(callers_of_a_variant_are_replaced),
		cmocka_unit_test(functions_of_headers_go_along),
		cmocka_unit_test(data_stay_the_kernels),
		cmocka_unit_test(start_up_code_is_left_out),
		cmocka_unit_test(tables_that_the_guest_does_not_see_are_refused),
		cmocka_unit_test(the_object_says_what_it_is),
		cmocka_unit_test(a_function_without_an_entry_is_replaced_in_its_callers),
		cmocka_unit_test(what_becomes_of_each_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
