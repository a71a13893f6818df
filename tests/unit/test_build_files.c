/* SPDX-License-Identifier: Apache-2.0 */
/* What patcher/build does with files: the scratch folder, headers, what is given out. */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "build/embed.h"
#include "build/headers.h"
#include "build/out.h"
#include "build/scratch.h"

/* A scratch folder does for a place of the tests, too. */
static struct vp_scratch at;

static int setup(void **state)
{
	(void)state;
	return vp_scratch_make(&at, NULL);
}

static int teardown(void **state)
{
	(void)state;
	vp_scratch_drop(&at);
	return 0;
}

static const char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", at.path, name);
	return path;
}

static void put(const char *name, const char *text)
{
	unlink(path_of(name));
	assert_int_equal(vp_scratch_write(&at, name, text, strlen(text), NULL), 0);
}

/* --- the scratch folder ----------------------------------------------------------------- */

static void scratch(void **state)
{
	struct vp_scratch s;
	struct stat st;
	char gone[VP_SCRATCH_PATH];

	(void)state;
	put("outside", "stays");
	assert_int_equal(vp_scratch_make(&s, NULL), 0);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(vp_scratch_write(&s, "a/b/c", "x", 1, NULL), 0);
	assert_int_equal(vp_scratch_write(&s, "a/b/c", "y", 1, NULL), -EEXIST);
	assert_int_equal(vp_scratch_link(&s, "a/link", at.path, NULL), 0);
	strcpy(gone, s.path);
	vp_scratch_drop(&s);
	assert_int_equal(stat(gone, &st), -1);
	assert_int_equal(stat(path_of("outside"), &st), 0); /* a link is not followed */
	vp_scratch_drop(&s);				    /* twice is fine */
}

static void scratch_elsewhere(void **state)
{
	struct vp_scratch s = { "" };
	struct vp_err err = { "" };
	char *before = getenv("TMPDIR");

	(void)state;
	before = before ? strdup(before) : NULL;
	setenv("TMPDIR", "/tmp/a b", 1);
	assert_int_equal(vp_scratch_make(&s, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, "TMPDIR /tmp/a b"));
	setenv("TMPDIR", "relative", 1);
	assert_int_equal(vp_scratch_make(&s, &err), -ENOTDIR);
	setenv("TMPDIR", "/nowhere/at/all", 1);
	assert_int_equal(vp_scratch_make(&s, &err), -ENOENT);
	vp_scratch_drop(&s);
	if (before)
		setenv("TMPDIR", before, 1);
	else
		unsetenv("TMPDIR");
	free(before);
}

/* --- headers ----------------------------------------------------------------------------- */

static void put_headers(void)
{
	put("src/k-amd64/include/generated/utsrelease.h",
	    "#define UTS_RELEASE \"6.1.0-9-amd64\"\n");
	put("src/k-amd64/include/config/auto.conf",
	    "CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14) 12.2.0\"\nCONFIG_X86_64=y\n");
	put("src/k-amd64/scripts/basic/fixdep", "");
	put("src/k-amd64/Makefile", "include /usr/src/k-common/Makefile\n");
	put("src/k-common/Makefile", "all:\n");
}

static int open_headers(struct vp_headers *h, struct vp_err *err)
{
	return vp_headers_open(path_of("src/k-amd64"), h, err);
}

static void headers(void **state)
{
	struct vp_headers h;
	char name[32];

	(void)state;
	put_headers();
	assert_int_equal(open_headers(&h, NULL), 0);
	assert_string_equal(h.release, "6.1.0-9-amd64");
	assert_string_equal(h.compiler, "gcc-12 (Debian 12.2.0-14) 12.2.0");
	assert_string_equal(h.makefile, path_of("src/k-common/Makefile"));
	vp_headers_program(&h, name, sizeof(name));
	assert_string_equal(name, "gcc-12");
	/* Without quotes, as newer kernels write it; a folder that the kernel was built in. */
	put("src/k-amd64/include/config/auto.conf",
	    "CONFIG_X86_64=y\nCONFIG_CC_VERSION_TEXT=x86_64-linux-gnu-gcc-16 (Debian 16) 16.2.0\n");
	put("src/k-amd64/Makefile", "VERSION = 6\n");
	assert_int_equal(open_headers(&h, NULL), 0);
	assert_string_equal(h.makefile, "");
	vp_headers_program(&h, name, sizeof(name));
	assert_string_equal(name, "x86_64-linux-gnu-gcc-16");
}

