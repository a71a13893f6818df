/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A livepatch module: whatever the file is, it is refused with a reason, or made into an object,
 * the same each time, that can be read. The first byte says how the rest is to be taken: as it is,
 * or as changes of a good module of one of the ways of making them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hotfix/livepatch.h"
#include "hotfix/object.h"
#include "tests/unit/livepatch_build.h"
#include "tests/fuzz/fuzz.h"

static const struct vp_livepatch_kernel kernel = { "6.1", &livepatch_layout };

static void check_blockers(int rc, const struct vp_blockers *b, const struct vp_err *err)
{
	FUZZ_CHECK(rc == -ENOEXEC ? b->n && b->list && err->text[0] : !rc && !b->n);
}

/* That it says of itself what may not be said is a reason later: in the object's own metadata. */
static void check_object(const void *image, size_t len)
{
	struct vp_hotfix_object *hotfix = NULL;
	struct vp_elf_object *elf = NULL;
	struct vp_blockers b = { 0 };
	struct vp_err err = { "" };
	int rc = vp_elf_object_open(image, len, "ours", &elf, &err);

	FUZZ_CHECK(!rc || rc == -ENOEXEC);
	if (!rc) {
		rc = vp_hotfix_object_open(elf, &hotfix, &b, &err);
		check_blockers(rc, &b, &err);
	}
	vp_hotfix_object_close(hotfix);
	vp_elf_object_close(elf);
	vp_blockers_free(&b);
}

static void check_module(const void *bytes, size_t size)
{
	struct vp_elf_object *elf = NULL;
	struct vp_blockers b = { 0 }, again = { 0 };
	struct vp_err err = { "" };
	void *image = NULL, *same = NULL;
	size_t len = 0, same_len = 0;
	int rc;

	if (vp_elf_object_open(bytes, size, "fuzz", &elf, &err))
		return;
	if (vp_livepatch_is(elf)) {
		rc = vp_livepatch_convert(elf, &kernel, &image, &len, &b, &err);
		check_blockers(rc, &b, &err);
		FUZZ_CHECK(!rc == !!image);
		FUZZ_CHECK(vp_livepatch_convert(elf, &kernel, &same, &same_len, &again, &err) ==
			   rc);
		if (!rc) {
			FUZZ_CHECK(len == same_len && !memcmp(image, same, len));
			check_object(image, len);
		}
	}
	free(image);
	free(same);
	vp_blockers_free(&b);
	vp_blockers_free(&again);
	vp_elf_object_close(elf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct livepatch_build b;

	if (!size)
		return 0;
	if (data[0] > BY_KLP_BUILD) {
		check_module(data + 1, size - 1);
		return 0;
	}
	livepatch_begin(&b, (enum livepatch_way)data[0], 0, data[0] % 2 ? "nf_tables" : "");
	object_finish(&b.o);
	for (size_t i = 1; i + 2 < size; i += 3)
		b.o.bytes[(size_t)(data[i] | data[i + 1] << 8) % b.o.len] = data[i + 2];
	check_module(b.o.bytes, b.o.len);
	return 0;
}
