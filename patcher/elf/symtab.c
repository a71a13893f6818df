/* SPDX-License-Identifier: Apache-2.0 */
#include <vmpoke/symbol.h>

#include "base/similar.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "elf/where.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sym {
	uint64_t value, size;
	uint64_t reach; /* the last byte that this or any symbol before it covers */
	size_t name;	/* offset in vp_symtab.names */
	size_t next;	/* of those whose names have this hash, by value: its index + 1 */
	uint32_t hash;
	bool global; /* known to be */
};

struct vp_symtab {
	struct sym *syms; /* by value, then name */
	size_t n, cap;
	size_t *heads; /* by the hash's low bits: index + 1; 0: none */
	size_t nheads; /* a power of 2 */
	char *names;
	size_t names_len, names_cap;
	size_t names_max; /* of a hostile file, whose symbols all share one huge name */
	struct vp_symtab *aliases;
};

/* Make room for @need elements of @size bytes; doubling keeps loading linear. */
static int grow(void **array, size_t *cap, size_t need, size_t size)
{
	size_t want = *cap ? *cap : 64;
	void *p;

	if (need <= *cap)
		return 0;
	while (want < need)
		want *= 2;
	p = reallocarray(*array, want, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = want;
	return 0;
}

/* Where it is known how much there will be nothing is copied. */
static int reserve(struct vp_symtab *tab, size_t n, size_t names)
{
	tab->syms = calloc(n + 1, sizeof(*tab->syms));
	tab->names = malloc(names + 1);
	if (!tab->syms || !tab->names)
		return -ENOMEM;
	tab->cap = n + 1;
	tab->names_cap = names + 1;
	return 0;
}

static bool is_wanted(const struct vp_elf_symbol *s)
{
	return (s->type == STT_FUNC || s->type == STT_OBJECT || s->type == STT_NOTYPE) &&
	       s->section != SHN_UNDEF && s->section < SHN_LORESERVE;
}

/* FNV-1a (draft-eastlake-fnv): to sort a kernel's names takes ten times as long. */
static uint32_t hash_of(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash;
}

static int add(struct vp_symtab *tab, const char *name, uint64_t value, uint64_t size)
{
	size_t len = strlen(name) + 1;

	if (grow((void **)&tab->syms, &tab->cap, tab->n + 1, sizeof(*tab->syms)) ||
	    grow((void **)&tab->names, &tab->names_cap, tab->names_len + len, 1))
		return -ENOMEM;
	memcpy(tab->names + tab->names_len, name, len);
	tab->syms[tab->n++] = (struct sym){
		.value = value, .size = size, .name = tab->names_len, .hash = hash_of(name)
	};
	tab->names_len += len;
	return 0;
}

static int add_symbol(void *arg, const struct vp_elf_symbol *s)
{
	struct vp_symtab *tab = arg;

	if (!is_wanted(s))
		return 0;
	if (tab->names_len + strlen(s->name) + 1 > tab->names_max)
		return -EOVERFLOW;
	return add(tab, s->name, s->value, s->size);
}

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_value(const void *a, const void *b, void *tab)
{
	const char *names = ((struct vp_symtab *)tab)->names;
	const struct sym *x = a, *y = b;
	int c = order(x->value, y->value);

	return c ? c : strcmp(names + x->name, names + y->name);
}

/* A kernel's are in order but for the names of those that share a value. */
static void sort(struct vp_symtab *tab)
{
	size_t i = 1, start = 0;

	while (i < tab->n && tab->syms[i - 1].value <= tab->syms[i].value)
		i++;
	if (i < tab->n) {
		qsort_r(tab->syms, tab->n, sizeof(*tab->syms), cmp_value, tab);
		return;
	}
	for (i = 1; i <= tab->n; i++) {
		if (i < tab->n && tab->syms[i].value == tab->syms[start].value)
			continue;
		if (i - start > 1)
			qsort_r(&tab->syms[start], i - start, sizeof(*tab->syms), cmp_value, tab);
		start = i;
	}
}

/* By value they are sorted already. */
static void set_reach(struct vp_symtab *tab)
{
	uint64_t reach = 0;

	for (size_t i = 0; i < tab->n; i++) {
		struct sym *s = &tab->syms[i];
		uint64_t room = UINT64_MAX - s->value;
		uint64_t last = s->value + (s->size - 1 < room ? s->size - 1 : room);

		if (s->size && last > reach)
			reach = last;
		s->reach = reach;
	}
}

/* The last first: so each list is by value. */
static int index_names(struct vp_symtab *tab)
{
	for (tab->nheads = 64; tab->nheads < tab->n;)
		tab->nheads *= 2;
	tab->heads = calloc(tab->nheads, sizeof(*tab->heads));
	if (!tab->heads)
		return -ENOMEM;
	for (size_t i = tab->n; i-- > 0;) {
		size_t *head = &tab->heads[tab->syms[i].hash & (tab->nheads - 1)];

		tab->syms[i].next = *head;
		*head = i + 1;
	}
	return 0;
}

static int build_indexes(struct vp_symtab *tab)
{
	sort(tab);
	set_reach(tab);
	return index_names(tab);
}

int vp_symtab_load(const void *image, size_t len, const char *what, struct vp_symtab **out,
		   struct vp_err *err)
{
	struct vp_symtab *tab = calloc(1, sizeof(*tab));
	struct vp_elf *elf = NULL;
	int rc = tab ? vp_elf_open(image, len, what, &elf, err) : -ENOMEM;

	if (!rc) {
		tab->names_max = len;
		rc = vp_elf_each_symbol(elf, add_symbol, tab, err);
	}
	if (!rc)
		rc = build_indexes(tab);
	vp_elf_close(elf);
	if (!rc) {
		*out = tab;
		return 0;
	}
	vp_symtab_free(tab);
	if (rc == -EOVERFLOW)
		return vp_err_set(err, -ENOEXEC,
				  "%s: damaged ELF: its symbol names are longer than the file",
				  what);
	if (rc == -ENOMEM)
		return vp_err_set(err, rc, "%s: out of memory for its symbols", what);
	return rc;
}

int vp_symtab_make_global(const struct vp_symbol *symbols, const bool *global, size_t n,
			  struct vp_symtab **out, struct vp_err *err)
{
	struct vp_symtab *tab = calloc(1, sizeof(*tab));
	size_t names = 0;
	int rc = tab ? 0 : -ENOMEM;

	for (size_t i = 0; i < n; i++)
		names += strlen(symbols[i].name) + 1;
	if (!rc)
		rc = reserve(tab, n, names);
	for (size_t i = 0; i < n && !rc; i++) {
		rc = add(tab, symbols[i].name, symbols[i].addr.v, 0);
		if (!rc)
			tab->syms[i].global = global && global[i];
	}
	if (!rc)
		rc = build_indexes(tab);
	if (rc) {
		vp_symtab_free(tab);
		return vp_err_set(err, rc, "out of memory for %zu symbols", n);
	}
	*out = tab;
	return 0;
}

int vp_symtab_make(const struct vp_symbol *symbols, size_t n, struct vp_symtab **out,
		   struct vp_err *err)
{
	return vp_symtab_make_global(symbols, NULL, n, out, err);
}

/* --- two tables in one --------------------------------------------------------- */

/* Both are sorted. */
static void merge(struct vp_symtab *tab, const struct vp_symtab *a, const struct vp_symtab *b)
{
	size_t i = 0, j = 0;

	for (tab->n = 0; i < a->n || j < b->n; tab->n++) {
		bool first = j == b->n || (i < a->n && a->syms[i].value <= b->syms[j].value);

		tab->syms[tab->n] = first ? a->syms[i++] : b->syms[j++];
		if (!first)
			tab->syms[tab->n].name += a->names_len;
	}
	set_reach(tab);
}

int vp_symtab_merge(const struct vp_symtab *a, const struct vp_symtab *b, struct vp_symtab *aliases,
		    struct vp_symtab **out, struct vp_err *err)
{
	struct vp_symtab *tab = calloc(1, sizeof(*tab));
	int rc = -ENOMEM;

	if (!tab)
		goto out;
	tab->cap = a->n + b->n;
	tab->names_len = tab->names_cap = a->names_len + b->names_len;
	tab->syms = calloc(tab->cap + 1, sizeof(*tab->syms));
	tab->names = malloc(tab->names_len + 1);
	if (!tab->syms || !tab->names)
		goto out;
	if (a->names_len)
		memcpy(tab->names, a->names, a->names_len);
	if (b->names_len)
		memcpy(tab->names + a->names_len, b->names, b->names_len);
	merge(tab, a, b);
	rc = index_names(tab);
	if (rc)
		goto out;
	tab->aliases = aliases;
	*out = tab;
	return 0;
out:
	vp_symtab_free(tab);
	return vp_err_set(err, rc, "out of memory for %zu symbols", a->n + b->n);
}

void vp_symtab_free(struct vp_symtab *tab)
{
	if (!tab)
		return;
	vp_symtab_free(tab->aliases);
	free(tab->heads);
	free(tab->syms);
	free(tab->names);
	free(tab);
}

int vp_symtab_each(const struct vp_symtab *tab, int (*fn)(void *arg, const char *name, vp_gva addr),
		   void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < tab->n && !rc; i++)
		rc = fn(arg, tab->names + tab->syms[i].name, VP_GVA(tab->syms[i].value));
	return rc;
}

