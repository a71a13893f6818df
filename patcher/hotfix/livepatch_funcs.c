/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which functions a livepatch module replaces, by the three ways in which modules are made:
 *
 *   by hand	 struct klp_patch -> klp_object[] -> klp_func[] in its data, as klp_enable_patch()
 *		 gets it. Layout by the kernel's type information (include/linux/livepatch.h).
 *   kpatch	 .kpatch.funcs, of which code of the module makes the above when it is loaded
 *		 (dynup/kpatch, kmod/patch/kpatch-patch.h, livepatch-patch-hook.c)
 *   klp-build	 .init.klp_objects and .init.klp_funcs, likewise (linux 6.19,
 *		 include/linux/livepatch_external.h, scripts/livepatch/init.c)
 *
 * The latter two are no structures of the kernel, so that no type information tells of them: where
 * pointers must be, and sizes, prove the layout, or the module is refused.
 */
#include <string.h>

#include "base/text.h"
#include "hotfix/livepatch_internal.h"

#define WORD 8u

/* --- sections, pointers, texts
 * ------------------------------------------------------------------------
 */

size_t vp_lp_section(struct vp_lp *lp, const char *name)
{
	size_t found = 0;

	for (size_t i = 1; i < lp->nsections; i++) {
		if (strcmp(lp->sections[i].name, name) || !lp->sections[i].size ||
		    !lp->sections[i].data)
			continue;
		if (found) {
			vp_blockers_add(lp->b, "section %.64s: there are several", name);
			return 0;
		}
		found = i;
	}
	return found;
}

static const struct vp_elf_reloc *reloc_at(const struct vp_lp *lp, size_t section, uint64_t at)
{
	size_t n;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(lp->elf, section, &n);

	for (size_t i = 0; i < n; i++)
		if (r[i].offset == at)
			return &r[i];
	return NULL;
}

static uint64_t number(const struct vp_lp *lp, size_t section, uint64_t at, size_t size)
{
	const struct vp_elf_section *s = &lp->sections[section];
	uint64_t v = 0;

	if (s->data && at <= s->size && size <= s->size - at)
		memcpy(&v, s->data + at, size);
	return v;
}

/* Is there something in this word? */
static bool is_set(const struct vp_lp *lp, size_t section, uint64_t at)
{
	return reloc_at(lp, section, at) || number(lp, section, at, WORD);
}

/* Where a pointer leads to. False: nowhere in the module. */
static bool get_place(const struct vp_lp *lp, size_t section, uint64_t at,
		      struct vp_hotfix_place *out)
{
	const struct vp_elf_reloc *r = reloc_at(lp, section, at);
	const struct vp_elf_object_symbol *s = r ? &lp->symbols[r->symbol] : NULL;

	if (!s || r->type != R_X86_64_64 || s->section == SHN_UNDEF || s->section >= lp->nsections)
		return false;
	*out = (struct vp_hotfix_place){ s->section, s->value + (uint64_t)r->addend };
	return out->offset < lp->sections[s->section].size;
}

/* The text that a pointer leads to: NULL if it is none. */
static const char *get_text(const struct vp_lp *lp, size_t section, uint64_t at, size_t max)
{
	const struct vp_elf_section *s;
	struct vp_hotfix_place p;
	const char *text;
	size_t n;

	if (!get_place(lp, section, at, &p))
		return NULL;
	s = &lp->sections[p.section];
	if (!s->data)
		return NULL;
	text = (const char *)s->data + p.offset;
	n = strnlen(text, s->size - p.offset);
	if (n == s->size - p.offset || !n || n > max || !vp_text_is_clean(text))
		return NULL;
	return text;
}

/* --- what all three have -------------------------------------------------------------------------
 */

/* Where a record has what. */
struct fields {
	const char *what;
	size_t name, to, sympos; /* sympos: SIZE_MAX: it has none */
};

