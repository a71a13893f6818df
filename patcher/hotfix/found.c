/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three rounds of reads, since each has a price of its own whatever its length: the heads of all
 * pages of code that are nobody's; the labels; and all that they speak of.
 */
#include "hotfix/found.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "hotfix/arena.h"
#include "linux/gather.h"

#define PAGE 0x1000u

#define JMP_SIZE 5u

/* Of all hotfixes together: each function is compared with each. */
#define FUNCTIONS_MAX 4096u

/* Bytes of code that are compared with what labels say. */
#define CODE_MAX ((size_t)32 << 20)

/* What could not be read is passed by: the guest takes memory away as it likes. */
static int want(struct vp_gather *g, const struct vp_linux *l, uint64_t addr, size_t len,
		struct vp_err *err)
{
	int rc = addr >> 63 ? vp_gather_add(g, l, addr, len, err) : 0;

	return rc == -EFAULT ? 0 : rc;
}

static int read_all(struct vp_gather *g, const struct vp_linux *l, struct vp_err *err)
{
	int rc = vp_gather_plan(g, err);

	return rc ? rc : vp_gather_read(g, l, err);
}

/* --- where labels are ------------------------------------------------------------------ */

struct place {
	vp_gva at;
	size_t len;
};

struct places {
	struct place *list;
	size_t n;
};

static int take_place(struct places *p, const struct vp_gather *g, vp_gva at, struct vp_err *err)
{
	uint8_t head[VP_LABEL_HEAD];
	void *more;
	size_t len;

	if (!vp_gather_get(g, at.v, head, sizeof(head)) || !(len = vp_hotfix_label_length(head)))
		return 0;
	if (p->n == VP_HOTFIX_FOUND_MAX)
		return vp_err_set(err, -E2BIG, "more than %u hotfixes are in the guest's memory",
				  VP_HOTFIX_FOUND_MAX);
	more = reallocarray(p->list, p->n + 1, sizeof(*p->list));
	if (!more)
		return vp_err_set(err, -ENOMEM, "out of memory");
	p->list = more;
	p->list[p->n++] = (struct place){ at, len };
	return 0;
}

/* Which pages of @ranges begin with a label? */
static int find_places(struct vp_linux *l, const struct vp_linux_range *ranges, size_t n,
		       struct places *out, struct vp_err *err)
{
	struct vp_gather g = { .lossy = true };
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		for (uint64_t off = 0; off < ranges[i].len && !rc; off += PAGE)
			rc = want(&g, l, ranges[i].start.v + off, VP_LABEL_HEAD, err);
	if (!rc)
		rc = read_all(&g, l, err);
	for (size_t i = 0; i < n && !rc; i++)
		for (uint64_t off = 0; off < ranges[i].len && !rc; off += PAGE)
			rc = take_place(out, &g, VP_GVA(ranges[i].start.v + off), err);
	vp_gather_free(&g);
	return rc;
}

/* --- the labels ------------------------------------------------------------------------ */

struct look {
	struct vp_linux *l;
	struct vp_hotfix_found *list;
	size_t n;
	vp_gva *damaged;
	size_t ndamaged;
	size_t nfunctions;
	bool (*covers)[VP_HOTFIX_FOUND_MAX]; /* [a][b]: a lies over b */
	struct vp_err *err;
};

static int take_label(struct look *k, const struct vp_gather *g, const struct place *p,
		      uint8_t *bytes)
{
	struct vp_hotfix_found *f = &k->list[k->n];
	int rc = -EBADMSG;

	if (vp_gather_get(g, p->at.v, bytes, p->len))
		rc = vp_hotfix_label_read(bytes, p->len, p->at, &f->label, NULL);
	if (rc == -ENOMEM)
		return vp_err_set(k->err, rc, "out of memory");
	if (rc) {
		k->damaged[k->ndamaged++] = p->at;
		return 0;
	}
	f->at = p->at;
	k->n++;
	k->nfunctions += f->label->nfunctions;
	if (k->nfunctions > FUNCTIONS_MAX)
		return vp_err_set(k->err, -E2BIG, "more than %u functions are replaced",
				  FUNCTIONS_MAX);
	f->entries = calloc(f->label->nfunctions, sizeof(*f->entries));
	return f->entries ? 0 : vp_err_set(k->err, -ENOMEM, "out of memory");
}

