/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a file that the user gave belong to the kernel that runs? By the build-id, where both have
 * one; and by every symbol that both have, whose address must be the same but for the slide.
 */
#include "linux/internal.h"
#include "linux/kernel_image.h"

#include "elf/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Fewer are no symbol table of a kernel: Debian's System.map has one line that says where it is. */
#define SYMBOLS_MIN 100u

/* A file's symbols; the names are owned. */
struct names {
	struct vp_symbol *syms;
	size_t n, cap;
};

static void names_free(struct names *s)
{
	for (size_t i = 0; i < s->n; i++)
		free((char *)(uintptr_t)s->syms[i].name);
	free(s->syms);
}

static int names_add(struct names *s, const char *name, size_t len, uint64_t addr)
{
	char *copy;

	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 4096;
		void *p = reallocarray(s->syms, cap, sizeof(*s->syms));

		if (!p)
			return -ENOMEM;
		s->syms = p;
		s->cap = cap;
	}
	copy = strndup(name, len);
	if (!copy)
		return -ENOMEM;
	s->syms[s->n++] = (struct vp_symbol){ copy, VP_GVA(addr) };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct vp_symbol *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* --- symbols ------------------------------------------------------------------- */

/* The first of the file's symbols named @name, or NULL. */
static const struct vp_symbol *first_of(const struct names *s, const char *name)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->syms[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && !strcmp(s->syms[lo].name, name) ? &s->syms[lo] : NULL;
}

/* Several symbols may have one name: one of them must be where the guest's is. */
static bool has_at(const struct names *s, const struct vp_symbol *first, uint64_t addr)
{
	const struct vp_symbol *end = s->syms + s->n;

	for (const struct vp_symbol *sym = first; sym < end && !strcmp(sym->name, first->name);
	     sym++)
		if (sym->addr.v == addr)
			return true;
	return false;
}

static int compare_symbols(const struct vp_linux *l, struct names *file, const char *what,
			   struct vp_err *err)
{
	uint64_t linked = l->mem.text.v - l->info.kaslr_slide;
	const struct vp_kallsyms *k = &l->ksyms;
	size_t missing = 0;

	qsort(file->syms, file->n, sizeof(*file->syms), by_name);
	for (size_t i = 0; i < k->n; i++) {
		const char *name = k->names + k->entries[i].name;
		const struct vp_symbol *first = first_of(file, name);
		uint64_t addr = k->entries[i].addr;

		if (addr >= VP_KERNEL_MAP)
			addr = addr - VP_KERNEL_LINKED + linked;
		if (!first)
			missing++;
		else if (!has_at(file, first, addr))
			return vp_err_set(err, -ESTALE,
					  "%s is of another kernel: it has %.64s at 0x%llx, the "
					  "guest (less its slide) at 0x%llx",
					  what, name, (unsigned long long)first->addr.v,
					  (unsigned long long)addr);
	}
	if (missing > k->n / 10)
		return vp_err_set(err, -ESTALE,
				  "%s is of another kernel: %zu of the guest's %zu symbols are not "
				  "in it",
				  what, missing, k->n);
	return 0;
}

/* --- vmlinux -------------------------------------------------------------------- */

static int add_elf_symbol(void *arg, const struct vp_elf_symbol *sym)
{
	if (sym->section == SHN_UNDEF || sym->type == STT_FILE || sym->type == STT_SECTION)
		return 0;
	return names_add(arg, sym->name, strlen(sym->name), sym->value);
}

static int compare_build_id(const struct vp_linux *l, struct vp_elf *elf, const char *what,
			    bool *compared, struct vp_err *err)
{
	char hex[2 * VP_BUILD_ID_MAX + 1] = "";
	const uint8_t *id;
	const void *desc;
	size_t len;

	*compared = false;
	if (!l->id.build_id_len || vp_elf_note(elf, "GNU", NT_GNU_BUILD_ID, &desc, &len) ||
	    len > VP_BUILD_ID_MAX)
		return 0;
	*compared = true;
	if (len == l->id.build_id_len && !memcmp(desc, l->id.build_id, len))
		return 0;
	id = desc;
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return vp_err_set(err, -ESTALE,
			  "%s is of another kernel: its build-id is %s, the guest's %s", what, hex,
			  l->build_id);
}

static int check_elf(const struct vp_linux *l, const struct vp_blob *file, const char *what,
		     struct vp_err *err)
{
	struct names names = { 0 };
	struct vp_elf *elf;
	struct vp_err why;
	bool compared;
	int rc = vp_kernel_elf_open(file, what, &elf, err);

	if (rc)
		return rc;
	rc = compare_build_id(l, elf, what, &compared, err);
	if (!rc && vp_elf_each_symbol(elf, add_elf_symbol, &names, &why))
		rc = vp_err_set(err, -ENOEXEC, "%s: its symbol table cannot be read", what);
	if (!rc && names.n >= SYMBOLS_MIN)
		rc = compare_symbols(l, &names, what, err);
	else if (!rc && !compared)
		rc = vp_err_set(
			err, -ENOEXEC,
			"%s: it has neither a build-id nor symbols to compare with the guest",
			what);
	names_free(&names);
	vp_elf_close(elf);
	return rc;
}

/* --- System.map ------------------------------------------------------------------ */

/* One line: sixteen digits, a type, a name. The name is copied. */
static int add_map_line(struct names *names, const char *line, size_t len)
{
	uint64_t addr = 0;
	size_t i = 0;

	for (; i < len && i < 17; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = line[i] ? strchr(digits, line[i]) : NULL;

		if (!d)
			break;
		addr = addr << 4 | (uint64_t)(d - digits);
	}
	if (i != 16 || len < 20 || line[16] != ' ' || line[18] != ' ' ||
	    memchr(line + 19, '\0', len - 19))
		return -ENOEXEC;
	return names_add(names, line + 19, len - 19, addr);
}

static int check_map(const struct vp_linux *l, const struct vp_blob *file, const char *what,
		     struct vp_err *err)
{
	struct names names = { 0 };
	size_t lines = 0;
	int rc = 0;

	for (uint64_t off = 0, len; off < file->len && !rc; off += len + 1) {
		const char *line = (const char *)file->data + off;
		const char *end = memchr(line, '\n', file->len - (size_t)off);

		len = end ? (uint64_t)(end - line) : file->len - off;
		lines++;
		rc = add_map_line(&names, line, (size_t)len);
	}
	if (rc == -ENOEXEC)
		vp_err_set(err, rc,
			   "%s: line %zu is no symbol: not a vmlinux, bzImage or System.map", what,
			   lines);
	else if (rc)
		vp_err_set(err, rc, "%s: out of memory", what);
	else if (names.n < SYMBOLS_MIN)
		rc = vp_err_set(err, -ENOEXEC,
				"%s has %zu symbols, so it is only a stub (Debian ships the real "
				"System.map in the linux-image-...-dbg package)",
				what, names.n);
	else
		rc = compare_symbols(l, &names, what, err);
	names_free(&names);
	return rc;
}

/* --- the file -------------------------------------------------------------------- */

int vp_kernel_file_check(const struct vp_linux *l, const char *path, struct vp_err *err)
{
	struct vp_blob file = { 0 };
	int rc = vp_kernel_file_map(path, &file, err);

	if (rc)
		return rc;
	rc = vp_is_kernel_elf(&file) ? check_elf(l, &file, path, err)
				     : check_map(l, &file, path, err);
	vp_kernel_file_unmap(&file);
	return rc;
}
