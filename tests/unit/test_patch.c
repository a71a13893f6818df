/* SPDX-License-Identifier: Apache-2.0 */
/* Diffs: read, applied, and what they tell of lines (patcher/build/patch*.c, lines.c). */
#include "unit.h"

#include "build/lines.h"
#include "build/patch.h"

#define HEAD "--- a/net/core/sock.c\n+++ b/net/core/sock.c\n"
#define OLD  "one\ntwo\nthree\nfour\nfive\nsix\n"
#define HUNK "@@ -2,3 +2,4 @@ int f(void)\n two\n-three\n+3\n+more\n four\n"
#define NEW  "one\ntwo\n3\nmore\nfour\nfive\nsix\n"

static struct vp_patch patch;
static struct vp_err err;

static void parse(const char *text)
{
	err.text[0] = '\0';
	assert_int_equal(vp_patch_parse(text, strlen(text), "fix.diff", &patch, &err), 0);
}

static void refuse(const char *text, const char *why)
{
	err.text[0] = '\0';
	assert_int_equal(vp_patch_parse(text, strlen(text), "fix.diff", &patch, &err), -ENOEXEC);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
	assert_null(patch.text);
}

static void a_diff_is_read(void **state)
{
	(void)state;
	parse("From: x\nSubject: [PATCH 5.10 3/7] sock: a lock is held\n\nWords.\n---\n 1 file\n\n"
	      "diff --git a/net/core/sock.c b/net/core/sock.c\nindex 1..2 100644\n" HEAD HUNK
	      "--- a/mm/x.h\t2024-01-01\n+++ b/mm/x.h\t2024-01-02\n@@ -1 +1 @@\n-a\n+b\n-- "
	      "\n2.39\n");
	assert_string_equal(patch.subject, "sock: a lock is held");
	assert_int_equal(patch.nfiles, 2);
	assert_string_equal(patch.files[0].path, "net/core/sock.c");
	assert_string_equal(patch.files[1].path, "mm/x.h");
	assert_int_equal(patch.nhunks, 2);
	assert_int_equal(patch.hunks[0].old_start, 2);
	assert_int_equal(patch.hunks[0].new_count, 4);
	assert_int_equal(patch.hunks[1].old_count, 1);
	vp_patch_free(&patch);
	parse("--- /dev/null\n+++ b/mm/new.h\n@@ -0,0 +1 @@\n+a\n");
	assert_true(patch.files[0].is_new);
	vp_patch_free(&patch);
	parse("--- a/mm/old.h\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
	assert_true(patch.files[0].is_gone);
	vp_patch_free(&patch);
}

static void what_is_no_diff_is_refused(void **state)
{
	(void)state;
	refuse("", "no file in it");
	refuse("hello\n", "no file in it");
	refuse(HEAD, "a file has no hunk");
	refuse("@@ -1 +1 @@\n-a\n+b\n", "a hunk without a file");
	refuse("--- a/x/y.c\n+++ b/x/z.c\n@@ -1 +1 @@\n-a\n+b\n", "renames");
	refuse("rename from x\n", "renames");
	refuse("GIT binary patch\n", "binary");
	refuse(HEAD "@@ -1 +1 @@\n-a\n", "ends in the middle");
	refuse(HEAD "@@ -1 +1 @@\n-a\n?b\n", "begins neither");
	refuse(HEAD "@@ -1 +1 @@\n+b\n+c\n-a\n", "other lines than its numbers");
	refuse(HEAD "@@ -1 +1 @@\n a\n", "changes nothing");
	refuse(HEAD "@@ -x +1 @@\n", "make no sense");
	refuse(HEAD "@@ -99999999999999999999 +1 @@\n", "make no sense");
	refuse(HEAD "@@ -0 +1 @@\n", "make no sense");
	refuse(HEAD "@@ -1 +1 @@\n-a\n+b\n" HEAD "@@ -3 +3 @@\n-a\n+b\n", "one file twice");
}

static void paths_stay_in_the_tree(void **state)
{
	static const char *const paths[] = { "../x.c",	      "a/../../x.c", "/etc/passwd",
					     "a/..",	      "..",	     "a//x.c",
					     "a/$(reboot).c", "x.c",	     "a/-x.c" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		snprintf(text, sizeof(text), "--- %s\n+++ %s\n@@ -1 +1 @@\n-a\n+b\n", paths[i],
			 paths[i]);
		assert_int_equal(vp_patch_parse(text, strlen(text), "x", &patch, &err), -ENOEXEC);
	}
	refuse("--- a/net/../../etc/x.c\n+++ b/net/../../etc/x.c\n@@ -1 +1 @@\n-a\n+b\n",
	       "leads out of the source tree");
}

static int apply(const char *old, char **out)
{
	size_t len;

	return vp_patch_apply(&patch, &patch.files[0], old, strlen(old), out, &len, NULL, &err);
}

static void applies(const char *diff, const char *old, const char *new)
{
	char *out;

	parse(diff);
	assert_int_equal(apply(old, &out), 0);
	assert_string_equal(out, new);
	free(out);
	vp_patch_free(&patch);
}

static void applies_not(const char *diff, const char *old, const char *why)
{
	char *out;

	parse(diff);
	assert_int_equal(apply(old, &out), -ENOEXEC);
	assert_null(out);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
	vp_patch_free(&patch);
}

static void a_diff_is_applied(void **state)
{
	(void)state;
	applies(HEAD HUNK, OLD, NEW);
	applies(HEAD HUNK, "zero\n" OLD, "zero\n" NEW); /* elsewhere, at one place */
	applies(HEAD "@@ -0,0 +1 @@\n+zero\n", OLD, "zero\n" OLD);
	applies(HEAD "@@ -6 +6 @@\n-six\n+6\n\\ No newline at end of file\n", OLD,
		"one\ntwo\nthree\nfour\nfive\n6");
	applies("--- /dev/null\n+++ b/mm/new.h\n@@ -0,0 +1,2 @@\n+a\n+b\n", "", "a\nb\n");
}

static void a_diff_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	applies_not(HEAD HUNK, "one\ntwo\nTHREE\nfour\n", "hunk 1 (line 2) is not found");
	applies_not(HEAD HUNK, "", "is not found");
	applies_not(HEAD HUNK, "x\n" OLD OLD, "fits at several others");
	applies_not(HEAD "@@ -6 +6 @@\n-six\n\\ No newline at end of file\n+6\n", OLD,
		    "is not found");
}

