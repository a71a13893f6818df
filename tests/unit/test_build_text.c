/* SPDX-License-Identifier: Apache-2.0 */
/* What is pure of patcher/build: names, paths, and what the user reads (said.c). */
#include "unit.h"

#include "build/kbuild.h"
#include "build/said.h"

static void expect_name(const char *source, const char *want)
{
	char name[64] = "?";

	if (!want) {
		assert_int_equal(vp_kbuild_name(source, name, sizeof(name)), -EINVAL);
		return;
	}
	assert_int_equal(vp_kbuild_name(source, name, sizeof(name)), 0);
	assert_string_equal(name, want);
}

static void names_of_sources(void **state)
{
	(void)state;
	expect_name("arp.c", "arp");
	expect_name("/some folder/CVE-2026-1_b.c", "CVE-2026-1_b");
	expect_name("my arp.c", "hotfix");
	expect_name("a$(reboot).c", "hotfix");
	expect_name("-x.c", "hotfix");
	expect_name("a.b.c", "hotfix");
	expect_name("\xc3\xbc.c", "hotfix");
	expect_name("a23456789b23456789c23456789d23456789e23456789f23456.c",
		    "a23456789b23456789c23456789d23456789e23456789f23456");
	expect_name("a23456789b23456789c23456789d23456789e23456789f23456789g23.c", "hotfix");
	expect_name(".c", NULL);
	expect_name("dir.c/", NULL);
	expect_name("arp.o", NULL);
	expect_name("arp", NULL);
	expect_name("", NULL);
}

static void names_of_modules(void **state)
{
	(void)state;
	assert_true(vp_kbuild_is_module("nf_tables"));
	assert_true(vp_kbuild_is_module("kvm-intel"));
	assert_false(vp_kbuild_is_module(""));
	assert_false(vp_kbuild_is_module("-n"));
	assert_false(vp_kbuild_is_module("a b"));
	assert_false(vp_kbuild_is_module("a/b"));
	assert_false(vp_kbuild_is_module("a\nb"));
}

static void plain_paths(void **state)
{
	(void)state;
	assert_true(vp_scratch_is_plain("/usr/src/linux-headers-7.2.13+deb14-amd64"));
	assert_false(vp_scratch_is_plain(""));
	for (const char *bad = " :%$#\\\"'`;&|<>()*?[]~=,\t\n\x7f\xc3"; *bad; bad++) {
		char path[] = "/a?b";

		path[2] = *bad;
		assert_false(vp_scratch_is_plain(path));
	}
}

static void expect_said(const char *said, const char *want)
{
	const struct vp_said_name names[] = {
		{ "/tmp/b-1/fix.c", "my fix.c" },
		{ "/tmp/b-1/src/", "" },
		{ "/tmp/b-1/", "" },
	};
	char *got = vp_said_for_user(said, names, 3);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void what_is_said(void **state)
{
	(void)state;
	expect_said("", "");
	expect_said("make: Entering directory '/usr/src/x'\n  CC      /tmp/b-1/fix.o\n"
		    "make: Leaving directory '/usr/src/x'\n",
		    "");
	expect_said("/tmp/b-1/fix.c:7:5: error: 'a' undeclared\n    7 |\ta = 1;\n      |\t^\n",
		    "my fix.c:7:5: error: 'a' undeclared\n    7 | a = 1;\n      | ^\n");
	expect_said("In file included from /tmp/b-1/src/fix.h:1,\n"
		    "                 from /tmp/b-1/fix.c:3:\n",
		    "In file included from fix.h:1,\n                 from my fix.c:3:\n");
	expect_said("make[2]: *** [/x/scripts/Makefile.build:250: /tmp/b-1/fix.o] Error 1\n"
		    "make[1]: *** [Makefile:2012: /tmp/b-1] Error 2\n",
		    "");
	expect_said("make: *** No rule to make target 'fix.o'.  Stop.\n",
		    "make: *** No rule to make target 'fix.o'.  Stop.\n");
	/* What a compiler of another opinion says stays; of BTF's tool nothing does. */
	expect_said("warning: the compiler differs from the one used to build the kernel\n"
		    "  The kernel was built by: gcc-9\n",
		    "warning: the compiler differs from the one used to build the kernel\n"
		    "  The kernel was built by: gcc-9\n");
	expect_said("warning: pahole version differs from the one used to build the kernel\n"
		    "  The kernel was built with: 132\n  You are using:             0\nnext\n",
		    "next\n");
	expect_said("no end of line", "no end of line\n");
}

/* A source can make the compiler quote anything: it shall not reach the terminal. */
static void what_is_said_is_printable(void **state)
{
	(void)state;
	expect_said("#error \x1b[31mred\x1b]0;title\x07\n", "#error ?[31mred?]0;title?\n");
	expect_said("a\rb\n", "a?b\n");
	expect_said("\xff\n", "?\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_sources),
		cmocka_unit_test(names_of_modules),
		cmocka_unit_test(plain_paths),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(what_is_said_is_printable),
	};

	return cmocka_run_group_tests_name("build_text", tests, NULL, NULL);
}
