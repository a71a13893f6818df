/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/emit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmpoke/hotfix.h>

#include "base/sha256.h"
#include "diff/expected.h"
#include "diff/keep_internal.h"
#include "elf/object_write.h"

/* Where an item of a source's code went. */
struct put {
	uint32_t section, symbol;
};

/* A text or constant that is in the object. */
struct text {
	const uint8_t *bytes;
	uint64_t size;
	uint32_t symbol;
	bool constant;
};

enum meant {
	UNSAID, /* the headers of hotfixes refer to it */
	GLOBAL, /* the kernel's build knows one for all sources */
	LOCAL,	/* it is of one source */
};

/* Whom a name means that is the kernel's. */
struct told {
	char name[VMPOKE_SYMBOL_MAX + 1], module[64]; /* "": the kernel itself */
	enum meant meant;
	size_t source; /* LOCAL: which */
};

struct emit {
	const struct vp_emit_about *about;
	const struct vp_emit_source *sources;
	size_t n;
	struct vp_elf_write *w;
	struct put **puts; /* by source and item */
	struct text *texts;
	size_t ntexts;
	/* Sections that all sources share; 0: not begun. */
	uint32_t alternatives, replacements, pv_calls;
	uint32_t strings, functions, symbols, uses;
	struct told *told; /* which of several is meant, so far */
	size_t ntold;
	uint64_t nuses;
	struct vp_blockers *blockers;
	size_t current; /* the source that is written now */
	bool no_memory;
};

/* --- texts ----------------------------------------------------------------------------------- */

static uint32_t put_text(struct emit *e, const struct vp_unit *u, const struct vp_ref *ref)
{
	const struct vp_elf_section *s = &u->sections[ref->section];
	struct text t = { .bytes = s->data + ref->at,
			  .size = ref->size,
			  .constant = !(s->flags & SHF_STRINGS) };
	struct text *more;
	uint32_t section;

	for (size_t i = 0; i < e->ntexts; i++)
		if (e->texts[i].size == t.size && e->texts[i].constant == t.constant &&
		    !memcmp(e->texts[i].bytes, t.bytes, t.size))
			return e->texts[i].symbol;
	more = reallocarray(e->texts, e->ntexts + 1, sizeof(*more));
	if (!more) {
		e->no_memory = true;
		return 0;
	}
	section =
		vp_elf_write_section(e->w, t.constant ? ".rodata.cst" : ".rodata.str", SHT_PROGBITS,
				     SHF_ALLOC, t.constant ? s->align : 1, t.bytes, t.size);
	t.symbol = vp_elf_write_symbol(e->w, "", STT_SECTION, STB_LOCAL, section, 0, 0);
	e->texts = more;
	more[e->ntexts++] = t;
	return t.symbol;
}

/* --- symbols of the kernel ----------------------------------------------------------------------
 */

static uint64_t put_string(struct emit *e, const char *text)
{
	return vp_elf_write_more(e->w, e->strings, text, strlen(text) + 1);
}

/* The pointer at @at of the section of records goes to a text. */
static void point_to_string(struct emit *e, uint32_t section, uint64_t at, const char *text)
{
	uint32_t symbol;

	if (!*text)
		return;
	symbol = vp_elf_write_symbol(e->w, "", STT_NOTYPE, STB_LOCAL, e->strings,
				     put_string(e, text), 0);
	vp_elf_write_reloc(e->w, section, at, R_X86_64_64, symbol, 0);
}

