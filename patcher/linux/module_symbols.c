/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of modules: each module has those that /proc/kallsyms shows in its own memory, as an ELF
 * symbol table (struct mod_kallsyms, kernel/module/kallsyms.c).
 *
 * The list is read before and after the symbols: if it changed, or something made no sense, all is
 * read again, and what makes no sense at last is left out.
 */
#include "linux/modules.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIES 4u

#define SYMBOL_NAME_MAX 512u /* KSYM_NAME_LEN */
#define PAGE		0x1000u

/* For all modules together; and what is read of the guest for them. */
#define SYMBOLS_MAX (1u << 20)
#define NAMES_MAX   ((size_t)64 << 20)
#define BYTES_MAX   ((size_t)128 << 20)

struct found_symbol {
	uint64_t addr;
	size_t name, plain; /* offsets in names: of "module:symbol", of "symbol" in that */
};

struct found {
	struct found_symbol *symbols;
	size_t n, cap;
	char *names;
	size_t names_len, names_cap;
	size_t copied; /* bytes of the guest, in all tries */
};

static void found_free(struct found *f)
{
	free(f->symbols);
	free(f->names);
	*f = (struct found){ .copied = f->copied };
}

/* Make room for one symbol more. -EAGAIN: no guest has so many. */
static int found_grow(struct found *f)
{
	size_t cap = f->cap ? 2 * f->cap : 1024, names = f->names_cap ? 2 * f->names_cap : PAGE * 8;
	void *p;

	if (f->n == SYMBOLS_MAX || f->names_len > NAMES_MAX)
		return -EAGAIN;
	if (f->n == f->cap) {
		p = reallocarray(f->symbols, cap, sizeof(*f->symbols));
		if (!p)
			return -ENOMEM;
		f->symbols = p;
		f->cap = cap;
	}
	if (f->names_cap - f->names_len < VP_MODULE_NAME_MAX + SYMBOL_NAME_MAX + 1) {
		p = realloc(f->names, names);
		if (!p)
			return -ENOMEM;
		f->names = p;
		f->names_cap = names;
	}
	return 0;
}

static int found_add(struct found *f, const char *module, const char *name, uint64_t addr)
{
	size_t at = f->names_len;
	int rc = found_grow(f);

	if (rc)
		return rc;
	f->symbols[f->n++] = (struct found_symbol){ addr, at, at + strlen(module) + 1 };
	f->names_len +=
		1 + (size_t)snprintf(f->names + at, f->names_cap - at, "%s:%s", module, name);
	return 0;
}

/* Copy guest memory. -EAGAIN: it is not there (any more), or too much. */
static int copy(const struct vp_linux *l, struct found *f, uint64_t addr, size_t len,
		struct vp_blob *out)
{
	uint8_t *bytes;
	int rc;

	if (len > BYTES_MAX - f->copied)
		return -EAGAIN;
	f->copied += len;
	bytes = malloc(len);
	*out = (struct vp_blob){ bytes, len, addr };
	if (!bytes)
		return -ENOMEM;
	rc = vp_kernel_mem_read(&l->mem, VP_GVA(addr), bytes, len, NULL);
	return rc == -EFAULT ? -EAGAIN : rc;
}

static void drop(struct vp_blob *b)
{
	free((void *)(uintptr_t)b->data);
	*b = (struct vp_blob){ 0 };
}

static bool symbol_at(const struct vp_blob *table, uint64_t i, uint32_t *name, uint64_t *addr)
{
	uint64_t off = i * sizeof(Elf64_Sym);

	return vp_blob_u32(table, off + offsetof(Elf64_Sym, st_name), name) &&
	       vp_blob_u64(table, off + offsetof(Elf64_Sym, st_value), addr);
}

/*
 * The names. How many bytes they have nobody tells: up to the start of the last one, and its
 * length. If what follows it cannot be read, it ends on the page where it starts.
 */
static int copy_names(const struct vp_linux *l, struct found *f, const struct vp_module *m,
		      const struct vp_blob *table, struct vp_blob *out)
{
	uint32_t last = 0, name;
	uint64_t addr, end;
	int rc;

	for (uint32_t i = 0; i < m->nsymbols; i++)
		if (symbol_at(table, i, &name, &addr) && name > last)
			last = name;
	rc = copy(l, f, m->strtab, (size_t)last + SYMBOL_NAME_MAX, out);
	if (rc != -EAGAIN)
		return rc;
	drop(out);
	end = (m->strtab + last) / PAGE * PAGE + PAGE;
	return copy(l, f, m->strtab, (size_t)(end - m->strtab), out);
}

static int read_symbols(const struct vp_linux *l, const struct vp_module *m, struct found *f)
{
	struct vp_blob table = { 0 }, names = { 0 };
	size_t n = f->n, names_len = f->names_len;
	int rc;

	if (!m->nsymbols)
		return 0;
	rc = copy(l, f, m->symtab, m->nsymbols * sizeof(Elf64_Sym), &table);
	if (!rc)
		rc = copy_names(l, f, m, &table, &names);
	for (uint32_t i = 0; i < m->nsymbols && !rc; i++) {
		const char *name = NULL;
		uint64_t addr;
		uint32_t off;

		if (symbol_at(&table, i, &off, &addr))
			name = vp_blob_text(&names, off, SYMBOL_NAME_MAX);
		if (!name || !vp_is_printable(name))
			rc = -EAGAIN;
		else if (*name) /* /proc/kallsyms does not show the others either */
			rc = found_add(f, m->name, name, addr);
	}
	if (rc) { /* all or nothing of a module */
		f->n = n;
		f->names_len = names_len;
	}
	drop(&table);
	drop(&names);
	return rc;
}

