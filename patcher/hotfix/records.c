/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records: .vmpoke.functions, .vmpoke.symbols, .vmpoke.calls, .vmpoke.uses, and the texts they
 * point to.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "base/text.h"
#include "hotfix/internal.h"

/* One array of records on its way out of the object. */
struct records {
	struct vp_hotfix_object *o;
	struct vp_blockers *b;
	const char *what; /* one record, for texts */
	size_t index;	  /* its section */
	const struct vp_elf_section *section;
	size_t size, n;
	const struct vp_elf_reloc **at; /* by offset / 8: what relocates that word */
	size_t strings;			/* the section of texts, or 0 */
};

/* --- words of a record ------------------------------------------------------------------ */

static const struct vp_elf_reloc *pointer(const struct records *r, size_t i, size_t field)
{
	return r->at[(i * r->size + field) / 8];
}

static uint64_t number(const struct records *r, size_t i, size_t field)
{
	uint64_t v;

	memcpy(&v, r->section->data + i * r->size + field, sizeof(v));
	return v;
}

/* Where a pointer goes: false if it leaves the object or its section. */
static bool get_place(const struct records *r, const struct vp_elf_reloc *reloc,
		      struct vp_hotfix_place *out)
{
	size_t nsections, nsymbols;
	const struct vp_elf_section *s = vp_elf_object_sections(r->o->elf, &nsections);
	const struct vp_elf_object_symbol *sym =
		&vp_elf_object_symbols(r->o->elf, &nsymbols)[reloc->symbol];

	if (sym->section == SHN_UNDEF || sym->section >= nsections)
		return false;
	out->section = sym->section;
	out->offset = sym->value + (uint64_t)reloc->addend;
	return out->offset < s[sym->section].size;
}

/* The text of a pointer; "" for NULL. NULL, and a blocker: not a text of at most @max bytes. */
static const char *get_text(const struct records *r, size_t i, size_t field, size_t max,
			    const char *of)
{
	const struct vp_elf_reloc *reloc = pointer(r, i, field);
	const struct vp_elf_section *s;
	struct vp_hotfix_place p;
	const char *text;
	size_t n;

	if (!reloc)
		return "";
	if (!r->strings || !get_place(r, reloc, &p) || p.section != r->strings) {
		vp_blockers_add(r->b, "metadata: %s %zu: its %s is not in .vmpoke.strings", r->what,
				i, of);
		return NULL;
	}
	s = &vp_elf_object_sections(r->o->elf, &n)[p.section];
	text = (const char *)s->data + p.offset;
	n = strnlen(text, s->size - p.offset);
	if (n == s->size - p.offset || n > max)
		vp_blockers_add(r->b, "metadata: %s %zu: its %s is longer than %zu bytes", r->what,
				i, of, max);
	else if (!vp_text_is_clean(text))
		vp_blockers_add(r->b, "metadata: %s %zu: its %s holds control characters", r->what,
				i, of);
	else
		return text;
	return NULL;
}

/* By what several symbols of one name are told apart. */
static void get_which(const struct records *r, uint64_t kind, uint64_t nth,
		      struct vp_hotfix_name *out)
{
	bool place = *out->where;

	out->which = (enum vmpoke_which)kind;
	out->number = kind == VMPOKE_WHICH_NTH ? (unsigned int)nth : 0;
	if ((kind == VMPOKE_WHICH_NTH || kind == VMPOKE_WHICH_USED) != (nth != 0) || nth > 100000)
		vp_blockers_add(r->b, "metadata: %s %.100s: a number is for the n-th, from 1",
				r->what, out->name);
	else if (kind == VMPOKE_WHICH_USED && nth > r->o->nuses)
		vp_blockers_add(r->b, "metadata: %s %.100s: there is no use %u of it", r->what,
				out->name, (unsigned int)nth);
	else if (kind == VMPOKE_WHICH_USED)
		out->use = &r->o->uses[nth - 1];
	switch (kind) {
	case VMPOKE_WHICH_CODE:
	case VMPOKE_WHICH_USED:
		return;
	case VMPOKE_WHICH_FILE:
	case VMPOKE_WHICH_BESIDE:
	case VMPOKE_WHICH_MODULE:
		if (place)
			return;
		break;
	default:
		if (!place)
			return;
	}
	vp_blockers_add(r->b,
			"metadata: %s %.100s: the place does not fit the way its name is told "
			"apart",
			r->what, out->name);
}

