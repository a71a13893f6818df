/* SPDX-License-Identifier: Apache-2.0 */
/* What the relocations of an object mean in one guest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hotfix/link_internal.h"
#include "hotfix/reloc.h"
#include "x86/encode.h"

/* Of a hotfix: some hundred. More would make every search a long one. */
#define RELOCS_MAX 65536u

#define RETURN_THUNK "__x86_return_thunk"

/* "section+0x12 (in function)", for texts. */
struct where {
	char text[192];
};

static const char *where(const struct vp_hotfix_link *l, size_t section, uint64_t offset,
			 struct where *out)
{
	const char *function = vp_link_function(l, section, offset);

	snprintf(out->text, sizeof(out->text), "%.64s+0x%llx%s%.80s%s", l->sections[section].name,
		 (unsigned long long)offset, *function ? " (in " : "", function,
		 *function ? ")" : "");
	return out->text;
}

/* --- symbols of the kernel ---------------------------------------------------------------- */

static bool is_thunk(const char *name)
{
	return !strcmp(name, RETURN_THUNK) || !strncmp(name, "__x86_indirect_", 15);
}

/* How the object tells @name apart: by nothing, if it does not say. */
static struct vp_hotfix_name tell(const struct vp_hotfix_link *l, const char *name)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(l->object);

	for (size_t i = 0; i < a->nsymbols; i++)
		if (!strcmp(a->symbols[i].name, name))
			return a->symbols[i];
	return (struct vp_hotfix_name){ .name = name, .which = VMPOKE_WHICH_ONLY, .where = "" };
}

static bool ask_symbol(struct vp_hotfix_link *l, const char *what,
		       const struct vp_hotfix_name *name, vp_gva *at)
{
	struct vp_err err = { "" };
	int rc = l->world->symbol(l->world->arg, name, at, &err);

	if (rc == -ENOENT)
		vp_blockers_add(l->b, "%s %.100s: the guest's kernel has none%s%.100s", what,
				name->name, err.text[0] ? ": " : "", err.text);
	else if (rc == -EEXIST)
		vp_blockers_add(l->b, "%s %.100s is ambiguous%s%.100s", what, name->name,
				err.text[0] ? ": " : "", err.text);
	else if (rc)
		vp_blockers_add(l->b, "%s %.100s: %.120s", what, name->name, err.text);
	return !rc;
}

/* Where an undefined symbol of the object is: each is asked for once. */
static bool resolve(struct vp_hotfix_link *l, uint32_t symbol, vp_gva *at)
{
	const char *name = l->symbols[symbol].name;
	struct vp_gva_known *k = &l->known[symbol];
	struct vp_err err = { "" };

	if (!k->state && !*name) {
		vp_blockers_add(l->b, "symbol number %u has no name", symbol);
		k->state = -1;
	} else if (!k->state && is_thunk(name)) {
		k->state = l->world->thunk(l->world->arg, name, &k->at, &err) ? -1 : 1;
		if (k->state < 0)
			vp_blockers_add(l->b, "symbol %.100s: %.120s", name, err.text);
	} else if (!k->state) {
		const struct vp_hotfix_name wanted = tell(l, name);

		k->state = ask_symbol(l, "symbol", &wanted, &k->at) ? 1 : -1;
	}
	*at = k->at;
	return k->state > 0;
}

/* --- one relocation ----------------------------------------------------------------------------
 */

static bool resolve_defined(struct vp_hotfix_link *l, size_t from, const struct vp_elf_reloc *r,
			    struct fixup *out)
{
	const struct vp_elf_object_symbol *s = &l->symbols[r->symbol];
	struct where at = { "" };

	if (s->section == SHN_ABS || !r->symbol) {
		out->value = s->value;
		return true;
	}
	if (s->section == SHN_COMMON) {
		vp_blockers_add(l->b, "symbol %.100s is common: compile with -fno-common", s->name);
		return false;
	}
	out->section = s->section;
	out->value = s->value;
	if (!*out->name)
		out->name = l->sections[s->section].name;
	if (l->parts[s->section].kept)
		return true;
	vp_blockers_add(l->b, "%s refers to section %.64s, which is not taken into the guest",
			where(l, from, r->offset, &at), l->sections[s->section].name);
	return false;
}

bool vp_link_fixup(struct vp_hotfix_link *l, size_t from, const struct vp_elf_reloc *r,
		   struct fixup *out)
{
	const struct vp_elf_object_symbol *s = &l->symbols[r->symbol];
	int size = vp_reloc_size(r->type);
	struct where at = { "" };
	vp_gva value;

	*out = (struct fixup){
		.offset = r->offset, .type = r->type, .addend = r->addend, .name = s->name
	};
	if (size < 0) {
		vp_blockers_add(l->b, "%s: relocation %s (%u) is not supported",
				where(l, from, r->offset, &at), vp_reloc_name(r->type), r->type);
		return false;
	}
	if ((uint64_t)size > l->sections[from].size - r->offset) {
		vp_blockers_add(l->b, "%s: the relocation does not end inside its section",
				where(l, from, r->offset, &at));
		return false;
	}
	if (!size)
		return true;
	if (s->section != SHN_UNDEF || !r->symbol)
		return resolve_defined(l, from, r, out);
	if (!resolve(l, r->symbol, &value))
		return false;
	out->value = value.v;
	return true;
}