static int take_labels(struct look *k, const struct places *places)
{
	struct vp_gather g = { .lossy = true };
	uint8_t *bytes = malloc(VP_LABEL_MAX);
	int rc = 0;

	k->list = calloc(places->n + 1, sizeof(*k->list));
	k->damaged = calloc(places->n + 1, sizeof(*k->damaged));
	if (!bytes || !k->list || !k->damaged)
		rc = vp_err_set(k->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < places->n && !rc; i++)
		rc = want(&g, k->l, places->list[i].at.v, places->list[i].len, k->err);
	if (!rc)
		rc = read_all(&g, k->l, k->err);
	for (size_t i = 0; i < places->n && !rc; i++)
		rc = take_label(k, &g, &places->list[i], bytes);
	vp_gather_free(&g);
	free(bytes);
	return rc;
}

/* --- the order -------------------------------------------------------------------------- */

/* Where the 5 bytes of a jmp at @site go; 0: they are none. */
static uint64_t jmp_target(const uint8_t *bytes, vp_gva site)
{
	int32_t rel;

	if (bytes[0] != 0xe9)
		return 0;
	memcpy(&rel, bytes + 1, sizeof(rel));
	return site.v + JMP_SIZE + (uint64_t)(int64_t)rel;
}

bool vp_hotfix_leads_to(const uint8_t *bytes, const struct vp_hotfix_label_function *f)
{
	return jmp_target(bytes, f->site) == f->replacement.v;
}

/* The function of @l whose replacement is what a jmp at @site to @target leads to; NULL: none. */
static const struct vp_hotfix_label_function *led_to(const struct vp_hotfix_label *l, vp_gva site,
						     uint64_t target)
{
	for (size_t i = 0; i < l->nfunctions; i++)
		if (l->functions[i].site.v == site.v && l->functions[i].replacement.v == target)
			return &l->functions[i];
	return NULL;
}

/* Did @a come over @b: what it found at a site led to @b? */
static bool covers(const struct vp_hotfix_label *a, const struct vp_hotfix_label *b)
{
	for (size_t i = 0; i < a->nfunctions; i++) {
		const struct vp_hotfix_label_function *f = &a->functions[i];
		uint64_t target = jmp_target(f->before, f->site);

		if (target && led_to(b, f->site, target))
			return true;
	}
	return false;
}

static bool is_older(const struct vp_hotfix_found *a, const struct vp_hotfix_found *b)
{
	if (a->label->when != b->label->when)
		return a->label->when < b->label->when;
	return a->at.v < b->at.v;
}

/* Which of those from @from on is the oldest that lies over none of them? */
static size_t oldest(const struct look *k, const size_t *order, size_t from)
{
	size_t best = k->n, any = from;

	for (size_t i = from; i < k->n; i++) {
		bool lowest = true;

		for (size_t j = from; j < k->n && lowest; j++)
			lowest = i == j || !k->covers[order[i]][order[j]];
		if (is_older(&k->list[order[i]], &k->list[order[any]]))
			any = i;
		if (lowest && (best == k->n || is_older(&k->list[order[i]], &k->list[order[best]])))
			best = i;
	}
	return best < k->n ? best : any;
}

/*
 * Oldest first, by what lies over what, then by when they say they came: clocks differ from host to
 * host. Labels that lie over each other in a circle lie otherwise, too, and are taken as they come.
 */