/* Each lacks one thing, and the text says which. */
static void no_headers(void **state)
{
	static const struct {
		const char *file, *text, *said;
	} bad[] = {
		{ "include/generated/utsrelease.h", NULL, "utsrelease.h" },
		{ "include/generated/utsrelease.h", "#define UTS_RELEASE \"a b\"\n",
		  "utsrelease.h" },
		{ "include/generated/utsrelease.h", "#define UTS_RELEASE \"\"\n", "utsrelease.h" },
		{ "include/config/auto.conf", "CONFIG_ARM64=y\n", "x86-64" },
		{ "include/config/auto.conf", "CONFIG_X86_64=m\n", "x86-64" },
		{ "scripts/basic/fixdep", NULL, "linux-kbuild" },
		{ "Makefile", NULL, "no Makefile" },
		{ "Makefile", "include /nowhere/else-common/Makefile\n", "/nowhere/else-common" },
	};
	struct vp_headers h;
	struct vp_err err;
	char name[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_headers();
		snprintf(name, sizeof(name), "src/k-amd64/%s", bad[i].file);
		if (bad[i].text)
			put(name, bad[i].text);
		else
			unlink(path_of(name));
		assert_int_equal(open_headers(&h, &err), -ENOEXEC);
		assert_non_null(strstr(err.text, bad[i].said));
	}
	assert_int_equal(vp_headers_open(path_of("nowhere"), &h, &err), -ENOENT);
	assert_int_equal(vp_headers_open(path_of("src/k-common/Makefile"), &h, &err), -ENOTDIR);
	put("a b/c", "");
	assert_int_equal(vp_headers_open(path_of("a b"), &h, &err), -EINVAL);
}

/* --- what is given out --------------------------------------------------------------------- */

static void files_out(void **state)
{
	struct vp_err err;
	struct stat st;
	void *data;
	size_t len;

	(void)state;
	put("old", "old");
	assert_int_equal(vp_out_write(path_of("old"), "new bytes", 9, NULL), 0);
	assert_int_equal(vp_out_read(path_of("old"), 9, &data, &len, NULL), 0);
	assert_int_equal(len, 9);
	assert_memory_equal(data, "new bytes", 9);
	free(data);
	assert_int_equal(vp_out_read(path_of("old"), 8, &data, &len, NULL), -EFBIG);
	assert_int_equal(vp_out_read(at.path, 8, &data, &len, NULL), -EINVAL);
	assert_int_equal(vp_out_read(path_of("none"), 8, &data, &len, NULL), -ENOENT);
	assert_int_equal(vp_out_write(at.path, "x", 1, &err), -EROFS);
	assert_int_equal(vp_out_write(path_of("no/such/folder"), "x", 1, &err), -EROFS);
	assert_int_equal(vp_out_write("/dev/null", "x", 1, &err), -EROFS);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

/* Each header is there, whole, and ends where it should. */
static void embedded(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct vp_embedded *e = vp_embedded_headers; e->name; e++, n++) {
		size_t len = (size_t)(e->end - e->start);

		assert_true(len > 40 && len < 65536);
		assert_int_equal(strlen(e->start), len);
		assert_memory_equal(e->start, "/* SPDX-License-Identifier: Apache-2.0 */\n", 42);
		assert_int_equal(e->start[len - 1], '\n');
		assert_string_equal(e->name + strlen(e->name) - 2, ".h");
	}
	assert_int_equal(n, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scratch),   cmocka_unit_test(scratch_elsewhere),
		cmocka_unit_test(headers),   cmocka_unit_test(no_headers),
		cmocka_unit_test(files_out), cmocka_unit_test(embedded),
	};

	return cmocka_run_group_tests_name("build_files", tests, setup, teardown);
}
