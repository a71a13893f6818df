/* SPDX-License-Identifier: Apache-2.0 */
/* The file that keeps what a guest's memory was: there and back, damaged, somebody else's. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/baseline.h"
#include "unit.h"

static char dir[] = "/tmp/vmpoke-unit-XXXXXX";
static char path[64];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/vm.baseline.gz", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void add(struct vp_baseline *b, const char *name, uint64_t addr, uint64_t len,
		uint64_t module)
{
	struct vp_baseline_region *r = vp_baseline_add(b);

	assert_non_null(r);
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->addr = addr;
	r->len = len;
	r->module = module;
	r->when = 1234;
	r->bytes = malloc(len);
	for (uint64_t i = 0; i < len; i++)
		r->bytes[i] = (uint8_t)(i * 7 + addr);
}

static struct vp_baseline some(void)
{
	struct vp_baseline b = { .boot = 0xfedcba9876543210, .build_id = "deadbeef" };

	add(&b, "text", 0xffffffff81000000, 0x12345, 0);
	add(&b, "a \"module\"", 0xffffffffc0000000, 0x1000, 0xffffffffc0004000);
	assert_int_equal(vp_baseline_add_hole(&b, 0xffffffff81000010, 5), 0);
	return b;
}

static void there_and_back(void **state)
{
	struct vp_baseline b = some(), back;
	struct stat st;

	(void)state;
	assert_int_equal(vp_baseline_write(path, &b, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(vp_baseline_read(path, &back, NULL), 0);
	assert_int_equal(back.boot, b.boot);
	assert_string_equal(back.build_id, b.build_id);
	assert_int_equal(back.nregions, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_ptr_equal(vp_baseline_find(&back, &b.regions[i]), &back.regions[i]);
		assert_int_equal(back.regions[i].when, 1234);
		assert_memory_equal(back.regions[i].bytes, b.regions[i].bytes, b.regions[i].len);
	}
	assert_true(vp_baseline_in_hole(&back, 0xffffffff81000014));
	assert_false(vp_baseline_in_hole(&back, 0xffffffff81000015));
	b.regions[1].module++; /* loaded again */
	assert_null(vp_baseline_find(&back, &b.regions[1]));
	vp_baseline_clear(&back);
	vp_baseline_clear(&b);
}

static uint8_t file[1 << 20];

static size_t read_file(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, file, sizeof(file));

	close(fd);
	assert_true(n > 0 && (size_t)n < sizeof(file));
	return (size_t)n;
}

/* @as, if not NULL: or it is read, and is the same. */
static int read_as(size_t len, const struct vp_baseline *as)
{
	struct vp_baseline b;
	struct vp_err err = { "" };
	int fd = open(path, O_WRONLY | O_TRUNC), rc;

	assert_int_equal(write(fd, file, len), len);
	close(fd);
	rc = vp_baseline_read(path, &b, &err);
	assert_int_equal(!rc, !err.text[0]);
	if (!rc && as) {
		assert_int_equal(b.nregions, as->nregions);
		for (size_t i = 0; i < as->nregions; i++)
			assert_memory_equal(b.regions[i].bytes, as->regions[i].bytes,
					    as->regions[i].len);
		rc = -EBADMSG;
	}
	vp_baseline_clear(&b);
	return rc;
}

/*
 * Each byte of the file counts, and so does its length. The first ten are gzip's own, and some bits
 * between blocks are nobody's.
 */
static void damaged(void **state)
{
	struct vp_baseline b = some();
	size_t n;

	(void)state;
	assert_int_equal(vp_baseline_write(path, &b, NULL), 0);
	n = read_file();
	for (size_t i = 10; i < n; i += i < 300 || i + 20 > n ? 1 : 97) {
		file[i] ^= 0x10;
		assert_int_equal(read_as(n, &b), -EBADMSG);
		file[i] ^= 0x10;
	}
	for (size_t i = 0; i < n; i += 31)
		assert_int_equal(read_as(i, NULL), -EBADMSG);
	assert_int_equal(read_as(n, NULL), 0);
	vp_baseline_clear(&b);
}

/* What is whole and makes no sense: plain text is read by zlib as it is. */
static void no_sense(void **state)
{
	static const char *const texts[] = {
		"\n",
		"[]\n",
		"{\"version\": \"vmpoke-baseline-2\", \"boot\": \"0x1\", \"build-id\": \"\"}\n",
		"{\"version\": \"vmpoke-baseline-1\", \"boot\": 1, \"build-id\": \"\"}\n",
		"{\"version\": \"vmpoke-baseline-1\", \"boot\": \"0x1\", \"build-id\": \"\", "
		"\"regions\": [{\"name\": \"x\", \"addr\": \"0x1000\", \"module\": \"0x0\", "
		"\"len\": \"0xffffffffffffffff\"}]}\n",
		"{\"version\": \"vmpoke-baseline-1\", \"boot\": \"0x1\", \"build-id\": \"\", "
		"\"regions\": [{\"name\": \"x\", \"addr\": \"0xffffffffffffffff\", \"module\": "
		"\"0x0\", \"len\": \"0x2\"}]}\nab",
		"{\"version\": \"vmpoke-baseline-1\", \"boot\": \"0x1\", \"build-id\": \"\"}\nmore",
	};
	struct vp_baseline b = some();

	(void)state;
	assert_int_equal(vp_baseline_write(path, &b, NULL), 0);
	vp_baseline_clear(&b);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memcpy(file, texts[i], strlen(texts[i]));
		assert_int_equal(read_as(strlen(texts[i]), NULL), -EBADMSG);
	}
	memcpy(file, texts[6], strlen(texts[6]) - 4);
	assert_int_equal(read_as(strlen(texts[6]) - 4, NULL), 0);
}

static void none(void **state)
{
	struct vp_baseline b;
	struct vp_err err = { "" };

	(void)state;
	unlink(path);
	assert_int_equal(vp_baseline_read(path, &b, &err), -ENOENT);
	vp_baseline_clear(&b);
	b = some();
	assert_int_equal(vp_baseline_write("/nowhere/at-all", &b, &err), -ENOENT);
	vp_baseline_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(damaged),
		cmocka_unit_test(no_sense),
		cmocka_unit_test(none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