/* The number of a record that says what @source's own code leads to @name by, from 1; 0: none. */
static uint64_t put_use(struct emit *e, const struct vp_emit_source *source, const char *name)
{
	const char *module = source->keep->source->module;
	const struct vp_item *user;
	struct vmpoke_use use;
	uint64_t at;

	if (!source->whole || e->nuses == VMPOKE_USE_COUNT ||
	    !vp_diff_use(source->whole, name, &user, &use))
		return 0;
	use.which = user->global && !module ? VMPOKE_WHICH_GLOBAL : VMPOKE_WHICH_CODE;
	if (!e->uses)
		e->uses = vp_elf_write_section(e->w, ".vmpoke.uses", SHT_PROGBITS,
					       SHF_ALLOC | SHF_WRITE, 8, NULL, 0);
	at = vp_elf_write_more(e->w, e->uses, &use, sizeof(use));
	point_to_string(e, e->uses, at + offsetof(struct vmpoke_use, name), user->name);
	point_to_string(e, e->uses, at + offsetof(struct vmpoke_use, where), module ? module : "");
	return ++e->nuses;
}

/* How which of several of one name is meant, as far as the compilations tell. */
static void put_symbol(struct emit *e, const struct told *t)
{
	struct vmpoke_symbol s = { .which = VMPOKE_WHICH_ONLY };
	uint64_t at;

	if (t->meant == LOCAL)
		s.number = put_use(e, &e->sources[t->source], t->name);
	if (s.number)
		s.which = VMPOKE_WHICH_USED;
	else if (*t->module)
		s.which = VMPOKE_WHICH_MODULE;
	else if (t->meant == GLOBAL)
		s.which = VMPOKE_WHICH_GLOBAL;
	if (s.which == VMPOKE_WHICH_ONLY)
		return;
	at = vp_elf_write_more(e->w, e->symbols, &s, sizeof(s));
	point_to_string(e, e->symbols, at + offsetof(struct vmpoke_symbol, name), t->name);
	point_to_string(e, e->symbols, at + offsetof(struct vmpoke_symbol, where), t->module);
}

static bool mean_the_same(const struct told *a, const struct told *b)
{
	if (strcmp(a->module, b->module) || (a->meant == LOCAL) != (b->meant == LOCAL))
		return false;
	return a->meant != LOCAL || a->source == b->source;
}

/* The object has one meaning for each name. */
static void tell_apart(struct emit *e, const struct told *t)
{
	struct told *more;

	for (size_t i = 0; i < e->ntold; i++) {
		struct told *had = &e->told[i];

		if (strcmp(had->name, t->name))
			continue;
		if (!mean_the_same(had, t))
			vp_blockers_add(
				e->blockers,
				"%.100s: two of the changed files mean different ones by it",
				t->name);
		else if (t->meant == GLOBAL)
			had->meant = GLOBAL;
		return;
	}
	more = reallocarray(e->told, e->ntold + 1, sizeof(*more));
	if (!more) {
		e->no_memory = true;
		return;
	}
	e->told = more;
	more[e->ntold++] = *t;
}

/* What another of the changed sources brings along under this name: it is new there. */
static uint32_t of_another_source(const struct emit *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct vp_keep *k = e->sources[i].keep;
		size_t item = i == e->current ? VP_NO_ITEM : vp_unit_named(k->source->code, name);

		if (item != VP_NO_ITEM && k->source->code->items[item].global &&
		    k->own.to_old[item] == VP_NO_ITEM)
			return e->puts[i][item].symbol;
	}
	return 0;
}

/*
 * Whom the kernel's own build of the source means by @name. What it had before counts: there it may
 * be local, and global after.
 */
static enum meant meant_by(const struct vp_source *s, const char *name)
{
	const struct vp_unit *const units[] = { s->before, s->after };

	for (size_t i = 0; i < 2; i++)
		for (size_t j = 1; j < units[i]->nsymbols; j++)
			if (!strcmp(units[i]->symbols[j].name, name))
				return units[i]->symbols[j].bind == STB_LOCAL ? LOCAL : GLOBAL;
	return UNSAID;
}

