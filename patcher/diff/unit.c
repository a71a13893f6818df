/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/unit.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/decode.h"

#define SYMBOLS_MAX 32768u /* the kernel's largest source has 6,000 */

/* --- names --------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

bool vp_name_is_clone(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot &&
	       (strstr(dot, ".isra.") || strstr(dot, ".constprop.") || strstr(dot, ".part."));
}

size_t vp_name_base(const char *name, bool *numbered)
{
	size_t len = strlen(name), end = len;

	*numbered = false;
	while (end && isdigit((unsigned char)name[end - 1]))
		end--;
	if (end && end < len && name[end - 1] == '.' && !vp_name_is_clone(name)) {
		*numbered = true;
		len = end - 1;
	}
	if (!begins(name, "__UNIQUE_ID_") && !begins(name, "__BTF_ID__"))
		return len;
	end = len;
	while (end && isdigit((unsigned char)name[end - 1]))
		end--;
	*numbered = true;
	return end;
}

bool vp_name_is_private(const char *name)
{
	static const char *const names[] = {
		"__func__",
		"__FUNCTION__",
		"__PRETTY_FUNCTION__",
		"__already_done",
		"__warned",
		"__already_warned",
		"__print_once",
		"vmpoke_warned",
		"__key",
		"_rs",
		"descriptor",
		"_entry",
		"_entry_ptr",
		"CSWTCH",
		"__msg",
		"___tp_str",
		"symbols", /* __print_symbolic() */
		"__flags", /* __print_flags() */
	};
	bool numbered;
	size_t len = vp_name_base(name, &numbered);

	if (!numbered)
		return false;
	if (begins(name, "__UNIQUE_ID_"))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == len && !memcmp(name, names[i], len))
			return true;
	return false;
}

/* --- items ------------------------------------------------------------------------------- */

static bool is_mergeable(const struct vp_elf_section *s)
{
	return (s->flags & SHF_MERGE) && !(s->flags & SHF_WRITE);
}

static bool is_early(const char *section)
{
	return begins(section, ".init") || begins(section, ".exit") ||
	       begins(section, ".meminit") || begins(section, ".memexit") ||
	       begins(section, ".head.text");
}

/* What must not be an item of its own: tables, which belong to the functions they speak of. */
static bool is_item(const struct vp_unit *u, const struct vp_elf_object_symbol *s)
{
	const struct vp_elf_section *in;

	if (!s->section || s->section >= u->nsections || !*s->name)
		return false;
	in = &u->sections[s->section];
	if (!(in->flags & SHF_ALLOC) || is_mergeable(in))
		return false;
	return s->type == STT_FUNC || s->type == STT_OBJECT ||
	       (s->type == STT_NOTYPE && s->size && (in->flags & SHF_EXECINSTR));
}

