/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/kernel_mem.h"

#include "base/vcpus.h"
#include "x86/tables.h"

#include <errno.h>
#include <stdlib.h>

#define SIZE_4K 0x1000ull
#define SIZE_2M 0x200000ull
#define SIZE_1G 0x40000000ull

/* Text, rodata and data of the smallest kernel that boots; more than PTI shows to user space. */
#define IMAGE_MIN (3 * SIZE_2M)

/* Page tables are kept for one call of this file, unless the caller wants more. */
static int read_phys(void *arg, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_target *t = arg;

	return t->ops->read(t, gpa, buf, len, err);
}

void vp_kernel_mem_tables(struct vp_tables *tab, struct vp_target *t)
{
	vp_tables_init(tab, (struct vp_phys_reader){ read_phys, t });
}

/* --- finding the image ------------------------------------------------------- */

/*
 * How far from @addr the next address is that can be mapped, after a walk that found nothing.
 * Behind an entry that leads to no memory there is nothing for as far as that entry goes.
 */
static uint64_t hole(const struct vp_tables *tab, const struct vp_paging *p, uint64_t addr)
{
	unsigned int levels = p->cr4 >> 12 & 1 ? 5 : 4;
	unsigned int left = levels - tab->reads + tab->lost;
	uint64_t size = left >= 2 ? SIZE_1G : left == 1 ? SIZE_2M : SIZE_4K;

	return size - (addr & (size - 1));
}

/*
 * Each page that is mapped in [from, to), until @fn returns non-zero; returns that. -ENOENT: no
 * walk can begin.
 */
static int each_page(struct vp_tables *tab, const struct vp_paging *p, uint64_t from, uint64_t to,
		     vp_page_fn *fn, void *arg, struct vp_err *err)
{
	uint64_t left = to - from; /* so that the end of the address space is no matter */

	while (left) {
		uint64_t len;
		struct vp_map map;
		int rc = vp_tables_walk(tab, p, VP_GVA(to - left), &map, err);

		if (rc && !tab->reads)
			return -ENOENT;
		if (rc && rc != -EFAULT)
			return rc; /* not known is not the same as not there */
		len = rc ? hole(tab, p, to - left)
			 : map.page_size - ((to - left) & (map.page_size - 1));
		rc = rc ? 0 : fn(arg, VP_GVA(to - left), len, &map);
		if (rc)
			return rc;
		left -= len < left ? len : left;
	}
	return 0;
}

/* Take a page into the image. */
static int add_page(void *arg, vp_gva addr, uint64_t len, const struct vp_map *map)
{
	struct vp_kernel_mem *m = arg;
	struct vp_kernel_run *last = m->nruns ? &m->runs[m->nruns - 1] : NULL;

	if (map->page_size > SIZE_2M) /* the kernel never maps itself so */
		return -ENOENT;
	if (!m->nruns) {
		m->text = addr;
		m->text_phys = map->gpa;
		m->levels = map->levels;
	}
	if (map->gpa.v - m->text_phys.v != addr.v - m->text.v)
		return 1;
	if (last && last->start + last->len == addr.v && last->writable == map->writable &&
	    last->nx == map->nx)
		last->len += len;
	else if (m->nruns == VP_KERNEL_RUNS_MAX) /* more changes of rights than any kernel has */
		return -ENOENT;
	else
		m->runs[m->nruns++] = (struct vp_kernel_run){ addr.v, len, map->writable, map->nx };
	m->end = addr.v + len;
	return 0;
}

/*
 * Walk the part of the address space where the image must be. The first page mapped is _text, if
 * these page tables show all of the image: what follows must lie in memory as it lies in the
 * address space, and be large enough. Modules lie elsewhere in memory and end it. -ENOENT: not so.
 */
