/* SPDX-License-Identifier: Apache-2.0 */
/* Which item of the old compilation is which of the new one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "diff/compare.h"

/* An item by its name. */
struct named {
	const char *name;
	size_t base; /* length without the compiler's number */
	bool numbered, code;
	size_t item;
	uint64_t users; /* a digest of which functions refer to it; 0: none does */
};

struct names {
	struct vp_unit *u;
	struct named *list;
	size_t n;
	size_t *at; /* by item: its place in the list */
};

static int compare(const struct named *x, const struct named *y)
{
	size_t n = x->base < y->base ? x->base : y->base;
	int rc = memcmp(x->name, y->name, n);

	if (!rc && x->base != y->base)
		rc = x->base < y->base ? -1 : 1;
	if (!rc)
		rc = (int)x->numbered - (int)y->numbered;
	if (!rc)
		rc = (int)x->code - (int)y->code;
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int rc = compare(x, y);

	if (!rc && x->item != y->item)
		rc = x->item < y->item ? -1 : 1;
	return rc;
}

/* Functions of one item are told apart by name: their order does not count, so digests are added.
 */
static void find_users(struct names *n)
{
	struct vp_unit *u = n->u;

	for (size_t i = 0; i < u->nitems; i++) {
		const struct vp_item *f = &u->items[i];
		const char *name = vp_unit_name(u, f->of);
		bool numbered;
		uint64_t digest = vp_digest(VP_DIGEST_INIT, name, vp_name_base(name, &numbered));
		size_t nr, last = VP_NO_ITEM;
		const struct vp_elf_reloc *r =
			vp_unit_relocs(u, f->section, f->offset, f->size, &nr);

		for (size_t j = 0; j < nr; j++) {
			struct vp_ref ref = vp_unit_ref(u, f->section, &r[j]);
			struct named *to;

			if (ref.kind != VP_REF_ITEM || ref.item == last)
				continue;
			last = ref.item;
			to = &n->list[n->at[ref.item]];
			to->users += digest | 1;
		}
	}
}

static int list_names(struct vp_unit *u, struct names *n)
{
	n->u = u;
	n->n = u->nitems;
	n->list = calloc(n->n + 1, sizeof(*n->list));
	n->at = calloc(n->n + 1, sizeof(*n->at));
	if (!n->list || !n->at)
		return -ENOMEM;
	for (size_t i = 0; i < n->n; i++) {
		struct named *x = &n->list[i];

		x->name = vp_unit_name(u, i);
		x->base = vp_name_base(x->name, &x->numbered);
		x->code = u->items[i].code;
		x->item = i;
	}
	qsort(n->list, n->n, sizeof(*n->list), by_name);
	for (size_t i = 0; i < n->n; i++)
		n->at[n->list[i].item] = i;
	find_users(n);
	return 0;
}

static void free_names(struct names *n)
{
	free(n->list);
	free(n->at);
}

static void pair(struct vp_compare *c, const struct named *old, const struct named *new)
{
	c->to_new[old->item] = new->item;
	c->to_old[new->item] = old->item;
}

/* The one of @n that has the same users, and none beside it on either side; else NULL. */
static const struct named *same_users(const struct named *x, const struct named *own, size_t nown,
				      const struct named *other, size_t nother)
{
	const struct named *found = NULL;

	for (size_t i = 0; i < nown; i++)
		if (&own[i] != x && own[i].users == x->users)
			return NULL;
	for (size_t i = 0; i < nother; i++) {
		if (other[i].users != x->users)
			continue;
		if (found)
			return NULL;
		found = &other[i];
	}
	return found;
}

/*
 * Items of one name. Those that the compiler numbered may be several, and the numbers move: one on
 * each side are partners, of several those that the same functions use, others have none.
 */
static void pair_group(struct vp_compare *c, const struct named *old, size_t nold,
		       const struct named *new, size_t nnew)
{
	if (nold == 1 && nnew == 1) {
		pair(c, old, new);
		return;
	}
	for (size_t i = 0; i < nold; i++) {
		const struct named *to = same_users(&old[i], old, nold, new, nnew);

		if (to && old[i].users)
			pair(c, &old[i], to);
	}
}

static size_t group(const struct names *n, size_t at)
{
	size_t end = at;

	while (end < n->n && !compare(&n->list[at], &n->list[end]))
		end++;
	return end - at;
}

static void pair_all(struct vp_compare *c, const struct names *old, const struct names *new)
{
	size_t i = 0, j = 0;

	while (i < old->n && j < new->n) {
		int rc = compare(&old->list[i], &new->list[j]);

		if (rc < 0) {
			i += group(old, i);
		} else if (rc > 0) {
			j += group(new, j);
		} else {
			size_t n = group(old, i), m = group(new, j);

			pair_group(c, &old->list[i], n, &new->list[j], m);
			i += n;
			j += m;
		}
	}
}

int vp_compare_open(struct vp_unit *old, struct vp_unit *new, struct vp_compare *c,
		    struct vp_err *err)
{
	struct names a = { 0 }, b = { 0 };
	int rc = -ENOMEM;

	*c = (struct vp_compare){ .old = old, .new = new };
	c->to_new = reallocarray(NULL, old->nitems + 1, sizeof(*c->to_new));
	c->to_old = reallocarray(NULL, new->nitems + 1, sizeof(*c->to_old));
	if (c->to_new && c->to_old && !list_names(old, &a) && !list_names(new, &b)) {
		for (size_t i = 0; i < old->nitems; i++)
			c->to_new[i] = VP_NO_ITEM;
		for (size_t i = 0; i < new->nitems; i++)
			c->to_old[i] = VP_NO_ITEM;
		pair_all(c, &a, &b);
		rc = 0;
	}
	free_names(&a);
	free_names(&b);
	if (!rc)
		return 0;
	vp_compare_close(c);
	return vp_err_set(err, rc, "out of memory");
}

void vp_compare_close(struct vp_compare *c)
{
	free(c->to_new);
	free(c->to_old);
	*c = (struct vp_compare){ .old = NULL };
}
