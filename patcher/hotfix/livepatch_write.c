/* SPDX-License-Identifier: Apache-2.0 */
/* The object: what was taken of a livepatch module, and the records of include/vmpoke/hotfix.h. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/object_write.h"
#include "hotfix/livepatch_internal.h"
#include "x86/encode.h"

#define KLP_SYM	   ".klp.sym."
#define OBJECT_MAX 55u /* bytes of a module's name (MODULE_NAME_LEN) */

/* Which of the kernel's symbols a name of the object means: one only. */
struct meaning {
	char name[VMPOKE_SYMBOL_MAX + 1], object[OBJECT_MAX + 1]; /* "": of the kernel */
	uint64_t sympos;
};

struct writing {
	struct vp_lp *lp;
	struct vp_elf_write *w;
	uint32_t *sections, *symbols; /* by their old numbers; 0: not written so far */
	struct meaning *meanings;
	size_t nmeanings;
	uint32_t strings, functions, told;
	bool no_memory;
};

/* --- records ------------------------------------------------------------------------------------
 */

static void point_to_text(struct writing *x, uint32_t section, uint64_t at, const char *text)
{
	uint64_t to = vp_elf_write_more(x->w, x->strings, text, strlen(text) + 1);

	vp_elf_write_reloc(x->w, section, at, R_X86_64_64,
			   vp_elf_write_symbol(x->w, "", STT_NOTYPE, STB_LOCAL, x->strings, to, 0),
			   0);
}

/*
 * How the object says what livepatch says by module and position. Positions in modules are not
 * counted: 0 and 1 are taken where the name is there once.
 */
static enum vmpoke_which which_of(struct vp_lp *lp, const char *name, const char *object,
				  uint64_t sympos)
{
	if (sympos > 100000 || (*object && sympos > 1))
		vp_blockers_add(lp->b, "%.100s: number %llu of that name%s%.64s is not found", name,
				(unsigned long long)sympos, *object ? " in the module " : "",
				object);
	if (*object)
		return VMPOKE_WHICH_MODULE;
	return sympos ? VMPOKE_WHICH_NTH : VMPOKE_WHICH_ONLY;
}

static void put_function(struct writing *x, const struct vp_lp_func *f)
{
	const char *object = f->object ? f->object : "";
	struct vmpoke_function record = { .which = which_of(x->lp, f->name, object, f->sympos) };
	uint64_t at;

	if (record.which == VMPOKE_WHICH_NTH)
		record.number = f->sympos;
	at = vp_elf_write_more(x->w, x->functions, &record, sizeof(record));
	vp_elf_write_reloc(x->w, x->functions, at + offsetof(struct vmpoke_function, replacement),
			   R_X86_64_64,
			   vp_elf_write_symbol(x->w, "", STT_NOTYPE, STB_LOCAL,
					       x->sections[f->to.section], f->to.offset, 0),
			   0);
	point_to_text(x, x->functions, at + offsetof(struct vmpoke_function, name), f->name);
	if (*object)
		point_to_text(x, x->functions, at + offsetof(struct vmpoke_function, where),
			      object);
}

static void put_told(struct writing *x, const struct meaning *m)
{
	struct vmpoke_symbol record = { .which = which_of(x->lp, m->name, m->object, m->sympos) };
	uint64_t at;

	if (record.which == VMPOKE_WHICH_ONLY)
		return;
	if (record.which == VMPOKE_WHICH_NTH)
		record.number = m->sympos;
	at = vp_elf_write_more(x->w, x->told, &record, sizeof(record));
	point_to_text(x, x->told, at + offsetof(struct vmpoke_symbol, name), m->name);
	if (*m->object)
		point_to_text(x, x->told, at + offsetof(struct vmpoke_symbol, where), m->object);
}

static void put_info(struct writing *x)
{
	const struct vp_lp *lp = x->lp;
	uint32_t section =
		vp_elf_write_section(x->w, ".vmpoke.info", SHT_PROGBITS, SHF_ALLOC, 1, NULL, 0);
	const struct {
		const char *key, *value;
	} all[] = { { "format", VMPOKE_FORMAT_TEXT },
		    { "name", lp->name },
		    { "version", lp->version },
		    { "description", lp->description },
		    { "for", lp->release } };
	char text[VMPOKE_DESCRIPTION_MAX + 32];

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int n = snprintf(text, sizeof(text), "%s=%.*s", all[i].key, VMPOKE_DESCRIPTION_MAX,
				 all[i].value);

		vp_elf_write_more(x->w, section, text, (uint64_t)n + 1);
	}
	x->strings =
		vp_elf_write_section(x->w, ".vmpoke.strings", SHT_PROGBITS, SHF_ALLOC, 1, NULL, 0);
	x->functions = vp_elf_write_section(x->w, ".vmpoke.functions", SHT_PROGBITS,
					    SHF_ALLOC | SHF_WRITE, 8, NULL, 0);
	x->told = vp_elf_write_section(x->w, ".vmpoke.symbols", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE,
				       8, NULL, 0);
}

