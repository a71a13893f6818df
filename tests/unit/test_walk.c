/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"
#include "x86/walk.h"

/* Guest RAM of 16 pages. */
#define PAGES 16
#define RAM   (PAGES * 4096ull)

enum { P = 1, W = 2, U = 4, PS = 1 << 7, PAT4K = 1 << 7 };
#define XD	 (1ull << 63)
#define LA57	 (1ull << 12)
#define NXE	 (1ull << 11)
#define GB	 (1ull << 30)
#define MB	 (1ull << 20)
#define ADDR	 0xffffffff81234567ull
#define INDEX(l) (ADDR >> (12 + 9 * ((l)-1)) & 511)

struct ram {
	uint64_t q[RAM / 8];
	unsigned int reads, outside;
	unsigned int lost; /* the read that the host does not answer, from 1; 0: none */
};

static int ram_read(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct ram *ram = arg;

	if (++ram->reads == ram->lost)
		return vp_err_set(err, -ETIMEDOUT, "no answer within 5 s");
	assert_int_equal(len, 8);
	assert_int_equal(gpa.v % 8, 0);
	if (gpa.v > RAM - len) {
		ram->outside++;
		return -EFAULT;
	}
	memcpy(buf, (char *)ram->q + gpa.v, len);
	return 0;
}

/* Level n's table is at page n; a full path of present entries leads to the page at 0x9000. */
struct rig {
	struct ram ram;
	struct vp_paging p;
	struct vp_map map;
	struct vp_err err;
};

static uint64_t *entry(struct rig *r, unsigned int level)
{
	return &r->ram.q[level * 512 + INDEX(level)];
}

static void rig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->p = (struct vp_paging){ .cr0 = 0x80050033, .cr3 = 4 << 12, .cr4 = 0x620, .efer = 0xd01 };
	for (unsigned int level = 5; level > 1; level--)
		*entry(r, level) = (level - 1) << 12 | P | W | U;
	*entry(r, 1) = 0x9000 | P | W | U;
}

static int walk_at(struct rig *r, uint64_t addr)
{
	struct vp_phys_reader mem = { ram_read, &r->ram };

	memset(&r->map, 0xaa, sizeof(r->map));
	return vp_walk(&r->p, &mem, VP_GVA(addr), &r->map, &r->err);
}

static int walk(struct rig *r)
{
	return walk_at(r, ADDR);
}

static struct rig rig;

static int setup(void **state)
{
	rig_init(&rig);
	*state = &rig;
	return 0;
}

static void small_page(void **state)
{
	struct rig *r = *state;

	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0x9567);
	assert_int_equal(r->map.page_size, 4096);
	assert_int_equal(r->map.levels, 4);
	assert_true(r->map.writable && r->map.user && !r->map.nx);
	assert_int_equal(r->ram.reads, 4);

	/* what the walk must not look at: PAT, ignored bits, PCID and LAM bits of CR3 */
	*entry(r, 1) |= PAT4K | 0x7ffull << 52 | 0xe00;
	r->p.cr3 |= 3ull << 61 | 0xfff;
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0x9567);
}

static void five_levels(void **state)
{
	struct rig *r = *state;

	r->p.cr4 |= LA57;
	r->p.cr3 = 5 << 12;
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0x9567);
	assert_int_equal(r->map.levels, 5);
	assert_int_equal(r->ram.reads, 5);
	*entry(r, 5) |= PS;
	assert_int_equal(walk(r), -EFAULT);
	assert_non_null(strstr(r->err.text, "PML5E"));
}

static void large_pages(void **state)
{
	struct rig *r = *state;

	*entry(r, 2) = 0x12 * 2 * MB | P | PS;
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0x12 * 2 * MB + (ADDR & (2 * MB - 1)));
	assert_int_equal(r->map.page_size, 2 * MB);
	assert_false(r->map.writable || r->map.user);
	*entry(r, 2) |= 1 << 12; /* PAT */
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0x12 * 2 * MB + (ADDR & (2 * MB - 1)));

	*entry(r, 3) = 7 * GB | P | PS | 1 << 12;
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 7 * GB + (ADDR & (GB - 1)));
	assert_int_equal(r->map.page_size, GB);

	*entry(r, 3) = 0xfffffull << 32 | 0xc0000000 | P | PS; /* the top of 52 bits */
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0xfffffc0000000 + (ADDR & (GB - 1)));
}

