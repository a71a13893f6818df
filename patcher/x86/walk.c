/* SPDX-License-Identifier: Apache-2.0 */
#include "x86/walk.h"

#include <errno.h>
#include <string.h>

#define CR0_PG	 (1ull << 31)
#define CR4_PAE	 (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_NXE (1ull << 11)

#define PTE_P	 (1ull << 0)
#define PTE_W	 (1ull << 1)
#define PTE_U	 (1ull << 2)
#define PTE_D	 (1ull << 6)
#define PTE_PS	 (1ull << 7)
#define PTE_XD	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/* In a large page's entry bit 12 is PAT; the address bits above it and below the page size
 * are reserved (SDM vol. 3, tables 4-16 and 4-18). */
#define PTE_LARGE_PAT (1ull << 12)

static const char *const level_name[] = { "", "PTE", "PDE", "PDPTE", "PML4E", "PML5E" };

bool vp_paging_is_long(const struct vp_paging *p)
{
	return p->cr0 & CR0_PG && p->cr4 & CR4_PAE && p->efer & VP_EFER_LMA;
}

static bool canonical(uint64_t va, unsigned int bits)
{
	uint64_t half = 1ull << (bits - 1);

	return va + half < 2 * half;
}

static unsigned int level_shift(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

static bool is_leaf(uint64_t pte, unsigned int level)
{
	return level == 1 || ((level == 2 || level == 3) && pte & PTE_PS);
}

/*
 * Does a present entry have a reserved bit set? Address bits at and above MAXPHYADDR are, too, but
 * that is the vCPU's CPUID; such an address lies outside RAM and is found so.
 */
static bool has_reserved(const struct vp_paging *p, uint64_t pte, unsigned int level)
{
	uint64_t below = (1ull << level_shift(level)) - 1;

	if (pte & PTE_XD && !(p->efer & EFER_NXE))
		return true;
	if (level >= 4)
		return pte & PTE_PS;
	return level > 1 && is_leaf(pte, level) && pte & PTE_ADDR & below & ~PTE_LARGE_PAT;
}

static int check_start(const struct vp_paging *p, vp_gva addr, unsigned int levels,
		       struct vp_err *err)
{
	if (!vp_paging_is_long(p))
		return vp_err_set(err, -EOPNOTSUPP,
				  "the vCPU is not in 64-bit mode with paging (CR0 0x%llx, CR4 "
				  "0x%llx, EFER 0x%llx)",
				  (unsigned long long)p->cr0, (unsigned long long)p->cr4,
				  (unsigned long long)p->efer);
	if (!canonical(addr.v, levels == 5 ? 57 : 48))
		return vp_err_set(err, -EFAULT, "0x%llx is not a canonical %u-level address",
				  (unsigned long long)addr.v, levels);
	return 0;
}

/* Read the entry for @addr in the table at @table; say why if the walk cannot go on with it. */
static int read_entry(const struct vp_paging *p, const struct vp_phys_reader *mem, vp_gva addr,
		      uint64_t table, unsigned int level, uint64_t *pte, struct vp_err *err)
{
	vp_gpa at = VP_GPA(table + (addr.v >> level_shift(level) & 511) * sizeof(*pte));
	struct vp_err why = { "" };
	int rc = mem->read(mem->arg, at, pte, sizeof(*pte), &why);

	if (rc == -EFAULT)
		return vp_err_set(err, rc,
				  "0x%llx: its %s at guest-physical 0x%llx lies outside RAM",
				  (unsigned long long)addr.v, level_name[level],
				  (unsigned long long)at.v);
	if (rc)
		return vp_err_set(err, rc,
				  "0x%llx: its %s at guest-physical 0x%llx cannot be read: %.160s",
				  (unsigned long long)addr.v, level_name[level],
				  (unsigned long long)at.v, *why.text ? why.text : strerror(-rc));
	if (!(*pte & PTE_P))
		return vp_err_set(err, -EFAULT, "0x%llx is not mapped: its %s is not present",
				  (unsigned long long)addr.v, level_name[level]);
	if (has_reserved(p, *pte, level))
		return vp_err_set(err, -EFAULT,
				  "0x%llx is not mapped: its %s 0x%llx has a reserved bit set",
				  (unsigned long long)addr.v, level_name[level],
				  (unsigned long long)*pte);
	return 0;
}

int vp_walk(const struct vp_paging *p, const struct vp_phys_reader *mem, vp_gva addr,
	    struct vp_map *out, struct vp_err *err)
{
	unsigned int levels = p->cr4 & CR4_LA57 ? 5 : 4;
	struct vp_map map = { .levels = levels, .writable = true, .user = true };
	uint64_t table = p->cr3 & PTE_ADDR;
	int rc = check_start(p, addr, levels, err);

	/* Every round goes one level down, so a table that points to itself ends the walk, too. */
	for (unsigned int level = levels; !rc; level--) {
		uint64_t pte = 0;

		rc = read_entry(p, mem, addr, table, level, &pte, err);
		if (rc)
			break;
		map.writable = map.writable && pte & PTE_W;
		map.user = map.user && pte & PTE_U;
		map.nx = map.nx || pte & PTE_XD;
		if (is_leaf(pte, level)) {
			uint64_t in_page = (1ull << level_shift(level)) - 1;

			map.page_size = in_page + 1;
			map.dirty = pte & PTE_D;
			map.gpa = VP_GPA((pte & PTE_ADDR & ~in_page) | (addr.v & in_page));
			*out = map;
			break;
		}
		table = pte & PTE_ADDR;
	}
	return rc;
}