static uint32_t kernel_symbol(struct emit *e, const char *name, bool foreign)
{
	const struct vp_source *s = e->sources[e->current].keep->source;
	const char *module = s->module;
	bool exported = false;
	uint32_t own = foreign ? of_another_source(e, name) : 0;
	struct told t = { .meant = meant_by(s, name), .source = e->current };

	if (own)
		return own;
	if (foreign) {
		const char *by = e->about->exported_by(e->about->arg, name, &exported);

		/* What only the headers of hotfixes bring in is the kernel's, exported or not. */
		if (exported || t.meant == UNSAID)
			module = by;
	}
	if (strncmp(name, "__x86_", 6) && strcmp(name, "__fentry__")) {
		snprintf(t.name, sizeof(t.name), "%s", name);
		snprintf(t.module, sizeof(t.module), "%s", module ? module : "");
		tell_apart(e, &t);
	}
	return vp_elf_write_symbol(e->w, name, STT_NOTYPE, STB_GLOBAL, SHN_UNDEF, 0, 0);
}

/* --- code and data -------------------------------------------------------------------------------
 */

static void section_name(const struct vp_elf_section *s, const char *item, char *out, size_t size)
{
	const char *kind = ".rodata";

	if (!strncmp(s->name, ".data..percpu", 13))
		kind = ".data..percpu";
	else if (s->flags & SHF_EXECINSTR)
		kind = ".text";
	else if (s->type == SHT_NOBITS)
		kind = ".bss";
	else if (s->flags & SHF_WRITE)
		kind = ".data";
	snprintf(out, size, "%s.%.200s", kind, item);
}

static void put_item(struct emit *e, const struct vp_unit *u, size_t i, struct put *put)
{
	const struct vp_item *item = &u->items[i];
	const struct vp_elf_section *s = &u->sections[item->section];
	const char *name = *item->name ? item->name : "data";
	char in[256];

	section_name(s, name, in, sizeof(in));
	/* What has no size has an address all the same. */
	if (!item->size)
		put->section =
			vp_elf_write_section(e->w, in, SHT_NOBITS,
					     s->flags & (SHF_ALLOC | SHF_WRITE), s->align, NULL, 1);
	else
		put->section = vp_elf_write_section(
			e->w, in, s->type, s->flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR),
			s->align, s->data ? s->data + item->offset : NULL, item->size);
	put->symbol = vp_elf_write_symbol(e->w, name, item->code ? STT_FUNC : STT_OBJECT, STB_LOCAL,
					  put->section, 0, item->size);
}

/* The symbol and addend that a reference of kept code becomes. */
static uint32_t resolve(struct emit *e, struct vp_keep *k, size_t from, const struct vp_ref *ref)
{
	const char *name = "";

	switch (vp_keep_meant(k, from, ref, &name)) {
	case VP_MEANT_OWN:
		return e->puts[e->current][ref->item].symbol;
	case VP_MEANT_KERNEL:
		return kernel_symbol(e, name, ref->kind == VP_REF_NAME);
	case VP_MEANT_BYTES:
		return put_text(e, k->source->code, ref);
	case VP_MEANT_UNKNOWN:
		break;
	}
	return 0;
}

/* Where a range of the source's bytes has gone. */
struct moved {
	struct emit *e;
	uint32_t section;
	uint64_t from, to;
};

static void put_reloc(void *arg, struct vp_keep *k, size_t item, const struct vp_elf_reloc *r,
		      const struct vp_ref *ref)
{
	const struct moved *m = arg;

	vp_elf_write_reloc(m->e->w, m->section, r->offset - m->from + m->to, r->type,
			   resolve(m->e, k, item, ref), ref->addend);
}

/* --- tables --------------------------------------------------------------------------------------
 */

static uint32_t shared(struct emit *e, uint32_t *section, const char *name, uint64_t flags)
{
	if (!*section)
		*section = vp_elf_write_section(e->w, name, SHT_PROGBITS, flags, 1, NULL, 0);
	return *section;
}