void vp_link_add(struct vp_hotfix_link *l, size_t section, const struct fixup *f)
{
	struct part *p = &l->parts[section];

	if (p->nfixups == p->room) {
		size_t room = p->room ? 2 * p->room : 16;
		struct fixup *more = reallocarray(p->fixups, room, sizeof(*more));

		if (!more) {
			l->no_memory = true;
			return;
		}
		p->fixups = more;
		p->room = room;
	}
	p->fixups[p->nfixups++] = *f;
}

struct fixup *vp_link_fixup_at(struct vp_hotfix_link *l, size_t section, uint64_t offset)
{
	struct part *p = &l->parts[section];

	for (size_t i = 0; i < p->nfixups; i++)
		if (p->fixups[i].offset == offset && p->fixups[i].type != R_X86_64_NONE)
			return &p->fixups[i];
	return NULL;
}

/* --- calls that become something else ------------------------------------------------------------
 */

/* The tracer's call at the entry becomes a nop. */
static bool is_traced_call(struct vp_hotfix_link *l, size_t section, const struct vp_elf_reloc *r)
{
	const struct vp_elf_object_symbol *s = &l->symbols[r->symbol];
	uint8_t *bytes = l->parts[section].bytes;

	if (s->section != SHN_UNDEF || strcmp(s->name, "__fentry__") || !r->offset ||
	    (r->type != R_X86_64_PC32 && r->type != R_X86_64_PLT32) ||
	    l->sections[section].size - r->offset < 4 || bytes[r->offset - 1] != 0xe8)
		return false;
	vp_encode_nop(bytes + r->offset - 1, 5);
	return true;
}

/* A jump to the return thunk where the guest has a plain ret: so be it here, too. */
static bool is_plain_return(struct vp_hotfix_link *l, size_t section, const struct fixup *f)
{
	uint8_t *bytes = l->parts[section].bytes;
	struct where at = { "" };

	if (f->section || f->value || strcmp(f->name, RETURN_THUNK))
		return false;
	if (!f->offset || bytes[f->offset - 1] != 0xe9) {
		vp_blockers_add(l->b, "%s: the return thunk is used by something else than a jump",
				where(l, section, f->offset, &at));
		return true;
	}
	bytes[f->offset - 1] = 0xc3;
	memset(bytes + f->offset, VP_INT3, 4);
	return true;
}

/* --- all of them
 * ------------------------------------------------------------------------------------ */

static void section_fixups(struct vp_hotfix_link *l, size_t i)
{
	size_t n;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(l->elf, i, &n);
	struct fixup f;

	for (size_t j = 0; j < n && !l->no_memory; j++)
		if (!is_traced_call(l, i, &r[j]) && vp_link_fixup(l, i, &r[j], &f) &&
		    !is_plain_return(l, i, &f) && f.type != R_X86_64_NONE)
			vp_link_add(l, i, &f);
}

/* Two fields that share bytes: the outcome would be that of neither. */
static int by_offset(const void *a, const void *b)
{
	const struct fixup *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void check_overlap(struct vp_hotfix_link *l, size_t section)
{
	struct part *p = &l->parts[section];
	struct where at = { "" };

	if (p->nfixups)
		qsort(p->fixups, p->nfixups, sizeof(*p->fixups), by_offset);
	for (size_t i = 1; i < p->nfixups; i++)
		if (p->fixups[i].offset - p->fixups[i - 1].offset <
		    (uint64_t)vp_reloc_size(p->fixups[i - 1].type))
			vp_blockers_add(l->b, "%s: two relocations of the same bytes",
					where(l, section, p->fixups[i].offset, &at));
}

static void resolve_functions(struct vp_hotfix_link *l)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(l->object);

	for (size_t i = 0; i < a->nfunctions; i++) {
		const struct vp_hotfix_function *f = &a->functions[i];

		if (!l->parts[f->replacement.section].kept)
			vp_blockers_add(l->b,
					"function %.100s: its replacement is in section "
					"%.64s, which is not taken into the guest",
					f->old.name, l->sections[f->replacement.section].name);
		if (!ask_symbol(l, "function", &f->old, &l->old[i]))
			continue;
		for (size_t j = 0; j < i; j++)
			if (l->old[j].v == l->old[i].v)
				vp_blockers_add(l->b, "functions %.80s and %.80s are the same one",
						a->functions[j].old.name, f->old.name);
	}
	for (size_t i = 0; i < a->ncalls; i++) {
		const struct vp_hotfix_call *c = &a->calls[i];
		const struct vp_hotfix_name name = tell(l, c->name);

		if (!c->own)
			ask_symbol(l, "function to call", &name, &l->calls[i]);
		else if (!l->parts[c->place.section].kept)
			vp_blockers_add(l->b,
					"call %zu is of section %.64s, which is not taken "
					"into the guest",
					i, l->sections[c->place.section].name);
	}
}

void vp_link_fixups(struct vp_hotfix_link *l)
{
	size_t n, all = 0;

	for (size_t i = 1; i < l->nsections; i++)
		if (l->parts[i].kept) {
			vp_elf_object_relocs(l->elf, i, &n);
			all += n;
		}
	if (all > RELOCS_MAX) {
		vp_blockers_add(l->b, "more than %u relocations", RELOCS_MAX);
		return;
	}
	for (size_t i = 1; i < l->nsections && !l->no_memory; i++) {
		if (!l->parts[i].kept || !l->parts[i].bytes)
			continue;
		section_fixups(l, i);
		check_overlap(l, i);
	}
	resolve_functions(l);
}