static int map_image(struct vp_tables *tab, struct vp_kernel_mem *m, struct vp_err *err)
{
	uint64_t mapped = 0;
	int rc;

	m->nruns = 0;
	rc = each_page(tab, &m->space, VP_KERNEL_MAP, VP_KERNEL_MAP_END, add_page, m, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < m->nruns; i++)
		mapped += m->runs[i].len;
	return mapped >= IMAGE_MIN && m->text.v % SIZE_2M == 0 && !m->runs[0].nx ? 0 : -ENOENT;
}

/* Is there writable data, too? User space under PTI sees none. */
static bool is_whole(const struct vp_kernel_mem *m)
{
	for (size_t i = 0; i < m->nruns; i++)
		if (m->runs[i].writable)
			return true;
	return false;
}

static int try_space(struct vp_tables *tab, struct vp_kernel_mem *m, const struct vp_paging *p,
		     uint64_t cr3, struct vp_err *err)
{
	int rc;

	m->space = *p;
	m->space.cr3 = cr3;
	rc = map_image(tab, m, err);
	return rc ? rc : is_whole(m) ? 0 : -ENOENT;
}

struct search {
	struct vp_kernel_mem *mem;
	struct vp_err *err;
	unsigned int seen; /* vCPUs in 64-bit mode */
};

/* 1: found. */
static int try_vcpu(void *arg, int vcpu, const struct vp_vcpu_state *state)
{
	const struct vp_paging *p = &state->paging;
	struct search *s = arg;
	struct vp_err why = { "" }; /* of what is not mapped, too: a walk goes on behind it */
	struct vp_tables tab;
	int rc;

	(void)vcpu;
	if (!vp_paging_is_long(p) || state->nested)
		return 0;
	s->seen++;
	vp_kernel_mem_tables(&tab, s->mem->t);
	rc = try_space(&tab, s->mem, p, p->cr3 & ~VP_CR3_PTI_USER, &why);
	if (rc == -ENOENT && p->cr3 & VP_CR3_PTI_USER)
		rc = try_space(&tab, s->mem, p, p->cr3, &why);
	if (rc == -ENOENT)
		return 0;
	return rc ? vp_err_set(s->err, rc, "%s", why.text) : 1;
}

int vp_kernel_mem_find(struct vp_target *t, struct vp_kernel_mem *out, struct vp_err *err)
{
	struct search s = { out, err, 0 };
	int rc;

	memset(out, 0, sizeof(*out));
	out->t = t;
	rc = vp_each_vcpu(t, try_vcpu, &s, err);
	if (rc)
		return rc < 0 ? rc : 0;
	return vp_err_set(
		err, -ENOENT,
		s.seen ? "no vCPU has a Linux kernel in its page tables: the guest runs "
			 "another system, or has not booted so far"
		       : "no vCPU is in 64-bit mode with paging: the guest has not booted "
			 "so far, or is no 64-bit Linux");
}

/* --- reading ----------------------------------------------------------------- */

int vp_kernel_mem_keep(struct vp_kernel_mem *m)
{
	if (!m->kept)
		m->kept = malloc(sizeof(*m->kept));
	if (!m->kept)
		return -ENOMEM;
	vp_kernel_mem_tables(m->kept, m->t);
	return 0;
}

void vp_kernel_mem_drop(struct vp_kernel_mem *m)
{
	free(m->kept);
	m->kept = NULL;
}

/* The kept tables, or @own made fresh. */
static struct vp_tables *tables_of(const struct vp_kernel_mem *m, struct vp_tables *own)
{
	if (m->kept)
		return m->kept;
	vp_kernel_mem_tables(own, m->t);
	return own;
}

int vp_kernel_mem_each(const struct vp_kernel_mem *m, vp_gva from, vp_gva to, vp_page_fn *fn,
		       void *arg, struct vp_err *err)
{
	struct vp_tables own;

	return each_page(tables_of(m, &own), &m->space, from.v, to.v, fn, arg, err);
}

