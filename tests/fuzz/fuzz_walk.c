/* SPDX-License-Identifier: Apache-2.0 */
/* The page walk, on page tables full of anything. What it read is written down and judged. */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "x86/walk.h"

#define PAGES	 16u
#define RAM	 (PAGES * 0x1000u)
#define PTE_W	 2ull
#define PTE_U	 4ull
#define PTE_XD	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/* Guest memory, and the entries that one walk has read. */
struct memory {
	uint8_t ram[RAM];
	struct {
		uint64_t gpa, value;
	} read[8];
	unsigned int reads;
	bool refused; /* a read was outside */
};

static int read_ram(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct memory *m = arg;

	(void)err;
	FUZZ_CHECK(len == 8 && gpa.v % 8 == 0 && m->reads < 5);
	if (gpa.v >= RAM) {
		m->refused = true;
		return -EFAULT;
	}
	memcpy(buf, m->ram + gpa.v, len);
	m->read[m->reads].gpa = gpa.v;
	memcpy(&m->read[m->reads++].value, buf, len);
	return 0;
}

static int walk(struct memory *m, const struct vp_paging *p, uint64_t addr, struct vp_map *map,
		struct vp_err *err)
{
	const struct vp_phys_reader reader = { read_ram, m };

	m->reads = 0;
	m->refused = false;
	return vp_walk(p, &reader, VP_GVA(addr), map, err);
}

/* Each table is where the entry before said, and indexed by its own nine bits of the address. */
static void check_path(const struct memory *m, const struct vp_paging *p, uint64_t addr)
{
	unsigned int levels = p->cr4 >> 12 & 1 ? 5 : 4;
	uint64_t table = p->cr3 & PTE_ADDR;

	FUZZ_CHECK(m->reads <= levels);
	for (unsigned int i = 0; i < m->reads; i++) {
		unsigned int shift = 12 + 9 * (levels - 1 - i);

		FUZZ_CHECK(m->read[i].gpa == table + 8 * (addr >> shift & 511));
		table = m->read[i].value & PTE_ADDR;
	}
}

/* The rights are those that every level grants; the leaf was the last entry read. */
static void check_map(const struct memory *m, const struct vp_paging *p, uint64_t addr,
		      const struct vp_map *map)
{
	unsigned int levels = p->cr4 >> 12 & 1 ? 5 : 4;
	uint64_t all = ~0ull, any = 0, in_page = map->page_size - 1;

	FUZZ_CHECK(m->reads >= levels - 2 && map->levels == levels);
	FUZZ_CHECK(map->page_size == 1ull << (12 + 9 * (levels - m->reads)));
	for (unsigned int i = 0; i < m->reads; i++) {
		all &= m->read[i].value;
		any |= m->read[i].value;
	}
	FUZZ_CHECK(all & 1);
	FUZZ_CHECK(map->writable == !!(all & PTE_W) && map->user == !!(all & PTE_U));
	FUZZ_CHECK(map->nx == !!(any & PTE_XD));
	FUZZ_CHECK(!map->nx || p->efer >> 11 & 1);
	FUZZ_CHECK((map->gpa.v & in_page) == (addr & in_page));
	FUZZ_CHECK(((map->gpa.v ^ m->read[m->reads - 1].value) & PTE_ADDR & ~in_page) == 0);
	FUZZ_CHECK(map->gpa.v < 1ull << 52);
}

/* All of a page translates alike. */
static void check_same_page(struct memory *m, const struct vp_paging *p, uint64_t addr,
			    const struct vp_map *map)
{
	uint64_t in_page = map->page_size - 1, other = addr ^ (0x5a5a5a5a5a5a5a5a & in_page);
	struct vp_map again;

	FUZZ_CHECK(!walk(m, p, other, &again, NULL));
	FUZZ_CHECK(again.gpa.v == (map->gpa.v ^ (addr ^ other)) &&
		   again.page_size == map->page_size && again.nx == map->nx &&
		   again.writable == map->writable && again.user == map->user &&
		   again.dirty == map->dirty);
}

/* Entries: which page, which slot, its value; so a short input makes deep tables. */
static void fill(struct memory *m, struct fuzz_in *in)
{
	memset(m, 0, sizeof(*m));
	while (in->left) {
		uint64_t page = fuzz_take(in, 1) % PAGES, slot = fuzz_take(in, 2) % 512;
		uint64_t value = fuzz_take(in, 8);

		memcpy(m->ram + page * 0x1000 + slot * 8, &value, sizeof(value));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory m;
	struct fuzz_in in = { data, size };
	struct vp_paging p = {
		.cr0 = fuzz_take(&in, 4),
		.cr3 = fuzz_take(&in, 8),
		.cr4 = fuzz_take(&in, 4),
		.efer = fuzz_take(&in, 4),
	};
	uint64_t addr = fuzz_take(&in, 8);
	struct vp_map map, before;
	struct vp_err err = { "" };
	int rc;

	fill(&m, &in);
	memset(&map, 0xa5, sizeof(map));
	before = map;
	rc = walk(&m, &p, addr, &map, &err);
	FUZZ_CHECK(rc == 0 || rc == -EFAULT || rc == -EOPNOTSUPP);
	FUZZ_CHECK((rc == -EOPNOTSUPP) == !vp_paging_is_long(&p));
	FUZZ_CHECK(rc != -EOPNOTSUPP || (!m.reads && !m.refused));
	FUZZ_CHECK(!m.refused || rc == -EFAULT);
	check_path(&m, &p, addr);
	if (rc) {
		FUZZ_CHECK(err.text[0] && !memcmp(&map, &before, sizeof(map)));
		return 0;
	}
	check_map(&m, &p, addr, &map);
	check_same_page(&m, &p, addr, &map);
	return 0;
}
