/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/world.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

static struct fake *world;
static uint8_t expected[FAKE_RAM];

/* clang-format off */
static const uint8_t block[FUZZ_BLOCK] = {
	0x0f, 0x1f, 0x44, 0x00, 0x00,				/* nop */
	0xe9, 0x10, 0x00, 0x00, 0x00,				/* jmp rel32 */
	0x66, 0x90,						/* nop */
	0xb8, 0x11, 0x22, 0x33, 0x44,				/* mov eax, imm32 */
	0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8,			/* movabs rax, imm64 */
	0xe8, 0x00, 0x00, 0x00, 0x00,				/* call rel32 */
	0x74, 0x04,						/* je rel8 */
	0x0f, 0x85, 0x20, 0x00, 0x00, 0x00,			/* jne rel32 */
	0x48, 0x8d, 0x05, 0x00, 0x01, 0x00, 0x00,		/* lea rax, [rip + 256] */
	0xc2, 0x08, 0x00,					/* ret 8 */
	0xc3,							/* ret */
	0x90,							/* nop */
	0xcc,							/* int3, the guest's own */
	0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00,	/* nop */
	0xeb, 0xfe,						/* jmp rel8 */
};
static const uint8_t starts[] = { 0, 5, 10, 12, 17, 27, 32, 34, 40, 47, 50, 51, 52, 53, 62 };
/* clang-format on */

/* Shifted by 3, so that an instruction crosses the two pages of FAKE_SPLIT, which lie apart. */
#define SHIFT 3u

static void fill(uint64_t gva, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		*fake_at(world, gva + i) = block[(i + SHIFT) % FUZZ_BLOCK];
}

struct fake *fuzz_world(void)
{
	if (world)
		return world;
	world = fake_new();
	fill(FAKE_TEXT, 0x10000);
	fill(FAKE_SPLIT, 0x2000);
	memcpy(expected, world->ram, sizeof(expected));
	return world;
}

struct vp_engine *fuzz_world_engine(void)
{
	struct fake *f = fuzz_world();
	struct vp_engine *engine;

	f->trace[0] = '\0';
	f->syncs = 0;
	f->fail_sync = 0;
	f->never_answers = false;
	f->arm_rc = f->stop_rc = f->writable_rc = 0;
	f->hook = NULL;
	FUZZ_CHECK(!vp_engine_new(&f->target, &engine, NULL));
	return engine;
}

uint64_t fuzz_world_insn(uint64_t region, unsigned int n, unsigned int k)
{
	return region + (uint64_t)FUZZ_BLOCK * n + starts[k % sizeof(starts)] - SHIFT;
}

bool fuzz_world_is_text(uint64_t gva)
{
	return gva - FAKE_TEXT < 0x10000 || gva - FAKE_SPLIT < 0x2000 || gva - FAKE_ALIAS < 0x1000;
}

/* Sites never overlap, so that each write to the copy can be taken back from what it covered. */
bool fuzz_world_holds(const struct vp_site *sites, size_t n)
{
	static uint8_t under[FUZZ_SITES_MAX][VP_INSN_MAX];
	bool same;

	FUZZ_CHECK(n <= FUZZ_SITES_MAX);
	for (size_t i = 0; i < n; i++)
		for (size_t b = 0; b < sites[i].len; b++) {
			uint8_t *at = expected + (fake_at(world, sites[i].addr.v + b) - world->ram);

			under[i][b] = *at;
			*at = sites[i].new_bytes[b];
		}
	same = !memcmp(expected, world->ram, sizeof(expected));
	for (size_t i = n; i-- > 0;)
		for (size_t b = 0; b < sites[i].len; b++)
			expected[fake_at(world, sites[i].addr.v + b) - world->ram] = under[i][b];
	return same;
}