static void add_func(struct vp_lp *lp, size_t section, uint64_t at, const struct fields *f,
		     const char *object)
{
	struct vp_lp_func func = { .object = object };

	if (lp->nfuncs == VMPOKE_FUNCTION_COUNT) {
		vp_blockers_add(lp->b, "livepatch: more than %u functions", VMPOKE_FUNCTION_COUNT);
		return;
	}
	func.name = get_text(lp, section, at + f->name, VMPOKE_SYMBOL_MAX);
	if (!func.name) {
		vp_blockers_add(lp->b, "livepatch: %s %.64s+0x%llx has no name", f->what,
				lp->sections[section].name, (unsigned long long)at);
		return;
	}
	if (f->sympos != SIZE_MAX)
		func.sympos = number(lp, section, at + f->sympos, WORD);
	if (!get_place(lp, section, at + f->to, &func.to) ||
	    !(lp->sections[func.to.section].flags & SHF_EXECINSTR)) {
		vp_blockers_add(lp->b, "livepatch: function %.100s has no new code in the module",
				func.name);
		return;
	}
	lp->funcs[lp->nfuncs++] = func;
}

static bool get_object(struct vp_lp *lp, size_t section, uint64_t at, const char **out)
{
	*out = NULL;
	if (!is_set(lp, section, at))
		return true;
	*out = get_text(lp, section, at, VMPOKE_WHERE_MAX);
	if (!*out)
		vp_blockers_add(lp->b, "livepatch: the name of an object cannot be read");
	else if (!strcmp(*out, "vmlinux"))
		*out = NULL;
	return *out || lp->sections[section].data;
}

/* They get a struct klp_object, and would ask it. */
static void refuse_callbacks(struct vp_lp *lp, const char *object)
{
	vp_blockers_add(lp->b,
			"livepatch: it has callbacks (pre_patch, post_patch, pre_unpatch, "
			"post_unpatch) for %.64s, which are not called",
			object ? object : "vmlinux");
}

static bool has_pointer(const struct vp_lp *lp, size_t section, uint64_t at, uint64_t size)
{
	size_t n;
	const struct vp_elf_reloc *r = vp_elf_object_relocs(lp->elf, section, &n);

	for (size_t i = 0; i < n; i++)
		if (r[i].offset - at < size)
			return true;
	return false;
}

/* --- by hand -------------------------------------------------------------------------------------
 */

static void add_own(struct vp_lp *lp, size_t section, uint64_t at, uint64_t size)
{
	if (lp->nown < sizeof(lp->own) / sizeof(lp->own[0]))
		lp->own[lp->nown++] = (struct vp_lp_range){ section, at, size };
}

/* Does a struct of @size bytes lie in the section's bytes? */
static bool is_inside(const struct vp_lp *lp, const struct vp_hotfix_place *p, uint64_t at,
		      uint64_t size)
{
	const struct vp_elf_section *s = &lp->sections[p->section];

	return s->data && (s->flags & SHF_ALLOC) && at <= s->size && size <= s->size - at;
}

/* The array ends with one of zeroes. */
static void read_klp_funcs(struct vp_lp *lp, const struct vp_hotfix_place *p, const char *object)
{
	const struct vp_klp_layout *y = lp->layout;
	const struct fields f = { "struct klp_func", y->func_name, y->func_new, y->func_sympos };
	uint64_t at = p->offset;

	for (;; at += y->func_size) {
		if (!is_inside(lp, p, at, y->func_size)) {
			vp_blockers_add(lp->b, "livepatch: its functions do not end");
			return;
		}
		if (!is_set(lp, p->section, at + y->func_name) &&
		    !is_set(lp, p->section, at + y->func_new) &&
		    !is_set(lp, p->section, at + y->func_sympos))
			break;
		add_func(lp, p->section, at, &f, object);
		if (lp->nfuncs == VMPOKE_FUNCTION_COUNT)
			return;
	}
	add_own(lp, p->section, p->offset, at + y->func_size - p->offset);
}

static void read_klp_object(struct vp_lp *lp, const struct vp_hotfix_place *p, uint64_t at)
{
	const struct vp_klp_layout *y = lp->layout;
	struct vp_hotfix_place funcs;
	const char *object;

	if (!get_object(lp, p->section, at + y->obj_name, &object))
		return;
	if (has_pointer(lp, p->section, at + y->obj_callbacks, y->callbacks_size))
		refuse_callbacks(lp, object);
	if (get_place(lp, p->section, at + y->obj_funcs, &funcs))
		read_klp_funcs(lp, &funcs, object);
	else
		vp_blockers_add(lp->b, "livepatch: the object %.64s has no functions",
				object ? object : "vmlinux");
}

