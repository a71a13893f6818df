/* SPDX-License-Identifier: Apache-2.0 */
/* A source tree that is only read: is it the right one, what includes what, the folder of links. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/exports.h"
#include "build/includers.h"
#include "build/out.h"
#include "build/tree.h"
#include "build/twice.h"

static struct vp_scratch at; /* holds the tree, and another one the links */
static struct vp_headers headers;
static struct vp_err err;

static void put(const char *name, const char *text)
{
	assert_int_equal(vp_scratch_write(&at, name, text, strlen(text), &err), 0);
}

static int setup(void **state)
{
	(void)state;
	if (vp_scratch_make(&at, NULL))
		return -1;
	put("Makefile", "# SPDX\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 176\nEXTRAVERSION =\n");
	put("mm/Makefile", "obj-y := a.o b.o\n");
	put("mm/a.c", "#include <linux/x.h>\n#include \"own.h\"\n");
	put("mm/b.c", "# include \"../fs/part.c\"\n");
	put("mm/own.h", "\n");
	put("fs/part.c", "#include \"sub/deep.h\"\n");
	put("fs/sub/deep.h", "\n");
	put("fs/lost.c", "#include <deep.h>\n");
	put("include/linux/x.h", "#include <asm/y.h>\n");
	put("include/asm-generic/y.h", "\n");
	put("tools/t.c", "#include \"../mm/own.h\"\n");
	put("arch/arm/r.c", "#include \"../../mm/own.h\"\n");
	put("Module.symvers", "0x1\tone\tvmlinux\tEXPORT_SYMBOL\t\n0x2\ttwo\tnet/a-b/c-d\t"
			      "EXPORT_SYMBOL_GPL\t\nnonsense\n");
	put("include/generated/uapi/linux/version.h", "#define LINUX_VERSION_CODE 393648\n");
	snprintf(headers.dir, sizeof(headers.dir), "%s", at.path);
	strcpy(headers.release, "6.1.0-50-amd64");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vp_scratch_drop(&at);
	return 0;
}

static void the_version_must_be_that_of_the_headers(void **state)
{
	struct vp_headers other = headers;
	char path[600];

	(void)state;
	assert_int_equal(vp_tree_check(at.path, &headers, &err), 0);
	snprintf(path, sizeof(path), "%s/mm", at.path);
	assert_int_equal(vp_tree_check(path, &headers, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "no source of a kernel"));
	put("other/include/generated/uapi/linux/version.h", "#define LINUX_VERSION_CODE 393664\n");
	snprintf(other.dir, sizeof(other.dir), "%s/other", at.path);
	assert_int_equal(vp_tree_check(at.path, &other, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "6.1.176"));
	assert_non_null(strstr(err.text, "6.1.192"));
}

static void includes(const char *file, bool near, const char *want)
{
	char files[1][VP_PATCH_PATH] = { "" }, found[512] = "";
	struct vp_includers all = { .n = 0 };

	strcpy(files[0], file);
	assert_int_equal(vp_includers_find(at.path, (const char(*)[VP_PATCH_PATH])files, 1, near,
					   10, -1, &all, &err),
			 0);
	for (size_t i = 0; i < all.n; i++)
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s ", all.paths[i]);
	assert_string_equal(found, want);
	free(all.paths);
}

static void who_includes_a_file_is_found(void **state)
{
	const char files[1][VP_PATCH_PATH] = { "fs/sub/deep.h" };
	struct vp_includers all = { .n = 0 };

	(void)state;
	includes("mm/own.h", false, "mm/a.c "); /* not programs, not other machines */
	includes("include/linux/x.h", false, "mm/a.c ");
	includes("include/asm-generic/y.h", false, "mm/a.c "); /* through what is generated */
	/* Through a source that is taken in; and one that no rule finds may be meant, too. */
	includes("fs/sub/deep.h", false, "fs/lost.c fs/part.c mm/b.c ");
	includes("mm/a.c", true, "mm/a.c ");
	assert_int_equal(vp_includers_find(at.path, files, 1, false, 2, -1, &all, &err), -E2BIG);
	assert_non_null(strstr(err.text, "3 sources include it"));
	free(all.paths);
}

static void exports_are_known(void **state)
{
	struct vp_exports e;
	bool exported;

	(void)state;
	assert_int_equal(vp_exports_read(&e, at.path, &err), 0);
	assert_null(vp_exports_find(&e, "one", &exported));
	assert_true(exported);
	assert_string_equal(vp_exports_find(&e, "two", &exported), "c_d");
	assert_null(vp_exports_find(&e, "three", &exported));
	assert_false(exported);
	vp_exports_free(&e);
	assert_int_equal(vp_exports_read(&e, "/nonexistent", &err), 0);
	assert_null(vp_exports_find(&e, "one", &exported));
	vp_exports_free(&e);
}