size_t vp_symtab_count(const struct vp_symtab *tab)
{
	return tab->n;
}

/* Which symbols are looked for. */
struct wanted {
	const char *name;
	uint32_t hash;
	bool global; /* these only */
};

/* The next one, from index + 1 @at on; NULL: there is none. */
static const struct sym *next_wanted(const struct vp_symtab *tab, size_t at, const struct wanted *w)
{
	for (; at; at = tab->syms[at - 1].next) {
		const struct sym *s = &tab->syms[at - 1];

		if (s->hash == w->hash && s->global >= w->global &&
		    !strcmp(tab->names + s->name, w->name))
			return s;
	}
	return NULL;
}

static int find(const struct vp_symtab *tab, const struct wanted *w, vp_gva *out,
		struct vp_err *err)
{
	const struct sym *s = next_wanted(tab, tab->heads[w->hash & (tab->nheads - 1)], w);
	uint64_t value = s ? s->value : 0;

	if (!s)
		return vp_err_set(err, -ENOENT, "unknown symbol \"%s\"", w->name);
	while ((s = next_wanted(tab, s->next, w)))
		if (s->value != value)
			return vp_err_set(
				err, -EEXIST,
				"symbol \"%s\" is at 0x%llx and at 0x%llx: give the address",
				w->name, (unsigned long long)value, (unsigned long long)s->value);
	*out = VP_GVA(value);
	return 0;
}