/* Of which symbol of the kernel it speaks. */
static void get_name(const struct records *r, size_t i, size_t name, size_t where, uint64_t kind,
		     uint64_t nth, struct vp_hotfix_name *out)
{

	out->name = get_text(r, i, name, VMPOKE_SYMBOL_MAX, "name");
	out->where = get_text(r, i, where, VMPOKE_WHERE_MAX, "place");
	if (out->name && !*out->name)
		vp_blockers_add(r->b, "metadata: %s %zu has no name", r->what, i);
	if (out->name && strchr(out->name, ' '))
		vp_blockers_add(r->b, "metadata: the name \"%.100s\" holds a space", out->name);
	if (!out->name || !out->where || !*out->name) {
		out->name = out->where = "";
		return;
	}
	if (kind > VMPOKE_WHICH_USED) {
		vp_blockers_add(r->b, "metadata: %s %.100s: unknown way to tell names apart",
				r->what, out->name);
		return;
	}
	get_which(r, kind, nth, out);
}

/* --- an array of records -------------------------------------------------------------------- */

/* Which relocation stands at which word: each at one of @pointers, one each, R_X86_64_64. */
static bool index_relocs(struct records *r, const size_t *pointers, size_t npointers)
{
	size_t n;
	const struct vp_elf_reloc *list = vp_elf_object_relocs(r->o->elf, r->index, &n);

	for (size_t i = 0; i < n; i++) {
		uint64_t field = list[i].offset % r->size;
		bool known = false;

		for (size_t j = 0; j < npointers; j++)
			known |= field == pointers[j];
		if (!known || list[i].type != R_X86_64_64 || r->at[list[i].offset / 8]) {
			vp_blockers_add(r->b, "metadata: %s %zu has an odd relocation", r->what,
					(size_t)(list[i].offset / r->size));
			return false;
		}
		r->at[list[i].offset / 8] = &list[i];
	}
	return true;
}

/* How many there are; 0 if none, or none that can be read. The caller frees @r->at. */
static size_t open_records(struct records *r, struct vp_hotfix_object *o, const char *section,
			   const char *what, size_t size, size_t max, const size_t *pointers,
			   size_t npointers, struct vp_blockers *b)
{
	size_t n;

	*r = (struct records){ .o = o, .b = b, .what = what, .size = size };
	r->index = vp_hotfix_section(o, section, b);
	r->strings = vp_hotfix_section(o, ".vmpoke.strings", b);
	r->section = &vp_elf_object_sections(o->elf, &n)[r->index];
	if (r->strings && !vp_elf_object_sections(o->elf, &n)[r->strings].data)
		r->strings = 0;
	if (!r->index || !r->section->size)
		return 0;
	if (!r->section->data || r->section->size % size) {
		vp_blockers_add(b, "metadata: odd size of section %s", section);
		return 0;
	}
	if (r->section->size / size > max) {
		vp_blockers_add(b, "metadata: more than %zu in section %s", max, section);
		return 0;
	}
	r->at = calloc(r->section->size / 8, sizeof(const struct vp_elf_reloc *));
	if (!r->at) {
		vp_blockers_add(b, "out of memory");
		return 0;
	}
	return index_relocs(r, pointers, npointers) ? r->section->size / size : 0;
}

static bool same_name(const struct vp_hotfix_name *a, const struct vp_hotfix_name *b)
{
	return !strcmp(a->name, b->name) && a->which == b->which && !strcmp(a->where, b->where) &&
	       a->number == b->number && a->use == b->use &&
	       (!a->expected || !memcmp(a->expected, b->expected, VP_SHA256_SIZE));
}

/* --- functions ------------------------------------------------------------------------------- */

/* The function of the object at @p: NULL, or its name. */
static const char *name_at(const struct vp_hotfix_object *o, const struct vp_hotfix_place *p)
{
	size_t n;
	const struct vp_elf_object_symbol *s = vp_elf_object_symbols(o->elf, &n);

	for (size_t i = 1; i < n; i++)
		if (s[i].section == p->section && s[i].value == p->offset &&
		    s[i].type == STT_FUNC && *s[i].name)
			return s[i].name;
	return NULL;
}

static bool is_code(const struct vp_hotfix_object *o, const struct vp_hotfix_place *p)
{
	size_t n;
	const struct vp_elf_section *s = &vp_elf_object_sections(o->elf, &n)[p->section];

	return s->data && (s->flags & SHF_ALLOC) && (s->flags & SHF_EXECINSTR);
}