/* --- symbols -------------------------------------------------------------------------------------
 */

/* ".klp.sym.OBJECT.NAME,SYMPOS" (Documentation/livepatch/module-elf-format.rst), or a plain name.
 */
static bool read_meaning(const char *text, struct meaning *m)
{
	const char *dot, *comma;
	char *end;

	memset(m, 0, sizeof(*m));
	if (strncmp(text, KLP_SYM, strlen(KLP_SYM))) {
		snprintf(m->name, sizeof(m->name), "%s", text);
		return strlen(text) <= VMPOKE_SYMBOL_MAX;
	}
	text += strlen(KLP_SYM);
	dot = strchr(text, '.');
	comma = dot ? strchr(dot, ',') : NULL;
	if (!comma || dot == text || comma == dot + 1 || (size_t)(dot - text) > OBJECT_MAX ||
	    (size_t)(comma - dot - 1) > VMPOKE_SYMBOL_MAX || comma[1] < '0' || comma[1] > '9')
		return false;
	memcpy(m->object, text, (size_t)(dot - text));
	memcpy(m->name, dot + 1, (size_t)(comma - dot - 1));
	m->sympos = strtoull(comma + 1, &end, 10);
	if (!strcmp(m->object, "vmlinux"))
		m->object[0] = 0;
	return !*end;
}

static bool is_meant(struct writing *x, const struct meaning *m)
{
	struct meaning *more;

	for (size_t i = 0; i < x->nmeanings; i++) {
		const struct meaning *known = &x->meanings[i];

		if (strcmp(known->name, m->name))
			continue;
		if (strcmp(known->object, m->object) || known->sympos != m->sympos)
			vp_blockers_add(x->lp->b, "%.100s: the module means two symbols by it",
					m->name);
		return true;
	}
	if (x->nmeanings == VMPOKE_LOCAL_COUNT) {
		vp_blockers_add(x->lp->b, "more than %u symbols of the kernel", VMPOKE_LOCAL_COUNT);
		return true;
	}
	more = reallocarray(x->meanings, x->nmeanings + 1, sizeof(*more));
	if (!more) {
		x->no_memory = true;
		return true;
	}
	x->meanings = more;
	more[x->nmeanings++] = *m;
	return false;
}

static uint32_t put_undefined(struct writing *x, const char *name)
{
	struct meaning m;

	if (!read_meaning(name, &m)) {
		vp_blockers_add(x->lp->b, "symbol %.100s: its form is not .klp.sym.OBJECT.NAME,N",
				name);
		return 0;
	}
	if (!is_meant(x, &m))
		put_told(x, &m);
	return vp_elf_write_symbol(x->w, m.name, STT_NOTYPE, STB_GLOBAL, SHN_UNDEF, 0, 0);
}

static uint32_t put_symbol(struct writing *x, uint32_t old)
{
	const struct vp_elf_object_symbol *s = &x->lp->symbols[old];
	uint32_t section = s->section;

	if (!old || x->symbols[old])
		return x->symbols[old];
	if (section == SHN_UNDEF) {
		x->symbols[old] = put_undefined(x, s->name);
		return x->symbols[old];
	}
	if (section < x->lp->nsections)
		section = x->sections[section];
	if (!section) {
		vp_blockers_add(x->lp->b, "symbol %.100s is in section %.64s, which is not taken",
				s->name, x->lp->sections[s->section].name);
		return 0;
	}
	x->symbols[old] =
		vp_elf_write_symbol(x->w, s->name, s->type, STB_LOCAL, section, s->value, s->size);
	return x->symbols[old];
}

static void put_reloc(struct writing *x, size_t section, const struct vp_elf_reloc *r, uint64_t at)
{
	vp_elf_write_reloc(x->w, x->sections[section], at, r->type, put_symbol(x, r->symbol),
			   r->addend);
}

/* --- sections
 * ------------------------------------------------------------------------------------- */

static bool is_replacement(const struct vp_lp *lp, size_t section, uint64_t offset)
{
	for (size_t i = 0; i < lp->nalternatives; i++) {
		const struct vp_lp_alternative *a = &lp->alternatives[i];

		if (a->taken && a->from.section == section &&
		    offset - a->from.offset < a->from_length)
			return true;
	}
	return false;
}

static bool is_needed(const struct vp_lp *lp, size_t section, uint64_t offset)
{
	if (lp->whole[section])
		return !vp_lp_is_own(lp, section, offset);
	return vp_lp_taken(lp, section, offset) || is_replacement(lp, section, offset);
}

static bool has_code(const struct vp_lp *lp, size_t section)
{
	for (size_t i = 0; i < lp->nitems; i++)
		if (lp->items[i].taken && lp->items[i].section == section)
			return true;
	for (size_t i = 0; i < lp->nalternatives; i++)
		if (lp->alternatives[i].taken && lp->alternatives[i].from.section == section)
			return true;
	return false;
}

