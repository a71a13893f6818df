/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two objects of a compiler: the size of the first in 4 bytes, it, and the second. Whatever they
 * are, they are refused with a reason or compared: partners are partners both ways, of one kind;
 * and what a hotfix would be made of, the second being the code, is an object that can be read, and
 * the same one again.
 */
#include <errno.h>
#include <string.h>

#include "diff/emit.h"
#include "diff/expected.h"
#include "diff/show.h"
#include "diff/why.h"
#include "tests/fuzz/fuzz.h"

/* Each function that is told of has a name, and something becomes of it for a reason. */
static void see_why(void *arg, const struct vp_why *w)
{
	(void)arg;
	FUZZ_CHECK(*w->function && *w->how && *w->why);
}

struct side {
	struct vp_elf_object *elf;
	struct vp_unit unit;
};

static bool open_side(struct side *s, const uint8_t *data, size_t size)
{
	struct vp_err err = { "" };
	int rc = vp_elf_object_open(data, size, "fuzz", &s->elf, &err);

	if (!rc)
		rc = vp_unit_open(s->elf, &s->unit, &err);
	FUZZ_CHECK(!rc || (rc == -ENOEXEC && err.text[0]));
	return !rc;
}

static void close_side(struct side *s)
{
	vp_unit_close(&s->unit);
	vp_elf_object_close(s->elf);
	s->elf = NULL;
}

static void check_unit(struct vp_unit *u)
{
	for (size_t i = 0; i < u->nitems; i++) {
		const struct vp_item *item = &u->items[i];
		uint8_t digest[VP_SHA256_SIZE];
		const struct vp_item *user;
		struct vmpoke_use use;

		FUZZ_CHECK(item->section < u->nsections && item->of < u->nitems);
		FUZZ_CHECK(item->offset + item->size <= u->sections[item->section].size);
		if (i < 64)
			vp_diff_expected(u, item->name, digest);
		if (i < 64 && vp_diff_use(u, item->name, &user, &use))
			FUZZ_CHECK(user->code && use.offset < user->size);
	}
}

static void seen(void *arg, const struct vp_shown *s)
{
	FUZZ_CHECK(s->name[0] && strlen(s->old) < sizeof(s->old));
	++*(size_t *)arg;
}

static void check_compare(struct side *a, struct side *b)
{
	struct vp_compare c;
	size_t n = 0;

	FUZZ_CHECK(!vp_compare_open(&a->unit, &b->unit, &c, NULL));
	for (size_t i = 0; i < a->unit.nitems; i++) {
		FUZZ_CHECK(c.to_new[i] == VP_NO_ITEM || c.to_old[c.to_new[i]] == i);
		FUZZ_CHECK(c.to_new[i] == VP_NO_ITEM ||
			   a->unit.items[i].code == b->unit.items[c.to_new[i]].code);
	}
	FUZZ_CHECK(vp_diff_show(&c, seen, &n) == n);
	vp_compare_close(&c);
}

static const char *exported(void *arg, const char *symbol, bool *yes)
{
	*yes = symbol[0] % 2;
	return arg;
}

static void check_emit(struct vp_keep *keep, struct vp_unit *whole)
{
	static const struct vp_emit_about about = { "fuzz", "1", "a test", "6.1", exported, NULL };
	const struct vp_emit_source from = { keep, whole };
	struct vp_elf_object *elf;
	struct vp_err err = { "" };
	void *image, *again;
	size_t len, len2;
	int rc = vp_emit(&from, 1, &about, &image, &len, &err);

	FUZZ_CHECK(!rc || (rc == -EOPNOTSUPP && err.text[0]));
	if (rc)
		return;
	FUZZ_CHECK(!vp_emit(&from, 1, &about, &again, &len2, &err));
	FUZZ_CHECK(len == len2 && !memcmp(image, again, len));
	FUZZ_CHECK(!vp_elf_object_open(image, len, "made", &elf, &err));
	vp_elf_object_close(elf);
	free(image);
	free(again);
}

static void check_keep(struct side *a, struct side *b)
{
	struct vp_blockers blockers = { .n = 0 }, notes = { .n = 0 };
	const struct vp_source source = {
		.path = "mm/fuzz.c", .before = &a->unit, .after = &b->unit, .code = &b->unit
	};
	struct vp_keep keep;

	FUZZ_CHECK(!vp_keep_open(&source, &keep, &blockers, &notes, NULL));
	vp_why_each(&keep, see_why, NULL);
	if (keep.replaces && !blockers.n)
		check_emit(&keep, &a->unit);
	vp_keep_close(&keep);
	vp_blockers_free(&blockers);
	vp_blockers_free(&notes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side a = { .elf = NULL }, b = { .elf = NULL };
	uint32_t first;

	if (size < sizeof(first))
		return 0;
	memcpy(&first, data, sizeof(first));
	data += sizeof(first);
	size -= sizeof(first);
	first = first > size ? (uint32_t)size : first;
	if (open_side(&a, data, first) && open_side(&b, data + first, size - first)) {
		check_unit(&a.unit);
		check_unit(&b.unit);
		check_compare(&a, &b);
		check_compare(&a, &a);
		check_keep(&a, &b);
	}
	close_side(&a);
	close_side(&b);
	return 0;
}