static void read_function(const struct records *r, size_t i, struct vp_hotfix_function *f)
{
	const struct vp_elf_reloc *to =
		pointer(r, i, offsetof(struct vmpoke_function, replacement));

	get_name(r, i, offsetof(struct vmpoke_function, name),
		 offsetof(struct vmpoke_function, where),
		 number(r, i, offsetof(struct vmpoke_function, which)),
		 number(r, i, offsetof(struct vmpoke_function, number)), &f->old);
	if (number(r, i, offsetof(struct vmpoke_function, flags)))
		vp_blockers_add(r->b, "metadata: function %.100s has unknown flags", f->old.name);
	memcpy(f->expected,
	       r->section->data + i * r->size + offsetof(struct vmpoke_function, expected),
	       sizeof(f->expected));
	f->expected_at =
		r->section->offset + i * r->size + offsetof(struct vmpoke_function, expected);
	for (size_t j = 0; j < sizeof(f->expected); j++)
		f->expects |= f->expected[j] != 0;
	if (f->old.which == VMPOKE_WHICH_CODE && !f->expects)
		vp_blockers_add(r->b, "metadata: function %.100s: told by code, which it lacks",
				f->old.name);
	f->old.expected = f->old.which == VMPOKE_WHICH_CODE ? f->expected : NULL;
	f->replacement_name = "";
	if (!to || !get_place(r, to, &f->replacement) || !is_code(r->o, &f->replacement)) {
		f->replacement = (struct vp_hotfix_place){ 0 };
		vp_blockers_add(r->b,
				"metadata: function %.100s: its replacement is no code of "
				"this object",
				f->old.name);
	} else if (name_at(r->o, &f->replacement)) {
		f->replacement_name = name_at(r->o, &f->replacement);
	}
}

static void read_functions(struct vp_hotfix_object *o, struct vp_blockers *b)
{
	static const size_t pointers[] = { offsetof(struct vmpoke_function, replacement),
					   offsetof(struct vmpoke_function, name),
					   offsetof(struct vmpoke_function, where) };
	size_t had = b->added;
	struct records r;
	size_t n =
		open_records(&r, o, ".vmpoke.functions", "function", sizeof(struct vmpoke_function),
			     VMPOKE_FUNCTION_COUNT, pointers, 3, b);

	if (!n && b->added == had)
		vp_blockers_add(b, "metadata: it replaces no function: VMPOKE_REPLACE()");
	for (size_t i = 0; i < n; i++) {
		read_function(&r, i, &o->functions[i]);
		for (size_t j = 0; j < i; j++)
			if (*o->functions[i].old.name &&
			    same_name(&o->functions[i].old, &o->functions[j].old))
				vp_blockers_add(b, "metadata: function %.100s is replaced twice",
						o->functions[i].old.name);
	}
	o->about.functions = o->functions;
	o->about.nfunctions = n;
	free(r.at);
}

/* --- places in the kernel's code ---------------------------------------------------------------
 */

static void read_use(const struct records *r, size_t i, struct vp_hotfix_use *u)
{
	uint64_t which = number(r, i, offsetof(struct vmpoke_use, which)),
		 type = number(r, i, offsetof(struct vmpoke_use, type));

	get_name(r, i, offsetof(struct vmpoke_use, name), offsetof(struct vmpoke_use, where), which,
		 0, &u->function);
	u->offset = number(r, i, offsetof(struct vmpoke_use, offset));
	u->type = (uint32_t)type;
	u->addend = (int64_t)number(r, i, offsetof(struct vmpoke_use, addend));
	memcpy(u->expected, r->section->data + i * r->size + offsetof(struct vmpoke_use, expected),
	       sizeof(u->expected));
	u->function.expected = which == VMPOKE_WHICH_CODE ? u->expected : NULL;
	if (which != VMPOKE_WHICH_ONLY && which != VMPOKE_WHICH_GLOBAL &&
	    which != VMPOKE_WHICH_MODULE && which != VMPOKE_WHICH_CODE)
		vp_blockers_add(r->b, "metadata: use %zu: its function cannot be told apart so", i);
	if (type != R_X86_64_PC32 && type != R_X86_64_PLT32 && type != R_X86_64_32S &&
	    type != R_X86_64_64)
		vp_blockers_add(r->b, "metadata: use %zu is of an unknown type", i);
}