static void read_klp_objects(struct vp_lp *lp, const struct vp_hotfix_place *p)
{
	const struct vp_klp_layout *y = lp->layout;
	uint64_t at = p->offset;

	for (unsigned int i = 0;; i++, at += y->obj_size) {
		if (i == VP_LP_OBJECTS || !is_inside(lp, p, at, y->obj_size)) {
			vp_blockers_add(lp->b, "livepatch: its objects do not end");
			return;
		}
		if (!is_set(lp, p->section, at + y->obj_name) &&
		    !is_set(lp, p->section, at + y->obj_funcs))
			break;
		read_klp_object(lp, p, at);
	}
	add_own(lp, p->section, p->offset, at + y->obj_size - p->offset);
}

/* It begins with where the module itself is, and its objects are in data that can be written. */
static bool is_klp_patch(const struct vp_lp *lp, size_t section, uint64_t at,
			 struct vp_hotfix_place *objs)
{
	const struct vp_klp_layout *y = lp->layout;
	const struct vp_hotfix_place here = { section, at };
	const struct vp_elf_reloc *mod = reloc_at(lp, section, at + y->patch_mod);

	return mod && mod->type == R_X86_64_64 && !mod->addend &&
	       !strcmp(lp->symbols[mod->symbol].name, "__this_module") &&
	       is_inside(lp, &here, at, y->patch_size) &&
	       get_place(lp, section, at + y->patch_objs, objs) &&
	       (lp->sections[objs->section].flags & (SHF_WRITE | SHF_EXECINSTR)) == SHF_WRITE;
}

static void read_klp_patch(struct vp_lp *lp)
{
	const struct vp_klp_layout *y = lp->layout;
	struct vp_hotfix_place objs = { 0 }, next, found = { 0 };
	unsigned int n = 0;

	if (!y->func_size) {
		vp_blockers_add(lp->b, "livepatch: the kernel's type information does not tell "
				       "what struct klp_patch is");
		return;
	}
	for (size_t i = 1; i < lp->nsections; i++) {
		size_t nrelocs;
		const struct vp_elf_reloc *r = vp_elf_object_relocs(lp->elf, i, &nrelocs);

		if ((lp->sections[i].flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR)) !=
		    (SHF_ALLOC | SHF_WRITE))
			continue;
		for (size_t j = 0; j < nrelocs; j++)
			if (!strcmp(lp->symbols[r[j].symbol].name, "__this_module") &&
			    r[j].offset >= y->patch_mod &&
			    is_klp_patch(lp, i, r[j].offset - y->patch_mod, &next)) {
				found = (struct vp_hotfix_place){ i, r[j].offset - y->patch_mod };
				objs = next;
				n++;
			}
	}
	if (n != 1) {
		vp_blockers_add(lp->b,
				n ? "livepatch: several structures may be its struct klp_patch"
				  : "livepatch: it has no struct klp_patch in its data (one that "
				    "is made when it is loaded cannot be seen)");
		return;
	}
	if (y->patch_states && is_set(lp, found.section, found.offset + y->patch_states))
		vp_blockers_add(lp->b, "livepatch: it has states (klp_state), which nobody keeps");
	add_own(lp, found.section, found.offset, y->patch_size);
	read_klp_objects(lp, &objs);
}

/* --- kpatch ----------------------------------------------------------------------------------
 */

/*
 * Words: new_addr, new_size, old_addr, old_size, [sympos,] name, objname. The first record tells
 * by its pointers which it is; the others must agree.
 */
static void read_kpatch(struct vp_lp *lp, size_t section)
{
	size_t size = lp->sections[section].size, words = 0;

	if (reloc_at(lp, section, 0) && reloc_at(lp, section, 5 * WORD) &&
	    reloc_at(lp, section, 6 * WORD) && !reloc_at(lp, section, 4 * WORD))
		words = 7;
	else if (reloc_at(lp, section, 0) && reloc_at(lp, section, 4 * WORD) &&
		 reloc_at(lp, section, 5 * WORD) && !reloc_at(lp, section, 3 * WORD))
		words = 6;
	if (!words || size % (words * WORD)) {
		vp_blockers_add(lp->b, "livepatch: section .kpatch.funcs has an unknown form");
		return;
	}
	for (uint64_t at = 0; at < size && lp->nfuncs < VMPOKE_FUNCTION_COUNT; at += words * WORD) {
		const struct fields f = { ".kpatch.funcs", (words - 2) * WORD, 0,
					  words == 7 ? 4 * WORD : SIZE_MAX };
		const char *object;

		if (!is_set(lp, section, at + (words - 1) * WORD))
			vp_blockers_add(lp->b, "livepatch: section .kpatch.funcs has a record "
					       "without an object");
		else if (get_object(lp, section, at + (words - 1) * WORD, &object))
			add_func(lp, section, at, &f, object);
	}
	if (size / (words * WORD) > VMPOKE_FUNCTION_COUNT)
		vp_blockers_add(lp->b, "livepatch: more than %u functions", VMPOKE_FUNCTION_COUNT);
}