static int put_in_order(struct look *k)
{
	struct vp_hotfix_found *sorted = calloc(k->n, sizeof(*sorted));
	size_t order[VP_HOTFIX_FOUND_MAX];

	k->covers = calloc(k->n, sizeof(*k->covers));
	if (!sorted || !k->covers) {
		free(sorted);
		return vp_err_set(k->err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < k->n; i++) {
		order[i] = i;
		for (size_t j = 0; j < k->n; j++)
			k->covers[i][j] = covers(k->list[i].label, k->list[j].label);
	}
	for (size_t i = 0; i < k->n; i++) {
		size_t at = oldest(k, order, i), which = order[at];

		order[at] = order[i];
		order[i] = which;
		sorted[i] = k->list[which];
	}
	free(k->list);
	k->list = sorted;
	return 0;
}

/* --- what stands ------------------------------------------------------------------------ */

/* Of how much code may a label speak? No more than we ever put there. */
static bool is_bounded(const struct vp_hotfix_label *l)
{
	return l->areas[VP_AREA_TEXT].size <= VP_ARENA_MAX &&
	       l->areas[VP_AREA_RODATA].size <= VP_ARENA_MAX;
}

static int want_spoken_of(struct look *k, struct vp_gather *g)
{
	size_t code = 0;
	int rc = 0;

	for (size_t i = 0; i < k->n && !rc; i++) {
		const struct vp_hotfix_label *l = k->list[i].label;

		for (size_t j = 0; j < l->nfunctions && !rc; j++)
			rc = want(g, k->l, l->functions[j].site.v, JMP_SIZE, k->err);
		if (is_bounded(l))
			code += l->areas[VP_AREA_TEXT].size + l->areas[VP_AREA_RODATA].size;
		for (size_t j = 0; j <= VP_AREA_RODATA && !rc && is_bounded(l) && code <= CODE_MAX;
		     j++)
			rc = want(g, k->l, l->areas[j].at.v, l->areas[j].size, k->err);
	}
	return rc;
}

/* Is its code what the label says? -ENOMEM. */
static int judge_code(struct vp_hotfix_found *f, const struct vp_gather *g)
{
	const struct vp_hotfix_label *l = f->label;
	size_t head = vp_hotfix_label_size(l), text = l->areas[VP_AREA_TEXT].size - head;
	size_t rodata = l->areas[VP_AREA_RODATA].size;
	uint8_t *bytes;

	if (!is_bounded(l))
		return 0;
	bytes = malloc(text + rodata + 1);
	if (!bytes)
		return -ENOMEM;
	if (vp_gather_get(g, f->at.v + head, bytes, text) &&
	    vp_gather_get(g, l->areas[VP_AREA_RODATA].at.v, bytes + text, rodata))
		f->whole = vp_digest(VP_DIGEST_INIT, bytes, text + rodata) == l->code;
	free(bytes);
	return 0;
}

/*
 * Follow what stands at a site, from the newest hotfix down: each says what was there before it.
 */
static void judge_entry(const struct look *k, struct vp_hotfix_found *f, size_t which,
			const struct vp_gather *g)
{
	const struct vp_hotfix_label_function *own = &f->label->functions[which], *over;
	struct vp_hotfix_entry *e = &f->entries[which];
	const uint8_t *bytes = e->now;
	uint64_t target;

	e->leads = VP_LEADS_UNKNOWN;
	if (!vp_gather_get(g, own->site.v, e->now, JMP_SIZE))
		return;
	e->leads = VP_LEADS_OTHER;
	if (!memcmp(e->now, own->before, JMP_SIZE))
		e->leads = VP_LEADS_BEFORE;
	for (size_t i = k->n; i-- && (target = jmp_target(bytes, own->site));) {
		struct vp_hotfix_found *next = &k->list[i];

		if (next == f && target == own->replacement.v)
			e->leads = e->over ? VP_LEADS_OVER : VP_LEADS_HERE;
		if (next == f)
			break;
		over = led_to(next->label, own->site, target);
		if (!over)
			continue;
		e->over = e->over ? e->over : next->label;
		bytes = over->before;
	}
	if (e->leads == VP_LEADS_OVER)
		f->covered = true;
	else
		e->over = NULL;
}

static void judge(const struct look *k, struct vp_hotfix_found *f, const struct vp_gather *g)
{
	size_t lead = 0;

	for (size_t i = 0; i < f->label->nfunctions; i++) {
		judge_entry(k, f, i, g);
		lead += f->entries[i].leads <= VP_LEADS_OVER;
	}
	f->stands = !lead			   ? VP_HOTFIX_UNUSED
		    : lead == f->label->nfunctions ? VP_HOTFIX_APPLIED
						   : VP_HOTFIX_MIXED;
}

static int judge_all(struct look *k)
{
	struct vp_gather g = { .lossy = true };
	int rc = want_spoken_of(k, &g);

	if (!rc)
		rc = read_all(&g, k->l, k->err);
	for (size_t i = 0; i < k->n && !rc; i++) {
		judge(k, &k->list[i], &g);
		if (judge_code(&k->list[i], &g))
			rc = vp_err_set(k->err, -ENOMEM, "out of memory");
	}
	vp_gather_free(&g);
	return rc;
}

/* --- all of it -------------------------------------------------------------------------- */

static int look(struct look *k)
{
	struct vp_linux_range *ranges = NULL;
	struct places places = { 0 };
	size_t n = 0;
	int rc = vp_linux_code_outside(k->l, &ranges, &n, k->err);

	if (!rc)
		rc = find_places(k->l, ranges, n, &places, k->err);
	if (!rc && places.n)
		rc = take_labels(k, &places);
	if (!rc && k->n)
		rc = put_in_order(k);
	if (!rc && k->n)
		rc = judge_all(k);
	free(k->covers);
	free(ranges);
	free(places.list);
	return rc;
}

int vp_hotfix_look(struct vp_linux *l, struct vp_hotfix_found **out, size_t *n, vp_gva **damaged,
		   size_t *ndamaged, struct vp_err *err)
{
	struct vp_err why = { "" }; /* of what is not mapped, too */
	struct look k = { .l = l, .err = &why };
	int rc =
		vp_kernel_mem_keep(&l->mem) ? vp_err_set(&why, -ENOMEM, "out of memory") : look(&k);

	vp_kernel_mem_drop(&l->mem);
	if (rc || !damaged)
		free(k.damaged);
	if (rc) {
		vp_hotfix_found_free(k.list, k.n);
		return vp_err_set(err, rc, "%s", why.text);
	}
	*out = k.list;
	*n = k.n;
	if (damaged) {
		*damaged = k.damaged;
		*ndamaged = k.ndamaged;
	}
	return 0;
}

int vp_hotfix_find(struct vp_linux *l, struct vp_hotfix_found **out, size_t *n, struct vp_err *err)
{
	return vp_hotfix_look(l, out, n, NULL, NULL, err);
}

void vp_hotfix_found_free(struct vp_hotfix_found *list, size_t n)
{
	for (size_t i = 0; list && i < n; i++) {
		free(list[i].label);
		free(list[i].entries);
	}
	free(list);
}

const char *vp_hotfix_stands_name(enum vp_hotfix_stands s)
{
	static const char *const names[] = {
		[VP_HOTFIX_APPLIED] = "applied",
		[VP_HOTFIX_UNUSED] = "unused",
		[VP_HOTFIX_MIXED] = "mixed",
	};

	return names[s];
}

const char *vp_hotfix_leads_name(enum vp_hotfix_leads leads)
{
	static const char *const names[] = {
		[VP_LEADS_HERE] = "here",	[VP_LEADS_OVER] = "over",
		[VP_LEADS_BEFORE] = "before",	[VP_LEADS_OTHER] = "other",
		[VP_LEADS_UNKNOWN] = "unknown",
	};

	return names[leads];
}