/* The place that an entry speaks of: of @item. */
static void put_place(struct emit *e, uint32_t table, uint64_t at, size_t item, uint32_t type,
		      const struct vp_unit *u, const struct vp_elf_reloc *r)
{
	const struct vp_elf_object_symbol *s = &u->symbols[r->symbol];
	int64_t into = (int64_t)(s->value + (uint64_t)r->addend - u->items[item].offset);

	vp_elf_write_reloc(e->w, table, at, type, e->puts[e->current][item].symbol, into);
}

static void put_alternative(void *arg, size_t item, const uint8_t *entry, uint64_t size,
			    const struct vp_elf_reloc *relocs)
{
	struct emit *e = arg;
	struct vp_keep *k = e->sources[e->current].keep;
	struct vp_unit *u = k->source->code;
	uint32_t table = shared(e, &e->alternatives, ".altinstructions", SHF_ALLOC), symbol;
	uint32_t code =
		shared(e, &e->replacements, ".altinstr_replacement", SHF_ALLOC | SHF_EXECINSTR);
	uint64_t at = vp_elf_write_more(e->w, table, entry, size), from = 0, to = 0;
	size_t section;

	put_place(e, table, at, item, R_X86_64_PC32, u, &relocs[0]);
	if (vp_keep_replacement(u, entry, size, relocs, &section, &from)) {
		struct moved m = { e, code, from, 0 };

		m.to = to = vp_elf_write_more(e->w, code, u->sections[section].data + from,
					      entry[size - 1]);
		vp_keep_each_ref(k, item, section, from, entry[size - 1], put_reloc, &m);
	}
	symbol = vp_elf_write_symbol(e->w, "", STT_NOTYPE, STB_LOCAL, code, to, 0);
	vp_elf_write_reloc(e->w, table, at + 4, R_X86_64_PC32, symbol, 0);
}

static void put_pv_call(void *arg, size_t item, const uint8_t *entry, uint64_t size,
			const struct vp_elf_reloc *relocs)
{
	struct emit *e = arg;
	uint32_t table = shared(e, &e->pv_calls, ".parainstructions", SHF_ALLOC);

	put_place(e, table, vp_elf_write_more(e->w, table, entry, size), item, R_X86_64_64,
		  e->sources[e->current].keep->source->code, &relocs[0]);
}

/* --- records -------------------------------------------------------------------------------------
 */

static void put_function(struct emit *e, const struct vp_emit_source *s, size_t item)
{
	const struct vp_source *source = s->keep->source;
	const struct vp_item *old = &source->before->items[s->keep->own.to_old[item]];
	struct vmpoke_function f = {
		.which = source->module ? VMPOKE_WHICH_MODULE : VMPOKE_WHICH_ONLY,
	};
	const char *name = old->name;
	uint64_t at;

	if (!s->whole || !vp_diff_expected(s->whole, name, f.expected))
		memset(f.expected, 0, sizeof(f.expected));
	else if (!old->global)
		f.which = VMPOKE_WHICH_CODE;
	if (old->global && !source->module)
		f.which = VMPOKE_WHICH_GLOBAL;
	else if (f.which != VMPOKE_WHICH_CODE)
		f.number = put_use(e, s, name);
	if (f.number)
		f.which = VMPOKE_WHICH_USED;
	at = vp_elf_write_more(e->w, e->functions, &f, sizeof(f));
	vp_elf_write_reloc(e->w, e->functions, at + offsetof(struct vmpoke_function, replacement),
			   R_X86_64_64, e->puts[e->current][item].symbol, 0);
	point_to_string(e, e->functions, at + offsetof(struct vmpoke_function, name), name);
	point_to_string(e, e->functions, at + offsetof(struct vmpoke_function, where),
			source->module ? source->module : "");
}