/* What else kpatch-build makes, that would have to be done. */
static void refuse_kpatch(struct vp_lp *lp)
{
	for (size_t i = 1; i < lp->nsections; i++) {
		const char *name = lp->sections[i].name;

		if (!lp->sections[i].size)
			continue;
		if (!strncmp(name, ".kpatch.callbacks.", 18))
			vp_blockers_add(lp->b, "livepatch: section %.64s: callbacks are not called",
					name);
		else if (!strcmp(name, ".kpatch.dynrelas"))
			vp_blockers_add(lp->b, "livepatch: section .kpatch.dynrelas: it is for "
					       "kpatch's own core module, not for livepatch");
	}
}

/* --- klp-build ---------------------------------------------------------------------------------
 */

enum {
	EXT_FUNC = 24, /* struct klp_func_ext: old_name, new_func, sympos */
	EXT_OBJ = 64,  /* struct klp_object_ext: name, funcs, callbacks, nr_funcs */
	EXT_CALLBACKS = 16,
	EXT_CALLBACKS_SIZE = 40,
	EXT_COUNT = 56,
};

static size_t read_ext_object(struct vp_lp *lp, size_t objects, uint64_t at, size_t funcs)
{
	const struct fields f = { ".init.klp_funcs", 0, WORD, 2 * WORD };
	uint64_t n = number(lp, objects, at + EXT_COUNT, 4);
	struct vp_hotfix_place first;
	const char *object;

	if (!get_object(lp, objects, at, &object))
		return 0;
	if (has_pointer(lp, objects, at + EXT_CALLBACKS, EXT_CALLBACKS_SIZE))
		refuse_callbacks(lp, object);
	if (!get_place(lp, objects, at + WORD, &first) || first.section != funcs || !n ||
	    first.offset % EXT_FUNC || n > (lp->sections[funcs].size - first.offset) / EXT_FUNC) {
		vp_blockers_add(lp->b, "livepatch: section .init.klp_objects has an unknown form");
		return 0;
	}
	for (uint64_t i = 0; i < n && lp->nfuncs < VMPOKE_FUNCTION_COUNT; i++)
		add_func(lp, funcs, first.offset + i * EXT_FUNC, &f, object);
	return n;
}

static void read_klp_build(struct vp_lp *lp, size_t objects)
{
	size_t funcs = vp_lp_section(lp, ".init.klp_funcs"), n = 0;
	size_t size = lp->sections[objects].size;

	if (!funcs || size % EXT_OBJ || lp->sections[funcs].size % EXT_FUNC ||
	    size / EXT_OBJ > VP_LP_OBJECTS) {
		vp_blockers_add(lp->b, "livepatch: section .init.klp_objects or .init.klp_funcs "
				       "has an unknown form");
		return;
	}
	for (uint64_t at = 0; at < size; at += EXT_OBJ)
		n += read_ext_object(lp, objects, at, funcs);
	if (n != lp->sections[funcs].size / EXT_FUNC)
		vp_blockers_add(lp->b,
				"livepatch: section .init.klp_funcs has %zu functions, its "
				"objects have %zu",
				(size_t)(lp->sections[funcs].size / EXT_FUNC), n);
}

void vp_lp_read_funcs(struct vp_lp *lp)
{
	size_t had = lp->b->added, objects = vp_lp_section(lp, ".init.klp_objects");
	size_t kpatch = vp_lp_section(lp, ".kpatch.funcs");

	refuse_kpatch(lp);
	if (objects && kpatch)
		vp_blockers_add(lp->b, "livepatch: both .init.klp_objects and .kpatch.funcs");
	else if (objects)
		read_klp_build(lp, objects);
	else if (kpatch)
		read_kpatch(lp, kpatch);
	else if (lp->b->added == had)
		read_klp_patch(lp);
	if (!lp->nfuncs && lp->b->added == had)
		vp_blockers_add(lp->b, "livepatch: it replaces no function");
}