/* Of several at one place: the one that other sources know, then the larger, then by name. */
static int by_place(const void *a, const void *b)
{
	const struct vp_item *x = a, *y = b;

	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (!x->size != !y->size)
		return x->size ? -1 : 1;
	if (x->global != y->global)
		return x->global ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void add_item(struct vp_unit *u, struct vp_item i)
{
	const struct vp_elf_section *s = &u->sections[i.section];

	i.code = s->flags & SHF_EXECINSTR;
	i.early = is_early(s->name);
	u->items[u->nitems++] = i;
}

static void find_items(struct vp_unit *u)
{
	size_t n = 0;

	for (size_t i = 1; i < u->nsymbols; i++) {
		const struct vp_elf_object_symbol *s = &u->symbols[i];

		if (is_item(u, s))
			add_item(u, (struct vp_item){ .name = s->name,
						      .section = s->section,
						      .offset = s->value,
						      .size = s->size,
						      .global = s->bind != STB_LOCAL });
	}
	qsort(u->items, u->nitems, sizeof(*u->items), by_place);
	for (size_t i = 0; i < u->nitems; i++) /* one for each place */
		if (!n || u->items[n - 1].section != u->items[i].section ||
		    u->items[n - 1].offset != u->items[i].offset)
			u->items[n++] = u->items[i];
	u->nitems = n;
}

/* A section without any symbol is one item. The others are sorted by section. */
static void find_nameless(struct vp_unit *u)
{
	size_t named = u->nitems, next = 0;

	for (size_t i = 1; i < u->nsections; i++) {
		const struct vp_elf_section *s = &u->sections[i];

		while (next < named && u->items[next].section < i)
			next++;
		if ((s->flags & SHF_ALLOC) && !is_mergeable(s) &&
		    (next == named || u->items[next].section != i))
			add_item(u, (struct vp_item){ .name = "", .section = i, .size = s->size });
	}
	qsort(u->items, u->nitems, sizeof(*u->items), by_place);
}

static void find_cold(struct vp_unit *u)
{
	for (size_t i = 0; i < u->nitems; i++) {
		const char *name = u->items[i].name, *cold = strstr(name, ".cold");

		u->items[i].of = i;
		for (size_t j = 0; u->items[i].code && cold && !cold[5] && j < u->nitems; j++)
			if (u->items[j].code && strlen(u->items[j].name) == (size_t)(cold - name) &&
			    !strncmp(u->items[j].name, name, (size_t)(cold - name)))
				u->items[i].of = j;
	}
}

/* --- relocations ---------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
	const struct vp_elf_reloc *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int copy_relocs(struct vp_unit *u)
{
	for (size_t i = 1; i < u->nsections; i++) {
		size_t n;
		const struct vp_elf_reloc *r = vp_elf_object_relocs(u->elf, i, &n);

		if (!n)
			continue;
		u->relocs[i].list = reallocarray(NULL, n, sizeof(*r));
		if (!u->relocs[i].list)
			return -ENOMEM;
		memcpy(u->relocs[i].list, r, n * sizeof(*r));
		qsort(u->relocs[i].list, n, sizeof(*r), by_offset);
		u->relocs[i].n = n;
	}
	return 0;
}

int vp_unit_open(const struct vp_elf_object *elf, struct vp_unit *u, struct vp_err *err)
{
	*u = (struct vp_unit){ .elf = elf, .cursor_item = VP_NO_ITEM };
	u->sections = vp_elf_object_sections(elf, &u->nsections);
	u->symbols = vp_elf_object_symbols(elf, &u->nsymbols);
	if (u->nsymbols > SYMBOLS_MAX || u->nsections > SYMBOLS_MAX)
		return vp_err_set(err, -ENOEXEC, "%s: more than %u symbols",
				  vp_elf_object_what(elf), SYMBOLS_MAX);
	u->items = calloc(u->nsymbols + u->nsections + 1, sizeof(*u->items));
	u->relocs = calloc(u->nsections + 1, sizeof(*u->relocs));
	if (!u->items || !u->relocs || copy_relocs(u)) {
		vp_unit_close(u);
		return vp_err_set(err, -ENOMEM, "out of memory");
	}
	find_items(u);
	find_nameless(u);
	find_cold(u);
	return 0;
}

void vp_unit_close(struct vp_unit *u)
{
	for (size_t i = 0; u->relocs && i < u->nsections; i++)
		free(u->relocs[i].list);
	free(u->relocs);
	free(u->items);
	*u = (struct vp_unit){ .elf = NULL };
}

/* --- looking things up -------------------------------------------------------------------------
 */

/* The last item that begins at or before it. */
static size_t before(const struct vp_unit *u, size_t section, uint64_t offset)
{
	size_t low = 0, high = u->nitems;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct vp_item *i = &u->items[mid];

		if (i->section < section || (i->section == section && i->offset <= offset))
			low = mid + 1;
		else
			high = mid;
	}
	return low && u->items[low - 1].section == section ? low - 1 : VP_NO_ITEM;
}

static bool is_alone(const struct vp_unit *u, size_t item)
{
	const struct vp_item *i = &u->items[item];

	return (!item || u->items[item - 1].section != i->section) &&
	       (item + 1 == u->nitems || u->items[item + 1].section != i->section);
}

size_t vp_unit_at(const struct vp_unit *u, size_t section, uint64_t offset)
{
	size_t i = before(u, section, offset);

	if (i == VP_NO_ITEM) { /* before the first: a[-1] of the only one */
		i = before(u, section, UINT64_MAX);
		return i != VP_NO_ITEM && is_alone(u, i) ? i : VP_NO_ITEM;
	}
	if (offset - u->items[i].offset < u->items[i].size || is_alone(u, i) ||
	    (!u->items[i].size && offset == u->items[i].offset))
		return i;
	return VP_NO_ITEM;
}

size_t vp_unit_named(const struct vp_unit *u, const char *name)
{
	for (size_t i = 1; i < u->nsymbols; i++) {
		const struct vp_elf_object_symbol *s = &u->symbols[i];
		size_t item;

		if (!is_item(u, s) || strcmp(s->name, name))
			continue;
		item = before(u, s->section, s->value);
		return item != VP_NO_ITEM && u->items[item].offset == s->value ? item : VP_NO_ITEM;
	}
	return VP_NO_ITEM;
}