static void the_tree_is_links_that_can_be_replaced(void **state)
{
	const char files[2][VP_PATCH_PATH] = { "mm/a.c", "mm/own.h" };
	struct vp_scratch scratch;
	struct vp_tree tree = { at.path, &scratch };
	char path[VP_TREE_PATH], *text;
	struct stat st;
	void *data;
	size_t len;

	(void)state;
	assert_int_equal(vp_scratch_make(&scratch, &err), 0);
	assert_int_equal(vp_tree_make(&tree, files, 2, -1, &err), 0);
	snprintf(path, sizeof(path), "%s/tree/fs", scratch.path);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode)); /* nothing of ours is in it */
	snprintf(path, sizeof(path), "%s/tree/mm/Kbuild", scratch.path);
	assert_int_equal(vp_out_read(path, 1 << 16, &data, &len, &err), 0);
	text = data;
	text[len] = '\0';
	assert_non_null(strstr(text, "/mm/Makefile\n"));
	assert_non_null(strstr(text, "CFLAGS_a.o = "));
	assert_null(strstr(text, "CFLAGS_own"));
	free(data);
	assert_int_equal(vp_tree_replace(&tree, "mm/a.c", "new\n", 4, &err), 0);
	snprintf(path, sizeof(path), "%s/tree/mm/a.c", scratch.path);
	assert_int_equal(vp_out_read(path, 100, &data, &len, &err), 0);
	assert_int_equal(len, 4);
	free(data);
	snprintf(path, sizeof(path), "%s/mm/a.c", at.path);
	assert_int_equal(vp_out_read(path, 100, &data, &len, &err), 0);
	assert_int_not_equal(len, 4); /* the source is as it was */
	free(data);
	vp_scratch_drop(&scratch);
}

static bool structure(const char *before, const char *after, char *name)
{
	struct vp_compiled c = { .path = "mm/a.c" };
	bool yes;

	c.types[VP_PASS_BEFORE] = strdup(before);
	c.types[VP_PASS_AFTER] = strdup(after);
	yes = vp_twice_structure(&c, name, 64);
	vp_twice_free(&c);
	return yes;
}

static void structures_that_change_are_seen(void **state)
{
	static const char one[] =
		"type _b struct { x int32; }\ntype _a struct { y int8; }\nfunc f\n";
	char name[64];

	(void)state;
	assert_false(structure(one, one, name));
	assert_false(
		structure(one, "type _a struct { y int8; }\ntype _new struct { z int8; }\n", name));
	assert_true(
		structure(one, "type _a struct { y int16; }\ntype _b struct { x int32; }\n", name));
	assert_string_equal(name, "a");
	assert_false(structure("", "", name));
}

static void functions_of_headers_are_known(void **state)
{
	struct vp_compiled c = { .path = "mm/a.c" };

	(void)state;
	c.functions =
		strdup("/* compiled from: . */\n"
		       "/* /x/tree/mm/a.h:1:NC */ static int declared (int);\n"
		       "/* /x/tree/mm/a.h:2:NF */ static int helper (int a); /* (a) int a; */\n"
		       "/* /x/tree/mm/a.h:3:NF */ static struct s *maker (int a); /* (a) */\n"
		       "/* /x/tree/mm/a.c:4:NF */ static int declared (int a); /* (a) */\n"
		       "/* /x/tree/mm/a.c:5:NF */ static int own (int a); /* (a) helper (x) */");
	assert_true(vp_twice_in_header(&c, "helper"));
	assert_true(vp_twice_in_header(&c, "maker"));
	assert_false(vp_twice_in_header(&c, "declared"));
	assert_false(vp_twice_in_header(&c, "own"));
	assert_false(vp_twice_in_header(&c, "per"));
	assert_false(vp_twice_in_header(&c, "nowhere"));
	vp_twice_free(&c);
	assert_false(vp_twice_in_header(&c, "helper"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_version_must_be_that_of_the_headers),
		cmocka_unit_test(who_includes_a_file_is_found),
		cmocka_unit_test(exports_are_known),
		cmocka_unit_test(the_tree_is_links_that_can_be_replaced),
		cmocka_unit_test(structures_that_change_are_seen),
		cmocka_unit_test(functions_of_headers_are_known),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