static void read_uses(struct vp_hotfix_object *o, struct vp_blockers *b)
{
	static const size_t pointers[] = { offsetof(struct vmpoke_use, name),
					   offsetof(struct vmpoke_use, where) };
	struct records r;
	size_t n = open_records(&r, o, ".vmpoke.uses", "use", sizeof(struct vmpoke_use),
				VMPOKE_USE_COUNT, pointers, 2, b);

	for (size_t i = 0; i < n; i++)
		read_use(&r, i, &o->uses[i]);
	o->nuses = n;
	free(r.at);
}

/* --- symbols and calls --------------------------------------------------------------------------
 */

static void read_symbols(struct vp_hotfix_object *o, struct vp_blockers *b)
{
	static const size_t pointers[] = { offsetof(struct vmpoke_symbol, name),
					   offsetof(struct vmpoke_symbol, where) };
	struct records r;
	size_t n = open_records(&r, o, ".vmpoke.symbols", "symbol", sizeof(struct vmpoke_symbol),
				VMPOKE_LOCAL_COUNT, pointers, 2, b);

	for (size_t i = 0; i < n; i++) {
		struct vp_hotfix_name *s = &o->symbols[i];

		get_name(&r, i, offsetof(struct vmpoke_symbol, name),
			 offsetof(struct vmpoke_symbol, where),
			 number(&r, i, offsetof(struct vmpoke_symbol, which)),
			 number(&r, i, offsetof(struct vmpoke_symbol, number)), s);
		if (s->which == VMPOKE_WHICH_CODE)
			vp_blockers_add(b,
					"metadata: symbol %.100s: only functions are told by "
					"code",
					s->name);
		for (size_t j = 0; j < i; j++)
			if (*s->name && !strcmp(s->name, o->symbols[j].name))
				vp_blockers_add(b, "metadata: symbol %.100s is told apart twice",
						s->name);
	}
	o->about.symbols = o->symbols;
	o->about.nsymbols = n;
	free(r.at);
}

static void read_call(const struct records *r, size_t i, struct vp_hotfix_call *c)
{
	const struct vp_elf_reloc *to = pointer(r, i, offsetof(struct vmpoke_call, function));
	uint64_t when = number(r, i, offsetof(struct vmpoke_call, when));
	const struct vp_elf_object_symbol *sym;
	size_t n;

	c->name = "";
	if (!to || when < VMPOKE_WHEN_BEFORE_APPLY || when > VMPOKE_WHEN_AFTER_REMOVE ||
	    number(r, i, offsetof(struct vmpoke_call, flags))) {
		vp_blockers_add(r->b, "metadata: call %zu: unknown moment or flags, or no function",
				i);
		return;
	}
	c->when = (enum vmpoke_when)when;
	c->order = number(r, i, offsetof(struct vmpoke_call, order));
	sym = &vp_elf_object_symbols(r->o->elf, &n)[to->symbol];
	if (sym->section == SHN_UNDEF && *sym->name && !to->addend) {
		c->name = sym->name;
	} else if (get_place(r, to, &c->place) && is_code(r->o, &c->place)) {
		c->own = true;
		c->name = name_at(r->o, &c->place) ? name_at(r->o, &c->place) : "";
	} else {
		vp_blockers_add(r->b, "metadata: call %zu is of no function", i);
	}
}

/* Compilers turn the order of the source round as they like. */
static int by_order(const void *a, const void *b)
{
	const struct vp_hotfix_call *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

static void read_calls(struct vp_hotfix_object *o, struct vp_blockers *b)
{
	static const size_t pointers[] = { offsetof(struct vmpoke_call, function) };
	struct records r;
	size_t n = open_records(&r, o, ".vmpoke.calls", "call", sizeof(struct vmpoke_call),
				VMPOKE_CALL_COUNT, pointers, 1, b);

	for (size_t i = 0; i < n; i++)
		read_call(&r, i, &o->calls[i]);
	qsort(o->calls, n, sizeof(*o->calls), by_order);
	for (size_t i = 1; i < n; i++)
		if (o->calls[i].when && o->calls[i].order == o->calls[i - 1].order)
			vp_blockers_add(b, "metadata: two calls have one place in the order");
	o->about.calls = o->calls;
	o->about.ncalls = n;
	free(r.at);
}

void vp_hotfix_read_records(struct vp_hotfix_object *o, struct vp_blockers *b)
{
	read_uses(o, b); /* first: the others point there */
	read_functions(o, b);
	read_symbols(o, b);
	read_calls(o, b);
}