/* -EAGAIN: something made no sense, or the list changed meanwhile; what did make sense is there. */
static int read_once(const struct vp_linux *l, struct vp_modules *list, struct found *f)
{
	struct vp_modules after = { 0 };
	int rc = vp_modules_list(l, list), later;

	for (size_t i = 0; i < list->n && (!rc || rc == -EAGAIN); i++) {
		int one = read_symbols(l, &list->m[i], f);

		rc = one ? one : rc;
	}
	if (rc)
		return rc;
	later = vp_modules_list(l, &after);
	free(after.m);
	return later ? later : after.digest == list->digest ? 0 : -EAGAIN;
}

/* The guest, as it is now, into @list and @f. Errors are the target's, or -ENOMEM. */
static int read_all(struct vp_linux *l, struct vp_modules *list, struct found *f)
{
	int rc = -EAGAIN;

	for (unsigned int i = 0; i < TRIES && rc == -EAGAIN; i++) {
		free(list->m);
		found_free(f);
		*list = (struct vp_modules){ 0 };
		rc = vp_kernel_mem_keep(&l->mem); /* afresh */
		if (!rc)
			rc = read_once(l, list, f);
	}
	vp_kernel_mem_drop(&l->mem);
	return rc == -EAGAIN ? 0 : rc;
}

/* --- tables ---------------------------------------------------------------------- */

static int make_table(const struct found *f, bool plain, struct vp_symtab **out, struct vp_err *err)
{
	struct vp_symbol *symbols = calloc(f->n + 1, sizeof(*symbols));
	int rc;

	if (!symbols)
		return vp_err_set(err, -ENOMEM, "out of memory for %zu symbols of modules", f->n);
	for (size_t i = 0; i < f->n; i++)
		symbols[i] = (struct vp_symbol){
			f->names + (plain ? f->symbols[i].plain : f->symbols[i].name),
			VP_GVA(f->symbols[i].addr),
		};
	rc = vp_symtab_make(symbols, f->n, out, err);
	free(symbols);
	return rc;
}

/* The kernel's symbols and those of modules; by "module:symbol" the latter are found, too. */
static int make_all(const struct vp_linux *l, const struct found *f, struct vp_symtab **out,
		    struct vp_err *err)
{
	struct vp_symtab *plain = NULL, *full = NULL;
	int rc = make_table(f, true, &plain, err);

	if (!rc)
		rc = make_table(f, false, &full, err);
	if (!rc)
		rc = vp_symtab_merge(l->symbols, plain, full, out, err);
	if (rc)
		vp_symtab_free(full);
	vp_symtab_free(plain);
	return rc;
}

int vp_modules_read(struct vp_linux *l, struct vp_err *err)
{
	struct vp_modules list = { 0 };
	struct vp_symtab *all = NULL;
	struct found f = { 0 };
	vp_gva head;
	int rc = 0;

	if (l->modules_at.size && vp_linux_find(l, "modules", &head))
		l->modules_head = head.v;
	if (vp_modules_are_known(l) && (rc = read_all(l, &list, &f)))
		vp_err_set(err, rc, "cannot read the symbols of the guest's modules: %s",
			   strerror(-rc));
	if (!rc && f.n)
		rc = make_all(l, &f, &all, err);
	found_free(&f);
	if (rc) {
		free(list.m);
		return rc;
	}
	vp_jump_table_free(l->module_jumps);
	l->module_jumps = NULL;
	free(l->modules.m);
	vp_symtab_free(l->all);
	l->modules = list;
	l->all = all;
	return 0;
}

int vp_linux_refresh(struct vp_linux *l, struct vp_err *err)
{
	struct vp_modules now = { 0 };
	bool same = true;

	vp_jump_table_free(l->module_jumps);
	l->module_jumps = NULL;
	if (vp_modules_are_known(l)) {
		if (vp_kernel_mem_keep(&l->mem))
			return vp_err_set(err, -ENOMEM, "out of memory");
		same = !vp_modules_list(l, &now) && now.digest == l->modules.digest;
		vp_kernel_mem_drop(&l->mem);
		free(now.m);
	}
	return same ? 0 : vp_modules_read(l, err);
}

const struct vp_symtab *vp_linux_symbols(const struct vp_linux *l)
{
	return l->all ? l->all : l->symbols;
}

/* Do both lie in the image, or in the same piece of the same module? */
static bool are_together(const struct vp_linux *l, uint64_t a, uint64_t b)
{
	uint64_t size = l->mem.end - l->mem.text.v;

	if (a - l->mem.text.v < size)
		return b - l->mem.text.v < size;
	for (size_t i = 0; i < l->modules.n; i++) {
		int piece = vp_module_piece(&l->modules.m[i], a);

		if (piece >= 0)
			return piece == vp_module_piece(&l->modules.m[i], b);
	}
	return false;
}

const char *vp_linux_module_of(const struct vp_linux *l, vp_gva addr, uint64_t *at)
{
	for (size_t i = 0; i < l->modules.n; i++) {
		if (vp_module_piece(&l->modules.m[i], addr.v) < 0)
			continue;
		*at = l->modules.m[i].addr;
		return l->modules.m[i].name;
	}
	return NULL;
}

size_t vp_linux_module_count(const struct vp_linux *l)
{
	return l->modules.n;
}

const char *vp_linux_nearest(const struct vp_linux *l, vp_gva addr, uint64_t *offset)
{
	uint64_t away = 0;
	const char *name = vp_symtab_nearest(vp_linux_symbols(l), addr, &away);

	if (!name || (away && !are_together(l, addr.v, addr.v - away)))
		return NULL;
	if (offset)
		*offset = away;
	return name;
}