const struct vp_elf_reloc *vp_unit_relocs(const struct vp_unit *u, size_t section, uint64_t offset,
					  uint64_t size, size_t *n)
{
	const struct vp_unit_relocs *r = &u->relocs[section];
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->list[mid].offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	*n = 0;
	while (low + *n < r->n && r->list[low + *n].offset - offset < size)
		++*n;
	return *n ? r->list + low : NULL;
}

const char *vp_unit_name(const struct vp_unit *u, size_t item)
{
	const struct vp_item *i = &u->items[item];

	return *i->name ? i->name : u->sections[i->section].name;
}

/* --- what a relocation means --------------------------------------------------------------------
 */

/* The instruction of code that has byte @offset. Its end is what its displacement counts from. */
static bool find_insn(struct vp_unit *u, size_t section, uint64_t offset, uint64_t *at,
		      uint64_t *len)
{
	size_t item = vp_unit_at(u, section, offset);
	const struct vp_item *i = item == VP_NO_ITEM ? NULL : &u->items[item];
	const uint8_t *data = u->sections[section].data;

	if (!i || !i->code || !data || offset < i->offset)
		return false;
	if (u->cursor_item != item || u->cursor_at > offset) {
		u->cursor_item = item;
		u->cursor_at = i->offset;
		u->cursor_len = 0;
	}
	for (;;) {
		uint64_t next = u->cursor_at + u->cursor_len;
		struct vp_insn_fields f;
		int n;

		if (u->cursor_len && offset < next)
			break;
		if (next >= u->sections[section].size)
			return false;
		n = vp_insn_get_fields(data + next, u->sections[section].size - next, VP_GVA(next),
				       &f, NULL);
		if (n <= 0)
			return false;
		u->cursor_at = next;
		u->cursor_len = (uint64_t)n;
	}
	*at = u->cursor_at;
	*len = u->cursor_len;
	return true;
}

static bool is_relative(uint32_t type)
{
	return type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64;
}

static bool is_branch(const uint8_t *code, uint64_t len)
{
	struct vp_insn insn;

	return !vp_insn_decode(code, len, VP_GVA(0), &insn, NULL) && vp_insn_leads(&insn);
}

/* Bytes that may be merged: a text to its end, or a constant of as many bytes as its section says.
 */
static bool get_bytes(const struct vp_unit *u, struct vp_ref *ref)
{
	const struct vp_elf_section *s = &u->sections[ref->section];
	const char *number;

	if (!s->data || ref->at >= s->size)
		return false;
	if (s->flags & SHF_STRINGS) {
		ref->size = strnlen((const char *)s->data + ref->at, s->size - ref->at) + 1;
	} else {
		number = strstr(s->name, ".cst");
		ref->size = number ? strtoul(number + 4, NULL, 10) : 0;
		ref->at -= ref->size ? ref->at % ref->size : 0;
	}
	return ref->size && ref->size <= s->size - ref->at;
}

struct vp_ref vp_unit_ref(struct vp_unit *u, size_t section, const struct vp_elf_reloc *r)
{
	const struct vp_elf_object_symbol *s = &u->symbols[r->symbol];
	struct vp_ref ref = { .kind = VP_REF_NONE, .addend = r->addend, .name = s->name };
	uint64_t target = s->value + (uint64_t)r->addend, at, len;

	if (find_insn(u, section, r->offset, &at, &len)) {
		ref.branch = is_branch(u->sections[section].data + at, len);
		if (is_relative(r->type))
			target += at + len - r->offset;
	}
	if (s->section == SHN_UNDEF && *s->name)
		ref.kind = VP_REF_NAME;
	if (!s->section || s->section >= u->nsections)
		return ref;
	if (is_mergeable(&u->sections[s->section])) {
		ref.section = s->section;
		ref.at = target;
		if (!get_bytes(u, &ref))
			return ref;
		ref.kind = VP_REF_BYTES;
		ref.addend = (int64_t)(s->value + (uint64_t)r->addend - ref.at);
		return ref;
	}
	/* A symbol of its own says which one is meant, wherever the sum leads. */
	ref.item = s->type == STT_SECTION ? vp_unit_at(u, s->section, target)
					  : vp_unit_at(u, s->section, s->value);
	if (ref.item == VP_NO_ITEM)
		return ref;
	ref.kind = VP_REF_ITEM;
	ref.addend = (int64_t)(s->value + (uint64_t)r->addend - u->items[ref.item].offset);
	ref.into = (int64_t)(target - u->items[ref.item].offset);
	return ref;
}
