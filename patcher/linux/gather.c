/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/gather.h"

#include <errno.h>
#include <stdlib.h>

/* A piece lies in one page, so that it can be found by its address. */
#define PAGE 0x1000u

static int add_piece(struct vp_gather *g, uint64_t addr, uint64_t gpa, uint32_t len,
		     struct vp_err *err)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 256;
		void *p = reallocarray(g->pieces, cap, sizeof(*g->pieces));

		if (!p)
			return vp_err_set(err, -ENOMEM, "out of memory for a list of reads");
		g->pieces = p;
		g->cap = cap;
	}
	g->pieces[g->n++] = (struct vp_gather_piece){ .addr = addr, .gpa = gpa, .len = len };
	return 0;
}

int vp_gather_add(struct vp_gather *g, const struct vp_linux *l, uint64_t addr, size_t len,
		  struct vp_err *err)
{
	if (addr + len < addr || len > VP_GATHER_MAX)
		return vp_err_set(err, -EFAULT, "0x%llx is too near the end of memory",
				  (unsigned long long)addr);
	while (len) {
		uint64_t left = PAGE - addr % PAGE, mapped;
		vp_gpa gpa;
		int rc = vp_kernel_mem_place(&l->mem, VP_GVA(addr), &gpa, &mapped, err);

		if (rc)
			return rc;
		left = left < mapped ? left : mapped;
		left = left < len ? left : len;
		rc = add_piece(g, addr, gpa.v, (uint32_t)left, err);
		if (rc)
			return rc;
		addr += left;
		len -= left;
	}
	return 0;
}

static int by_gpa(const void *a, const void *b)
{
	const struct vp_gather_piece *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

/* Of one address the longest first: it has what the others have. */
static int by_addr(const void *a, const void *b)
{
	const struct vp_gather_piece *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->len > y->len ? -1 : x->len < y->len;
}

/* Take a piece into the runs, of which there is room for one more: what lies in one page is one. */
static void add_run(struct vp_gather *g, struct vp_gather_piece *p)
{
	struct vp_gather_run *r = g->nruns ? &g->runs[g->nruns - 1] : NULL;
	uint64_t end = p->gpa + p->len;

	if (!r || p->gpa > r->gpa + r->len + PAGE) {
		r = &g->runs[g->nruns++];
		*r = (struct vp_gather_run){ .gpa = p->gpa, .at = g->size };
	}
	if (end > r->gpa + r->len) {
		g->size += (size_t)(end - r->gpa) - r->len;
		r->len = (size_t)(end - r->gpa);
	}
	p->at = r->at + (size_t)(p->gpa - r->gpa);
}

static int add_runs(struct vp_gather *g, struct vp_err *err)
{
	g->nruns = g->size = 0;
	for (size_t i = 0; i < g->n && g->size <= VP_GATHER_MAX; i++)
		add_run(g, &g->pieces[i]);
	if (g->size <= VP_GATHER_MAX)
		return 0;
	return vp_err_set(err, -E2BIG, "more than %zu MB of the guest's memory at once",
			  VP_GATHER_MAX >> 20);
}

static void free_plan(struct vp_gather *g)
{
	free(g->runs);
	free(g->reads);
	free(g->bytes);
	g->runs = NULL;
	g->reads = NULL;
	g->bytes = NULL;
}

int vp_gather_plan(struct vp_gather *g, struct vp_err *err)
{
	int rc;

	free_plan(g);
	g->runs = calloc(g->n + 1, sizeof(*g->runs));
	if (!g->runs)
		return vp_err_set(err, -ENOMEM, "out of memory for a list of reads");
	if (g->n)
		qsort(g->pieces, g->n, sizeof(*g->pieces), by_gpa);
	rc = add_runs(g, err);
	if (rc)
		return rc;
	if (g->n)
		qsort(g->pieces, g->n, sizeof(*g->pieces), by_addr);
	g->reads = calloc(g->nruns + 1, sizeof(*g->reads));
	g->bytes = malloc(g->size + 1);
	if (!g->reads || !g->bytes)
		return vp_err_set(err, -ENOMEM, "out of memory for a copy of stacks");
	for (size_t i = 0; i < g->nruns; i++)
		g->reads[i] = (struct vp_piece){ .gpa = VP_GPA(g->runs[i].gpa),
						 .into = g->bytes + g->runs[i].at,
						 .len = g->runs[i].len };
	return 0;
}

/* Between pieces may be memory that is no RAM; then each piece is read for itself. */
static int read_pieces(struct vp_gather *g, const struct vp_linux *l, const struct vp_gather_run *r,
		       struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < g->n && !rc; i++) {
		struct vp_gather_piece *p = &g->pieces[i];

		if (p->at - r->at >= r->len)
			continue;
		rc = l->mem.t->ops->read(l->mem.t, VP_GPA(p->gpa), g->bytes + p->at, p->len, err);
		if (rc == -EFAULT && g->lossy) {
			p->len = 0;
			rc = 0;
		}
	}
	return rc;
}

int vp_gather_read(struct vp_gather *g, const struct vp_linux *l, struct vp_err *err)
{
	const struct vp_target_ops *ops = l->mem.t->ops;
	int rc = -EFAULT;

	if (ops->read_pieces)
		rc = ops->read_pieces(l->mem.t, g->reads, g->nruns, err);
	if (rc != -EFAULT)
		return rc;
	rc = 0;
	for (size_t i = 0; i < g->nruns && !rc; i++) {
		const struct vp_gather_run *r = &g->runs[i];

		rc = ops->read(l->mem.t, VP_GPA(r->gpa), g->bytes + r->at, r->len, err);
		if (rc == -EFAULT)
			rc = read_pieces(g, l, r, err);
	}
	return rc;
}

/* The piece that has the byte at @addr, or NULL. Those of a page may overlap: all are looked at. */
static const struct vp_gather_piece *find(const struct vp_gather *g, uint64_t addr)
{
	uint64_t page = addr & ~(uint64_t)(PAGE - 1);
	size_t lo = 0, hi = g->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (g->pieces[mid].addr < page)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < g->n && g->pieces[lo].addr <= addr; lo++)
		if (addr - g->pieces[lo].addr < g->pieces[lo].len)
			return &g->pieces[lo];
	return NULL;
}

bool vp_gather_get(const struct vp_gather *g, uint64_t addr, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		const struct vp_gather_piece *p = g->bytes ? find(g, addr) : NULL;
		size_t off, n;

		if (!p)
			return false;
		off = (size_t)(addr - p->addr);
		n = p->len - off < len ? p->len - off : len;
		memcpy(to, g->bytes + p->at + off, n);
		addr += n;
		to += n;
		len -= n;
	}
	return true;
}

void vp_gather_free(struct vp_gather *g)
{
	free(g->pieces);
	free_plan(g);
	memset(g, 0, sizeof(*g));
}
