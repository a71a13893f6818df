/* SPDX-License-Identifier: Apache-2.0 */
#include <vmpoke/symbol.h>

#include "elf/image.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sym {
	uint64_t value, size;
	uint64_t reach; /* the last byte that this or any symbol before it covers */
	size_t name;	/* offset in vp_symtab.names */
};

struct vp_symtab {
	struct sym *syms; /* by value, then name */
	size_t n, cap;
	const struct sym **by_name; /* by name, then value */
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

static bool is_wanted(const struct vp_elf_symbol *s)
{
	return (s->type == STT_FUNC || s->type == STT_OBJECT || s->type == STT_NOTYPE) &&
	       s->section != SHN_UNDEF && s->section < SHN_LORESERVE;
}

static int add(struct vp_symtab *tab, const char *name, uint64_t value, uint64_t size)
{
	size_t len = strlen(name) + 1;

	if (grow((void **)&tab->syms, &tab->cap, tab->n + 1, sizeof(*tab->syms)) ||
	    grow((void **)&tab->names, &tab->names_cap, tab->names_len + len, 1))
		return -ENOMEM;
	memcpy(tab->names + tab->names_len, name, len);
	tab->syms[tab->n++] = (struct sym){ value, size, 0, tab->names_len };
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

static int cmp_name(const void *a, const void *b, void *tab)
{
	const struct sym *x = *(const struct sym *const *)a, *y = *(const struct sym *const *)b;
	const char *names = ((struct vp_symtab *)tab)->names;
	int c = strcmp(names + x->name, names + y->name);

	return c ? c : order(x->value, y->value);
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

static int build_indexes(struct vp_symtab *tab)
{
	tab->by_name = calloc(tab->n + 1, sizeof(*tab->by_name));
	if (!tab->by_name)
		return -ENOMEM;
	if (!tab->n)
		return 0;
	qsort_r(tab->syms, tab->n, sizeof(*tab->syms), cmp_value, tab);
	set_reach(tab);
	for (size_t i = 0; i < tab->n; i++)
		tab->by_name[i] = &tab->syms[i];
	qsort_r(tab->by_name, tab->n, sizeof(struct sym *), cmp_name, tab);
	return 0;
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

int vp_symtab_make(const struct vp_symbol *symbols, size_t n, struct vp_symtab **out,
		   struct vp_err *err)
{
	struct vp_symtab *tab = calloc(1, sizeof(*tab));
	int rc = tab ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !rc; i++)
		rc = add(tab, symbols[i].name, symbols[i].addr.v, 0);
	if (!rc)
		rc = build_indexes(tab);
	if (rc) {
		vp_symtab_free(tab);
		return vp_err_set(err, rc, "out of memory for %zu symbols", n);
	}
	*out = tab;
	return 0;
}

/* --- two tables in one --------------------------------------------------------- */

/*
 * Both are sorted, so that one pass by value and one by name will do: sorting a kernel's symbols
 * anew takes ten times as long. to[0] and to[1] tell where those of @a and @b went.
 */
static void merge_values(struct vp_symtab *tab, const struct vp_symtab *a,
			 const struct vp_symtab *b, size_t *to[2])
{
	size_t i = 0, j = 0;

	for (tab->n = 0; i < a->n || j < b->n; tab->n++) {
		bool first = j == b->n || (i < a->n && a->syms[i].value <= b->syms[j].value);

		tab->syms[tab->n] = first ? a->syms[i] : b->syms[j];
		if (first) {
			to[0][i++] = tab->n;
		} else {
			tab->syms[tab->n].name += a->names_len;
			to[1][j++] = tab->n;
		}
	}
	set_reach(tab);
}

static void merge_names(struct vp_symtab *tab, const struct vp_symtab *a, const struct vp_symtab *b,
			size_t *to[2])
{
	size_t i = 0, j = 0;

	for (size_t n = 0; n < tab->n; n++) {
		const struct sym *x = i < a->n ? &tab->syms[to[0][a->by_name[i] - a->syms]] : NULL;
		const struct sym *y = j < b->n ? &tab->syms[to[1][b->by_name[j] - b->syms]] : NULL;
		bool first = !y || (x && cmp_name(&x, &y, tab) <= 0);

		tab->by_name[n] = first ? x : y;
		i += first;
		j += !first;
	}
}

int vp_symtab_merge(const struct vp_symtab *a, const struct vp_symtab *b, struct vp_symtab *aliases,
		    struct vp_symtab **out, struct vp_err *err)
{
	struct vp_symtab *tab = calloc(1, sizeof(*tab));
	size_t *to[2] = { calloc(a->n + 1, sizeof(**to)), calloc(b->n + 1, sizeof(**to)) };
	int rc = -ENOMEM;

	if (!tab || !to[0] || !to[1])
		goto out;
	tab->cap = a->n + b->n;
	tab->names_len = tab->names_cap = a->names_len + b->names_len;
	tab->syms = calloc(tab->cap + 1, sizeof(*tab->syms));
	tab->by_name = calloc(tab->cap + 1, sizeof(*tab->by_name));
	tab->names = malloc(tab->names_len + 1);
	if (!tab->syms || !tab->by_name || !tab->names)
		goto out;
	if (a->names_len)
		memcpy(tab->names, a->names, a->names_len);
	if (b->names_len)
		memcpy(tab->names + a->names_len, b->names, b->names_len);
	merge_values(tab, a, b, to);
	merge_names(tab, a, b, to);
	tab->aliases = aliases;
	*out = tab;
	rc = 0;
out:
	free(to[0]);
	free(to[1]);
	if (!rc)
		return 0;
	vp_symtab_free(tab);
	return vp_err_set(err, rc, "out of memory for %zu symbols", a->n + b->n);
}

void vp_symtab_free(struct vp_symtab *tab)
{
	if (!tab)
		return;
	vp_symtab_free(tab->aliases);
	free(tab->by_name);
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

int vp_symtab_find(const struct vp_symtab *tab, const char *name, vp_gva *out, struct vp_err *err)
{
	size_t lo = 0, hi = tab->n;
	uint64_t value;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(tab->names + tab->by_name[mid]->name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == tab->n || strcmp(tab->names + tab->by_name[lo]->name, name))
		return tab->aliases ? vp_symtab_find(tab->aliases, name, out, err)
				    : vp_err_set(err, -ENOENT, "unknown symbol \"%s\"", name);

	value = tab->by_name[lo]->value;
	for (size_t i = lo + 1; i < tab->n; i++) {
		if (strcmp(tab->names + tab->by_name[i]->name, name))
			break;
		if (tab->by_name[i]->value != value)
			return vp_err_set(
				err, -EEXIST,
				"symbol \"%s\" is at 0x%llx and at 0x%llx: give the address", name,
				(unsigned long long)value,
				(unsigned long long)tab->by_name[i]->value);
	}
	*out = VP_GVA(value);
	return 0;
}

const char *vp_symtab_nearest(const struct vp_symtab *tab, vp_gva addr, uint64_t *offset)
{
	const struct sym *best;
	size_t lo = 0, hi = tab->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (tab->syms[mid].value <= addr.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	best = &tab->syms[lo - 1];

	/* Rather the innermost one that covers @addr; from where nothing reaches it, none does. */
	for (size_t i = lo; i-- > 0 && tab->syms[i].reach >= addr.v;) {
		const struct sym *s = &tab->syms[i];

		if (addr.v - s->value < s->size) {
			best = s;
			break;
		}
	}
	if (offset)
		*offset = addr.v - best->value;
	return tab->names + best->name;
}

/* An unsigned C number and nothing else. */
static int parse_number(const char *text, uint64_t *out, struct vp_err *err)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return vp_err_set(err, -EINVAL, "\"%s\" is not a number", text);
	errno = 0;
	*out = strtoull(text, &end, 0);
	if (*end)
		return vp_err_set(err, -EINVAL, "\"%s\" is not a number", text);
	if (errno == ERANGE)
		return vp_err_set(err, -ERANGE, "\"%s\" does not fit 64 bits", text);
	return 0;
}

int vp_symtab_parse(const struct vp_symtab *tab, const char *text, vp_gva *out, struct vp_err *err)
{
	const char *sign = strpbrk(text, "+-");
	uint64_t value, offset = 0;
	vp_gva base;
	char *name;
	int rc;

	if (isdigit((unsigned char)*text)) {
		rc = parse_number(text, &value, err);
		if (!rc)
			*out = VP_GVA(value);
		return rc;
	}
	if (!*text || sign == text)
		return vp_err_set(err, -EINVAL, "\"%s\" is neither an address nor a symbol", text);
	if (sign && (rc = parse_number(sign + 1, &offset, err)))
		return rc;
	if (!tab)
		return vp_err_set(err, -ENOENT, "no symbols to look \"%s\" up in: give an address",
				  text);

	name = strndup(text, sign ? (size_t)(sign - text) : strlen(text));
	if (!name)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_symtab_find(tab, name, &base, err);
	free(name);
	if (rc)
		return rc;
	value = sign && *sign == '-' ? base.v - offset : base.v + offset;
	if (sign && (*sign == '-' ? value > base.v : value < base.v))
		return vp_err_set(err, -ERANGE, "\"%s\" is outside the 64-bit address space", text);
	*out = VP_GVA(value);
	return 0;
}