static void lines_that_move_are_known(void **state)
{
	static const char old[] = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n";
	struct vp_lines lines;

	(void)state;
	parse(HEAD HUNK);
	assert_int_equal(vp_lines_make(&lines, &patch, &patch.files[0], old, strlen(old), &err), 0);
	assert_true(vp_lines_moved(&lines, 4, 5));
	assert_true(vp_lines_moved(&lines, 7, 8));
	assert_false(vp_lines_moved(&lines, 1, 1)); /* did not move: no constant changes by it */
	assert_false(vp_lines_moved(&lines, 3, 3)); /* is gone */
	assert_false(vp_lines_moved(&lines, 4, 6));
	assert_false(vp_lines_moved(&lines, 0, 1));
	assert_false(vp_lines_moved(&lines, 1000, 1001));
	assert_false(vp_lines_moved(&lines, -1, 0));
	vp_lines_free(&lines);
	vp_patch_free(&patch);
	/* A constant that the diff writes is one. */
	parse(HEAD "@@ -2,1 +2,2 @@\n-two\n+x = 0x8;\n+y\n");
	assert_int_equal(vp_lines_make(&lines, &patch, &patch.files[0], old, strlen(old), &err), 0);
	assert_false(vp_lines_moved(&lines, 7, 8));
	assert_true(vp_lines_moved(&lines, 6, 7));
	vp_lines_free(&lines);
	vp_patch_free(&patch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_diff_is_read),
		cmocka_unit_test(what_is_no_diff_is_refused),
		cmocka_unit_test(paths_stay_in_the_tree),
		cmocka_unit_test(a_diff_is_applied),
		cmocka_unit_test(a_diff_that_does_not_fit_is_refused),
		cmocka_unit_test(lines_that_move_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
