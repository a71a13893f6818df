/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "linux_build.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "deadbeef0102030405060708090a0b0c0d0e0f10.symbols"

static char top[64], dir[96], file[192];

static int setup(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/vmpoke-cache-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/a/b", top); /* made by the first that needs it */
	snprintf(file, sizeof(file), "%s/" NAME, dir);
	return 0;
}

static int teardown(void **state)
{
	char a[80];

	(void)state;
	unlink(file);
	rmdir(dir);
	snprintf(a, sizeof(a), "%s/a", top);
	rmdir(a);
	return rmdir(top); /* fails if anything else was left there */
}

/* Open a guest with the cache; true if its symbols came from there. */
static bool open_is_cached(struct linux_guest *g)
{
	const struct vp_linux_opts opts = { .cache_dir = dir };
	struct vp_err err = { "" };
	struct vp_linux *l;
	bool cached;

	g->bytes_read = 0;
	if (vp_linux_open(&g->target, &opts, &l, &err))
		fail_msg("%s", err.text);
	cached = g->bytes_read < LG_RODATA_SIZE;
	assert_int_equal(vp_symtab_count(vp_linux_symbols(l)), g->nsymbols);
	for (size_t i = 0; i < g->nsymbols; i++) {
		struct vp_symbol want;
		vp_gva a;

		lg_symbol(g, i, &want);
		assert_int_equal(vp_symtab_find(vp_linux_symbols(l), want.name, &a, NULL), 0);
		assert_int_equal(a.v, want.addr.v);
	}
	assert_string_equal(vp_linux_info(l)->release, "6.1.0-test");
	assert_string_equal(vp_linux_info(l)->build_id, "deadbeef0102030405060708090a0b0c0d0e0f10");
	vp_linux_free(l);
	return cached;
}

static bool cached(const struct lg_opts *opts)
{
	struct linux_guest *g = lg_new(opts);
	bool yes = open_is_cached(g);

	lg_free(g);
	return yes;
}

static void second_vm_needs_no_decode(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < LG_LAYOUTS; i++) {
		const struct lg_opts opts = { .layout = (enum lg_layout)i };
		struct lg_opts moved = { .layout = (enum lg_layout)i, .slide = 0x2c00000 };

		unlink(file);
		assert_false(cached(&opts));
		assert_true(cached(&moved)); /* another slide */
		moved.five_levels = moved.pti = true;
		assert_true(cached(&moved));
	}
}

static long size_of_file(void)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return (long)st.st_size;
}

static void flip_byte(long at)
{
	FILE *f = fopen(file, "r+b");
	int byte;

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	byte = fgetc(f);
	fseek(f, at, SEEK_SET);
	fputc(byte ^ 0x41, f);
	fclose(f);
}

/* A damaged file is no cache, does no harm, and is replaced. */
static void damaged(void **state)
{
	const struct lg_opts opts = { .layout = LG_6_1 };
	long size;

	(void)state;
	assert_false(cached(&opts));
	size = size_of_file();
	for (long at = 0; at < size; at += at < 200 ? 1 : 1301) {
		flip_byte(at);
		if (cached(&opts))
			fail_msg("byte %ld of the file does not matter", at);
		assert_true(cached(&opts));
		assert_int_equal(size_of_file(), size);
	}
	for (long cut = 0; cut < size; cut += size / 7) {
		assert_int_equal(truncate(file, cut), 0);
		assert_false(cached(&opts));
		assert_true(cached(&opts));
	}
	assert_int_equal(truncate(file, size + 1), 0);
	assert_false(cached(&opts));
}

/* A kernel with the same build-id whose table stands elsewhere or differs: the memory is right. */
static void stale(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = LG_6_1 });

	(void)state;
	assert_false(open_is_cached(g));
	assert_true(open_is_cached(g));
	*lg_image(g, g->at.token_table + 2) ^= 1; /* the text of a token that no name uses */
	assert_false(open_is_cached(g));
	assert_true(open_is_cached(g));
	lg_free(g);
	assert_false(cached(&(struct lg_opts){ .layout = LG_6_4 }));
}

/* Another build-id, or none. */
static void other_kernel(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ .layout = LG_6_1 });
	const struct vp_linux_opts opts = { .cache_dir = dir };
	struct vp_linux *l;

	(void)state;
	assert_false(open_is_cached(g));
	*lg_image(g, LG_NOTES + 36) = 'X'; /* not "GNU" any more */
	*lg_image(g, LG_NOTES + 40) ^= 1;
	for (unsigned int i = 0; i < 2; i++) {
		g->bytes_read = 0;
		assert_int_equal(vp_linux_open(&g->target, &opts, &l, NULL), 0);
		assert_true(g->bytes_read > LG_RODATA_SIZE);
		assert_string_equal(vp_linux_info(l)->build_id, "");
		vp_linux_free(l);
	}
	lg_free(g);
}

/* A cache that cannot be written is no reason to fail. */
static void unwritable(void **state)
{
	struct linux_guest *g = lg_new(&(struct lg_opts){ 0 });
	const struct vp_linux_opts opts = { .cache_dir = "/proc/no/such/place" };
	struct vp_linux *l;

	(void)state;
	assert_int_equal(vp_linux_open(&g->target, &opts, &l, NULL), 0);
	vp_linux_free(l);
	lg_free(g);
}

/* What looks like a cache file and is none: a link, a pipe, a folder. */
static void odd_files(void **state)
{
	const struct lg_opts opts = { .layout = LG_6_1 };
	char link[200], pipe[200], folder[200];

	(void)state;
	assert_false(cached(&opts));
	snprintf(link, sizeof(link), "%s/0.symbols", dir);
	snprintf(pipe, sizeof(pipe), "%s/1.symbols", dir);
	snprintf(folder, sizeof(folder), "%s/2.symbols", dir);
	assert_int_equal(symlink("/dev/zero", link), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_true(cached(&opts));
	unlink(file);
	assert_false(cached(&opts));
	unlink(link);
	unlink(pipe);
	rmdir(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(second_vm_needs_no_decode),
		TEST(damaged),
		TEST(stale),
		TEST(other_kernel),
		TEST(odd_files),
		cmocka_unit_test(unwritable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
