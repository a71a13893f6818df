/* SPDX-License-Identifier: Apache-2.0 */
/* Which sections of the object go into the guest, which are dropped, which cannot be had. */
#include <stdlib.h>
#include <string.h>

#include "hotfix/link_internal.h"

#define PAGE 4096u

enum fate { KEEP, DROP, REFUSE };

/*
 * By name, the first that fits; a name that ends with '*' is a beginning. What is in no line is
 * refused: it may be a table that the kernel would have to be told of.
 */
static const struct rule {
	const char *name;
	enum fate fate;
	const char *why; /* REFUSE */
} rules[] = {
	/* Ours, and what link time is done with: see vp_link_alternatives(). */
	{ ".vmpoke.*", DROP, NULL },
	{ ".altinstructions", DROP, NULL },
	{ ".altinstr_replacement", DROP, NULL },
	{ ".parainstructions", DROP, NULL },
	/* Lists of places that the kernel may rewrite; what stands there is right as it is. */
	{ ".retpoline_sites", DROP, NULL },
	{ ".return_sites", DROP, NULL },
	{ ".call_sites", DROP, NULL },
	{ ".cfi_sites", DROP, NULL },
	{ ".ibt_endbr_seal", DROP, NULL },
	{ ".static_call_sites", DROP, NULL },
	{ ".smp_locks", DROP, NULL },
	{ "__mcount_loc", DROP, NULL },
	{ "__patchable_function_entries", DROP, NULL },
	/* Stack traces end in the new code. */
	{ ".orc_unwind*", DROP, NULL },
	{ ".orc_header", DROP, NULL },
	{ ".eh_frame*", DROP, NULL },
	/* Of a module, which it is not. */
	{ ".modinfo", DROP, NULL },
	{ ".gnu.linkonce.this_module", DROP, NULL },
	{ "__versions*", DROP, NULL },
	{ ".note*", DROP, NULL },
	{ ".discard*", DROP, NULL },
	{ "_kprobe_blacklist", DROP, NULL },

	{ "__jump_table", REFUSE,
	  "static keys are switched by a table that the guest does not see" },
	{ "__bug_table", REFUSE, "WARN and BUG are found by a table that the guest does not see" },
	{ "__ex_table", REFUSE, "faults are repaired by a table that the guest does not see" },
	{ ".static_call.text", REFUSE, "a static call of its own is not made" },
	{ ".data..percpu*", REFUSE, "per-CPU data of its own is not made" },
	{ "___ksymtab*", REFUSE, "nothing is exported" },
	{ "__ksymtab*", REFUSE, "nothing is exported" },
	{ ".export_symbol", REFUSE, "nothing is exported" },
	{ ".init*", REFUSE, "nothing runs at start-up" },
	{ ".exit*", REFUSE, "nothing runs at the end" },
	{ ".ctors*", REFUSE, "nothing runs at start-up" },

	{ ".text", KEEP, NULL },
	{ ".text.*", KEEP, NULL },
	{ ".noinstr.text", KEEP, NULL },
	{ ".sched.text", KEEP, NULL },
	{ ".spinlock.text", KEEP, NULL },
	{ ".ref.text", KEEP, NULL },
	{ ".altinstr_aux", KEEP, NULL },
	{ ".rodata", KEEP, NULL },
	{ ".rodata.*", KEEP, NULL },
	{ ".data", KEEP, NULL },
	{ ".data.*", KEEP, NULL },
	{ ".ref.data", KEEP, NULL },
	{ ".bss", KEEP, NULL },
	{ ".bss.*", KEEP, NULL },
	{ "__dyndbg", KEEP, NULL }, /* the code refers to it; nobody switches it on */
	{ "__verbose", KEEP, NULL },
};

static bool fits(const char *name, const char *pattern)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] == '*')
		return !strncmp(name, pattern, n - 1);
	return !strcmp(name, pattern);
}

static const struct rule *find_rule(const char *name)
{
	static const struct rule unknown = { "", REFUSE, "it is not known what it is for" };

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (fits(name, rules[i].name))
			return &rules[i];
	return &unknown;
}

const char *vp_link_function(const struct vp_hotfix_link *l, size_t section, uint64_t offset)
{
	/* Texts that nobody keeps need no search. */
	for (size_t i = 1; l->b->n < VP_BLOCKERS_KEPT && i < l->nsymbols; i++) {
		const struct vp_elf_object_symbol *s = &l->symbols[i];

		if (s->section == section && s->type == STT_FUNC && offset >= s->value &&
		    offset - s->value < s->size)
			return s->name;
	}
	return "";
}

/* A table that cannot be had names the function that it is for, if that can be told. */
static void refuse(struct vp_hotfix_link *l, size_t i, const char *why)
{
	const struct vp_elf_section *s = &l->sections[i];
	const char *function = "";
	size_t n;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(l->elf, i, &n);

	for (size_t j = 0; j < n && !*function && j < 64; j++) {
		const struct vp_elf_object_symbol *to = &l->symbols[r[j].symbol];

		if (to->section < l->nsections)
			function =
				vp_link_function(l, to->section, to->value + (uint64_t)r[j].addend);
	}
	vp_blockers_add(l->b, "section %.64s%s%.64s: %s", s->name, *function ? " of " : "",
			function, why);
}

static enum vp_hotfix_area area_of(const struct vp_elf_section *s)
{
	if (s->flags & SHF_EXECINSTR)
		return VP_AREA_TEXT;
	return s->flags & SHF_WRITE ? VP_AREA_DATA : VP_AREA_RODATA;
}

static void keep(struct vp_hotfix_link *l, size_t i)
{
	const struct vp_elf_section *s = &l->sections[i];
	struct part *p = &l->parts[i];
	size_t *size;

	if (s->type != SHT_PROGBITS && s->type != SHT_NOBITS) {
		refuse(l, i, "neither bytes nor zeroes (its type is unknown)");
		return;
	}
	p->kept = true;
	p->area = area_of(s);
	size = &l->size[p->area];
	*size = (*size + s->align - 1) & ~(size_t)(s->align - 1);
	p->at = *size;
	*size += s->size;
	if (!s->data)
		return;
	p->was = s->data;
	p->bytes = malloc(s->size);
	if (p->bytes)
		memcpy(p->bytes, s->data, s->size);
	else
		l->no_memory = true;
}

void vp_link_sections(struct vp_hotfix_link *l)
{
	for (size_t i = 1; i < l->nsections; i++) {
		const struct vp_elf_section *s = &l->sections[i];
		const struct rule *rule = find_rule(s->name);

		if (!(s->flags & SHF_ALLOC) || !s->size || rule->fate == DROP)
			continue;
		if (rule->fate == REFUSE)
			refuse(l, i, rule->why);
		else
			keep(l, i);
	}
	for (int a = 0; a < VP_AREA_COUNT; a++)
		l->size[a] = (l->size[a] + PAGE - 1) & ~(size_t)(PAGE - 1);
}