static void put_info(struct emit *e)
{
	const struct vp_emit_about *a = e->about;
	uint32_t section =
		vp_elf_write_section(e->w, ".vmpoke.info", SHT_PROGBITS, SHF_ALLOC, 1, NULL, 0);
	char text[VMPOKE_DESCRIPTION_MAX + 32];
	const struct {
		const char *key, *value;
	} all[] = { { "format", VMPOKE_FORMAT_TEXT },
		    { "name", a->name },
		    { "version", a->version },
		    { "description", a->description },
		    { "for", a->release } };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int n = snprintf(text, sizeof(text), "%s=%.*s", all[i].key, VMPOKE_DESCRIPTION_MAX,
				 all[i].value);

		vp_elf_write_more(e->w, section, text, (uint64_t)n + 1);
	}
	e->strings =
		vp_elf_write_section(e->w, ".vmpoke.strings", SHT_PROGBITS, SHF_ALLOC, 1, NULL, 0);
	e->functions = vp_elf_write_section(e->w, ".vmpoke.functions", SHT_PROGBITS,
					    SHF_ALLOC | SHF_WRITE, 8, NULL, 0);
	e->symbols = vp_elf_write_section(e->w, ".vmpoke.symbols", SHT_PROGBITS,
					  SHF_ALLOC | SHF_WRITE, 8, NULL, 0);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void put_items(struct emit *e)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct vp_keep *k = e->sources[i].keep;

		for (size_t j = 0; j < k->source->code->nitems; j++)
			if (k->fate[j] != VP_FATE_NONE)
				put_item(e, k->source->code, j, &e->puts[i][j]);
	}
}

static void put_references(struct emit *e)
{
	struct vp_keep *k = e->sources[e->current].keep;
	const struct vp_unit *u = k->source->code;

	for (size_t i = 0; i < u->nitems; i++) {
		const struct vp_item *item = &u->items[i];
		struct moved m = { e, e->puts[e->current][i].section, item->offset, 0 };

		if (k->fate[i] == VP_FATE_NONE)
			continue;
		vp_keep_each_ref(k, i, item->section, item->offset, item->size, put_reloc, &m);
		if (!item->code)
			continue;
		vp_keep_each_entry(k, ".altinstructions", i, put_alternative, e);
		vp_keep_each_entry(k, ".parainstructions", i, put_pv_call, e);
		if (k->fate[i] == VP_FATE_REPLACES)
			put_function(e, &e->sources[e->current], i);
	}
}

static int allocate(struct emit *e, struct vp_err *err)
{
	e->w = vp_elf_write_new();
	e->puts = calloc(e->n + 1, sizeof(*e->puts));
	for (size_t i = 0; e->puts && i < e->n; i++) {
		e->puts[i] =
			calloc(e->sources[i].keep->source->code->nitems + 1, sizeof(**e->puts));
		e->no_memory |= !e->puts[i];
	}
	return e->w && e->puts && !e->no_memory ? 0 : vp_err_set(err, -ENOMEM, "out of memory");
}

int vp_emit(const struct vp_emit_source *sources, size_t n, const struct vp_emit_about *about,
	    void **image, size_t *len, struct vp_err *err)
{
	struct emit e = { .about = about, .sources = sources, .n = n };
	size_t had;
	int rc = allocate(&e, err);

	e.blockers = sources[0].keep->blockers;
	had = e.blockers->added;
	if (!rc) {
		put_info(&e);
		put_items(&e);
		for (e.current = 0; e.current < n; e.current++)
			put_references(&e);
		for (size_t i = 0; i < e.ntold; i++)
			put_symbol(&e, &e.told[i]);
		if (e.no_memory)
			rc = vp_err_set(err, -ENOMEM, "out of memory");
		else if (e.blockers->added != had)
			rc = vp_err_set(err, -EOPNOTSUPP, "%.200s", e.blockers->list[0].text);
		else
			rc = vp_elf_write_finish(e.w, image, len, err);
	}
	for (size_t i = 0; e.puts && i < n; i++)
		free(e.puts[i]);
	free(e.puts);
	free(e.texts);
	free(e.told);
	vp_elf_write_free(e.w);
	return rc;
}