/* Every bit of every level's entry: reserved or not, for small, 2M and 1G pages. */
static void reserved_bits(void **state)
{
	struct rig *r = *state;

	for (unsigned int leaf = 1; leaf <= 3; leaf++) {
		for (unsigned int bit = 0; bit < 64 * 4; bit++) {
			unsigned int level = 1 + bit / 64, b = bit % 64;
			unsigned int page = 12 + 9 * (leaf - 1);
			bool large = level == leaf && leaf > 1;
			bool reserved = (large && b > 12 && b < page) || (level == 4 && b == 7);

			rig_init(r);
			if (level < leaf || (b == 7 && level > leaf && level < 4))
				continue; /* not on the way, or would make another leaf */
			if (leaf > 1)
				*entry(r, leaf) = P | PS;
			*entry(r, level) |= 1ull << b;
			walk(r);
			assert_int_equal(!!strstr(r->err.text, "reserved"), reserved);
		}
	}

	for (unsigned int level = 1; level <= 4; level++) {
		rig_init(r);
		*entry(r, level) |= XD;
		assert_int_equal(walk(r), 0);
		assert_true(r->map.nx);
		r->p.efer &= ~NXE;
		assert_int_equal(walk(r), -EFAULT);
		assert_non_null(strstr(r->err.text, "reserved"));
	}
}

/* Rights are what all levels grant: every combination of W, U and XD on four levels. */
static void rights(void **state)
{
	struct rig *r = *state;

	for (unsigned int i = 0; i < 1u << 12; i++) {
		unsigned int w = i & 15, u = i >> 4 & 15, x = i >> 8 & 15;

		for (unsigned int l = 1; l <= 4; l++)
			*entry(r, l) = (l > 1 ? (l - 1) << 12 : 0x9000u) | P |
				       (w >> (l - 1) & 1 ? W : 0) | (u >> (l - 1) & 1 ? U : 0) |
				       (x >> (l - 1) & 1 ? XD : 0);
		assert_int_equal(walk(r), 0);
		assert_int_equal(r->map.writable, w == 15);
		assert_int_equal(r->map.user, u == 15);
		assert_int_equal(r->map.nx, x != 0);
	}
}

static void not_mapped(void **state)
{
	static const char *const name[] = { "", "PTE", "PDE", "PDPTE", "PML4E" };
	struct rig *r = *state;

	for (unsigned int level = 1; level <= 4; level++) {
		struct vp_map untouched;

		rig_init(r);
		*entry(r, level) &= ~(uint64_t)P;
		assert_int_equal(walk(r), -EFAULT);
		assert_non_null(strstr(r->err.text, name[level]));
		assert_int_equal(r->ram.reads, 5 - level);
		memset(&untouched, 0xaa, sizeof(untouched));
		assert_memory_equal(&r->map, &untouched, sizeof(untouched));
	}
}

static void table_outside_ram(void **state)
{
	struct rig *r = *state;

	for (unsigned int level = 2; level <= 4; level++) {
		rig_init(r);
		*entry(r, level) = 0xffffffffff000 | P | W;
		assert_int_equal(walk(r), -EFAULT);
		assert_non_null(strstr(r->err.text, "outside RAM"));
	}
	rig_init(r);
	r->p.cr3 = RAM;
	assert_int_equal(walk(r), -EFAULT);
	assert_int_equal(r->ram.outside, 1);
}

/* What the host said is not lost: it is no fault of the guest's tables. */
static void table_unread(void **state)
{
	struct rig *r = *state;

	for (unsigned int reads = 1; reads <= 4; reads++) {
		rig_init(r);
		r->ram.lost = reads;
		assert_int_equal(walk(r), -ETIMEDOUT);
		assert_non_null(strstr(r->err.text, "cannot be read: no answer within 5 s"));
	}
}

/* A table that is its own child at every level: the recursive mapping, a legal thing. */
static void loop_ends(void **state)
{
	struct rig *r = *state;

	for (unsigned int i = 0; i < 512; i++)
		r->ram.q[4 * 512 + i] = 4 << 12 | P | W;
	assert_int_equal(walk(r), 0);
	assert_int_equal(r->map.gpa.v, 0x4567);
	assert_int_equal(r->ram.reads, 4);
}

