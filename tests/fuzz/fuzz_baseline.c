/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that keeps what a guest's memory was: whatever it holds, it is refused with a reason, or
 * it makes sense and is the same when it was written again. zlib reads what is no gzip as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/baseline.h"
#include "tests/fuzz/fuzz.h"

static char dir[] = "/tmp/vmpoke-fuzz-XXXXXX";
static char path[64];

static void clean_up(void)
{
	unlink(path);
	rmdir(dir);
}

static void make_dir(void)
{
	FUZZ_CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/baseline", dir);
	atexit(clean_up);
}

static void check(const struct vp_baseline *b)
{
	struct vp_baseline back;
	uint64_t total = 0;

	for (size_t i = 0; i < b->nregions; i++) {
		const struct vp_baseline_region *r = &b->regions[i];

		total += r->len;
		FUZZ_CHECK(r->len && r->bytes && r->addr + r->len >= r->addr);
		FUZZ_CHECK(strlen(r->name) < sizeof(r->name));
	}
	FUZZ_CHECK(total <= VP_BASELINE_MAX && b->nregions <= VP_BASELINE_REGIONS);
	FUZZ_CHECK(!vp_baseline_write(path, b, NULL) && !vp_baseline_read(path, &back, NULL));
	FUZZ_CHECK(back.nregions == b->nregions && back.boot == b->boot);
	for (size_t i = 0; i < b->nregions; i++)
		FUZZ_CHECK(!memcmp(back.regions[i].bytes, b->regions[i].bytes, b->regions[i].len));
	vp_baseline_clear(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vp_err err = { "" };
	struct vp_baseline b;
	int fd, rc;

	if (!*path)
		make_dir();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	rc = vp_baseline_read(path, &b, &err);
	FUZZ_CHECK(!rc == !err.text[0]);
	FUZZ_CHECK(!rc || rc == -EBADMSG || rc == -ENOMEM);
	if (!rc)
		check(&b);
	vp_baseline_clear(&b);
	return 0;
}