int vp_symtab_find(const struct vp_symtab *tab, const char *name, vp_gva *out, struct vp_err *err)
{
	const struct wanted w = { name, hash_of(name), false };
	int rc = find(tab, &w, out, err);

	return rc == -ENOENT && tab->aliases ? vp_symtab_find(tab->aliases, name, out, err) : rc;
}

int vp_symtab_find_global(const struct vp_symtab *tab, const char *name, vp_gva *out,
			  struct vp_err *err)
{
	const struct wanted w = { name, hash_of(name), true };

	return find(tab, &w, out, err);
}

/* The one that @addr is named by, or NULL; @above: the index of the first one above @addr. */
static const struct sym *nearest(const struct vp_symtab *tab, vp_gva addr, size_t *above)
{
	size_t lo = 0, hi = tab->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (tab->syms[mid].value <= addr.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	*above = lo;
	if (!lo)
		return NULL;

	/* Rather the innermost one that covers @addr; from where nothing reaches it, none does. */
	for (size_t i = lo; i-- > 0 && tab->syms[i].reach >= addr.v;) {
		const struct sym *s = &tab->syms[i];

		if (addr.v - s->value < s->size)
			return s;
	}
	return &tab->syms[lo - 1];
}

const char *vp_symtab_nearest(const struct vp_symtab *tab, vp_gva addr, uint64_t *offset)
{
	size_t above;
	const struct sym *best = nearest(tab, addr, &above);

	if (best && offset)
		*offset = addr.v - best->value;
	return best ? tab->names + best->name : NULL;
}

bool vp_symtab_end(const struct vp_symtab *tab, vp_gva addr, vp_gva *end)
{
	size_t above;
	const struct sym *best = nearest(tab, addr, &above);

	if (!best)
		return false;
	if (addr.v - best->value < best->size && best->size <= UINT64_MAX - best->value)
		*end = VP_GVA(best->value + best->size);
	else if (above < tab->n)
		*end = VP_GVA(tab->syms[above].value);
	else
		return false;
	return true;
}

/* A name that is not there: the compiler has added to it (.part.0, .isra.0), or it is misspelt. */
struct guess {
	struct vp_similar similar;
	const char *longer;
};

static int guess(void *arg, const char *name, vp_gva addr)
{
	struct guess *g = arg;
	size_t len = strlen(g->similar.word);

	(void)addr;
	if (!strncmp(name, g->similar.word, len) && name[len] == '.')
		g->longer = name;
	else if (!g->longer)
		vp_similar_offer(&g->similar, name);
	return g->longer != NULL;
}

static int unknown(const struct vp_symtab *tab, const char *name, struct vp_err *err)
{
	struct guess g = { .longer = NULL };
	const char *best;

	vp_similar_begin(&g.similar, name);
	if (!vp_symtab_each(tab, guess, &g) && tab->aliases)
		vp_symtab_each(tab->aliases, guess, &g);
	best = g.longer ? g.longer : g.similar.best;
	return vp_err_set(err, -ENOENT, "unknown symbol \"%.100s\"%s%.100s%s", name,
			  best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

int vp_symtab_parse(const struct vp_symtab *tab, const char *text, vp_gva *out, struct vp_err *err)
{
	struct vp_where where;
	uint64_t value;
	vp_gva base;
	char *name;
	int rc = vp_where_split(text, &where, err);

	if (rc)
		return rc;
	if (!where.name_len) {
		*out = VP_GVA(where.number);
		return 0;
	}
	if (!tab)
		return vp_err_set(err, -ENOENT, "no symbols to look \"%s\" up in: give an address",
				  text);

	name = strndup(text, where.name_len);
	if (!name)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_symtab_find(tab, name, &base, err);
	if (rc == -ENOENT)
		unknown(tab, name, err);
	free(name);
	if (rc)
		return rc;
	value = where.minus ? base.v - where.number : base.v + where.number;
	if (where.minus ? value > base.v : value < base.v)
		return vp_err_set(err, -ERANGE, "\"%s\" is outside the 64-bit address space", text);
	*out = VP_GVA(value);
	return 0;
}