static void canonical(void **state)
{
	static const struct {
		uint64_t addr;
		bool ok4, ok5;
	} rows[] = {
		{ 0, true, true },
		{ 0x00007fffffffffff, true, true },
		{ 0x0000800000000000, false, true },
		{ 0xffff7fffffffffff, false, true },
		{ 0xffff800000000000, true, true },
		{ 0xffffffffffffffff, true, true },
		{ 0x00ffffffffffffff, false, true },
		{ 0x0100000000000000, false, false },
		{ 0xfeffffffffffffff, false, false },
		{ 0xff00000000000000, false, true },
		{ 0x8000000000000000, false, false },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		r->p.cr4 = i & 1 ? r->p.cr4 | LA57 : r->p.cr4 & ~LA57;
		walk_at(r, rows[i / 2].addr);
		assert_int_equal(!strstr(r->err.text, "canonical"),
				 i & 1 ? rows[i / 2].ok5 : rows[i / 2].ok4);
	}
}

static void not_long_mode(void **state)
{
	struct rig *r = *state;

	assert_true(vp_paging_is_long(&r->p));
	for (int i = 0; i < 3; i++) {
		rig_init(r);
		r->p.cr0 &= i == 0 ? ~(1ull << 31) : ~0ull;
		r->p.cr4 &= i == 1 ? ~(1ull << 5) : ~0ull;
		r->p.efer &= i == 2 ? ~(1ull << 10) : ~0ull;
		assert_false(vp_paging_is_long(&r->p));
		assert_int_equal(walk(r), -EOPNOTSUPP);
		assert_int_equal(r->ram.reads, 0);
	}
}

/* Random tables, biased to be present and inside RAM, so that many walks go deep. */
static void random_tables(void **state)
{
	struct rig *r = *state;
	uint64_t seed = 0x2545f4914f6cdd1d;
	unsigned int mapped = 0, refused = 0;

	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t addr = unit_random(&seed);
		unsigned int levels = 4 + (i & 1);
		int rc;

		if (i % 64 == 0)
			for (size_t j = 0; j < RAM / 8; j++) {
				uint64_t q = unit_random(&seed);

				if (q & 7) /* present, inside RAM or just past it */
					q = (q & (XD | 0xfe67)) | P | (q >> 40 & 7 ? 0 : PS) |
					    (q >> 50 & 7 ? 0 : RAM);
				r->ram.q[j] = q;
			}
		addr = levels == 5 ? (uint64_t)((int64_t)(addr << 7) >> 7)
				   : (uint64_t)((int64_t)(addr << 16) >> 16);
		r->p.cr4 = levels == 5 ? r->p.cr4 | LA57 : r->p.cr4 & ~LA57;
		r->p.cr3 = unit_random(&seed) & (i % 8 ? RAM - 1 : ~0ull);
		r->ram.reads = 0;
		rc = walk_at(r, addr);
		assert_in_range(r->ram.reads, 1, levels);
		if (rc) {
			assert_int_equal(rc, -EFAULT);
			refused++;
			continue;
		}
		mapped++;
		assert_true(r->map.page_size == 4096 || r->map.page_size == 2 * MB ||
			    r->map.page_size == GB);
		assert_int_equal((r->map.gpa.v ^ addr) & (r->map.page_size - 1), 0);
		assert_true(r->map.gpa.v < 1ull << 52);
	}
	assert_true(mapped > 10000 && refused > 10000); /* neither side is starved */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(small_page, setup),
		cmocka_unit_test_setup(five_levels, setup),
		cmocka_unit_test_setup(large_pages, setup),
		cmocka_unit_test_setup(reserved_bits, setup),
		cmocka_unit_test_setup(rights, setup),
		cmocka_unit_test_setup(not_mapped, setup),
		cmocka_unit_test_setup(table_outside_ram, setup),
		cmocka_unit_test_setup(table_unread, setup),
		cmocka_unit_test_setup(loop_ends, setup),
		cmocka_unit_test_setup(canonical, setup),
		cmocka_unit_test_setup(not_long_mode, setup),
		cmocka_unit_test_setup(random_tables, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