int vp_kernel_mem_walk(const struct vp_kernel_mem *m, uint64_t cr3, vp_gva addr, vp_gpa *out,
		       struct vp_err *err)
{
	struct vp_paging p = m->space;
	struct vp_map map;
	struct vp_tables own;
	int rc;

	p.cr3 = cr3;
	rc = vp_tables_walk(tables_of(m, &own), &p, addr, &map, err);
	if (!rc)
		*out = map.gpa;
	return rc;
}

static const struct vp_kernel_run *find_run(const struct vp_kernel_mem *m, uint64_t addr)
{
	for (size_t i = 0; i < m->nruns; i++)
		if (addr - m->runs[i].start < m->runs[i].len)
			return &m->runs[i];
	return NULL;
}

/* How many of the bytes at @addr lie in the image, and so in one piece? */
static uint64_t in_image(const struct vp_kernel_mem *m, uint64_t addr, uint64_t len)
{
	uint64_t at = addr;

	for (const struct vp_kernel_run *r; at - addr < len && (r = find_run(m, at));)
		at = r->start + r->len;
	return at - addr < len ? at - addr : len;
}

int vp_kernel_mem_place(const struct vp_kernel_mem *m, vp_gva addr, vp_gpa *out, uint64_t *left,
			struct vp_err *err)
{
	struct vp_tables own;
	struct vp_map map;
	int rc;

	*left = in_image(m, addr.v, SIZE_4K);
	*out = VP_GPA(addr.v - m->text.v + m->text_phys.v);
	if (*left)
		return 0;
	rc = vp_tables_walk(tables_of(m, &own), &m->space, addr, &map, err);
	if (rc)
		return rc;
	*out = map.gpa;
	*left = map.page_size - (addr.v & (map.page_size - 1));
	return 0;
}

int vp_kernel_mem_read(const struct vp_kernel_mem *m, vp_gva addr, void *buf, size_t len,
		       struct vp_err *err)
{
	struct vp_tables own, *tab = tables_of(m, &own);
	uint8_t *to = buf;
	int rc = 0;

	if (addr.v + len < addr.v)
		return vp_err_set(err, -EFAULT, "0x%llx is too near the end of memory",
				  (unsigned long long)addr.v);
	while (len && !rc) {
		uint64_t n = in_image(m, addr.v, len), left;
		vp_gpa gpa = VP_GPA(addr.v - m->text.v + m->text_phys.v);
		struct vp_map map, next;

		if (!n) {
			rc = vp_tables_walk(tab, &m->space, addr, &map, err);
			if (rc)
				break;
			gpa = map.gpa;
			n = map.page_size - (addr.v & (map.page_size - 1));
			/* Modules have pages of 4 KiB, many of them neighbours in memory, too. */
			while (n < len &&
			       !vp_tables_walk(tab, &m->space, VP_GVA(addr.v + n), &next, NULL) &&
			       next.gpa.v == gpa.v + n)
				n += next.page_size - ((addr.v + n) & (next.page_size - 1));
		}
		left = n < len ? n : len;
		rc = m->t->ops->read(m->t, gpa, to, left, err);
		addr.v += left;
		to += left;
		len -= left;
	}
	return rc;
}

int vp_kernel_mem_is_code(const struct vp_kernel_mem *m, vp_gva addr, bool *code,
			  struct vp_err *err)
{
	const struct vp_kernel_run *r = find_run(m, addr.v);
	struct vp_tables own;
	struct vp_map map;
	int rc = 0;

	*code = r && !r->nx;
	if (r || !(addr.v >> 63))
		return 0;
	rc = vp_tables_walk(tables_of(m, &own), &m->space, addr, &map, err);
	*code = !rc && !map.nx && !map.user;
	return rc == -EFAULT ? 0 : rc;
}

bool vp_kernel_mem_is_sealed(const struct vp_kernel_mem *m, vp_gva addr)
{
	const struct vp_kernel_run *r = find_run(m, addr.v);

	return r && !r->writable;
}