/* Where nothing of it is needed, code is int3. */
static void put_code(struct writing *x, size_t i)
{
	const struct vp_lp *lp = x->lp;
	const struct vp_elf_section *s = &lp->sections[i];
	uint8_t *bytes = malloc(s->size + 1);

	if (!bytes) {
		x->no_memory = true;
		return;
	}
	memset(bytes, VP_INT3, s->size);
	for (size_t j = 0; j < lp->nitems; j++)
		if (lp->items[j].taken && lp->items[j].section == i)
			memcpy(bytes + lp->items[j].at, s->data + lp->items[j].at,
			       lp->items[j].size);
	for (size_t j = 0; j < lp->nalternatives; j++) {
		const struct vp_lp_alternative *a = &lp->alternatives[j];

		if (a->taken && a->from.section == i && a->from_length)
			memcpy(bytes + a->from.offset, s->data + a->from.offset, a->from_length);
	}
	x->sections[i] = vp_elf_write_section(x->w, s->name, s->type, SHF_ALLOC | SHF_EXECINSTR,
					      s->align, bytes, s->size);
	free(bytes);
}

static void put_sections(struct writing *x)
{
	const struct vp_lp *lp = x->lp;

	for (size_t i = 1; i < lp->nsections; i++) {
		const struct vp_elf_section *s = &lp->sections[i];

		if (has_code(lp, i))
			put_code(x, i);
		else if (lp->whole[i])
			x->sections[i] = vp_elf_write_section(x->w, s->name, s->type,
							      s->flags & (SHF_ALLOC | SHF_WRITE),
							      s->align, s->data, s->size);
	}
	for (size_t i = 1; i < lp->nsections; i++) {
		size_t n;
		const struct vp_elf_reloc *r = vp_elf_object_relocs(lp->elf, i, &n);

		for (size_t j = 0; x->sections[i] && j < n; j++)
			if (is_needed(lp, i, r[j].offset))
				put_reloc(x, i, &r[j], r[j].offset);
	}
	for (size_t i = 0; i < lp->nitems; i++) /* for texts */
		if (lp->items[i].taken)
			vp_elf_write_symbol(x->w, lp->items[i].name, STT_FUNC, STB_LOCAL,
					    x->sections[lp->items[i].section], lp->items[i].at,
					    lp->items[i].size);
}

static void put_alternatives(struct writing *x)
{
	const struct vp_lp *lp = x->lp;
	size_t table = lp->alternatives_in;

	for (size_t i = 0; i < lp->nalternatives; i++) {
		const struct vp_lp_alternative *a = &lp->alternatives[i];
		uint64_t at;

		if (!a->taken)
			continue;
		if (!x->sections[table])
			x->sections[table] = vp_elf_write_section(
				x->w, ".altinstructions", SHT_PROGBITS, SHF_ALLOC, 1, NULL, 0);
		at = vp_elf_write_more(x->w, x->sections[table], lp->sections[table].data + a->at,
				       a->size);
		put_reloc(x, table, a->relocs[0], at);
		put_reloc(x, table, a->relocs[1], at + 4);
	}
}

/* Its linker goes by relocations alone. */
static void put_pv_calls(struct writing *x)
{
	struct vp_lp *lp = x->lp;
	size_t n, i = vp_lp_section(lp, ".parainstructions");
	const struct vp_elf_reloc *r = vp_elf_object_relocs(lp->elf, i, &n);

	if (!i)
		return;
	x->sections[i] = vp_elf_write_section(x->w, ".parainstructions", SHT_PROGBITS, SHF_ALLOC, 8,
					      lp->sections[i].data, lp->sections[i].size);
	for (size_t j = 0; j < n; j++) {
		const struct vp_elf_object_symbol *s = &lp->symbols[r[j].symbol];

		if (vp_lp_taken(lp, s->section, s->value + (uint64_t)r[j].addend))
			put_reloc(x, i, &r[j], r[j].offset);
	}
}

int vp_lp_write(struct vp_lp *lp, void **image, size_t *len, struct vp_err *err)
{
	struct writing x = { .lp = lp, .w = vp_elf_write_new() };
	int rc = -ENOMEM;

	x.sections = calloc(lp->nsections, sizeof(*x.sections));
	x.symbols = calloc(lp->nsymbols + 1, sizeof(*x.symbols));
	if (x.w && x.sections && x.symbols) {
		put_info(&x);
		put_sections(&x);
		put_alternatives(&x);
		put_pv_calls(&x);
		for (size_t i = 0; i < lp->nfuncs; i++)
			put_function(&x, &lp->funcs[i]);
		rc = x.no_memory ? -ENOMEM : vp_elf_write_finish(x.w, image, len, err);
	}
	if (rc == -ENOMEM)
		vp_err_set(err, rc, "out of memory");
	free(x.sections);
	free(x.symbols);
	free(x.meanings);
	vp_elf_write_free(x.w);
	return rc;
}
