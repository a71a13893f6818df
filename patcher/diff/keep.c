/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff/keep_internal.h"

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* --- which functions change ------------------------------------------------------------------ */

static bool is_changed(const struct vp_keep *k, size_t after)
{
	size_t before = k->change.to_old[after];

	return before != VP_NO_ITEM && vp_compare_items(&k->change, before, after).what != VP_SAME;
}

static void find_changed(struct vp_keep *k)
{
	const struct vp_unit *u = k->source->after;

	for (size_t i = 0; i < u->nitems; i++) {
		const struct vp_item *f = &u->items[i];

		if (f->code && *f->name && is_changed(k, i)) {
			k->changed[f->of] = true;
			k->reason[f->of] = VP_REASON_CODE;
		}
	}
}

static void leave_out_early(struct vp_keep *k)
{
	struct vp_unit *u = k->source->after;

	for (size_t i = 0; i < u->nitems; i++) {
		if (!k->changed[i] || !u->items[i].early)
			continue;
		k->changed[i] = false;
		k->reason[i] = VP_REASON_EARLY;
		vp_blockers_add(
			k->notes,
			"%.100s: left out: it runs when the kernel starts or a module comes "
			"or goes, and that has been",
			vp_unit_name(u, i));
	}
}

/* --- data ------------------------------------------------------------------------------------ */

/* Sections that only describe others, or that nothing reads on a kernel that runs. */
static bool is_description(const char *section)
{
	static const char *const names[] = {
		".discard",
		".note",
		".orc",
		".smp_locks",
		".altinstr_",
		".eh_frame",
		"__mcount_loc",
		"__dyndbg",
		".static_call",
		".return_sites",
		".retpoline_sites",
		".call_sites",
		"__patchable_function_entries",
		"__versions",
		".printk_index",
		"_kprobe_blacklist",
		".modinfo",
		".gnu.linkonce",
		".ibt_endbr_seal",
		".cfi_sites",
		"__tracepoint_check",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (begins(section, names[i]))
			return true;
	for (const struct vp_table *t = vp_tables_of_code; t->section; t++)
		if (!strcmp(section, t->section))
			return true;
	return false;
}

static bool is_data(const char *section)
{
	return begins(section, ".data") || begins(section, ".bss") || begins(section, ".rodata");
}

static bool is_export(const char *section)
{
	return begins(section, "___k") || begins(section, "__ksymtab") ||
	       begins(section, "__kcrctab") || begins(section, ".export_symbol");
}

static void look_at_data(struct vp_keep *k, size_t i)
{
	const struct vp_unit *u = k->source->after;
	const struct vp_item *item = &u->items[i];
	const char *section = u->sections[item->section].name, *name = vp_unit_name(u, i);
	size_t before = k->change.to_old[i];
	enum vp_differs what = VP_DIFFERS_BYTES;

	if (is_description(section) || vp_name_is_private(item->name))
		return;
	if (before != VP_NO_ITEM)
		what = vp_compare_items(&k->change, before, i).what;
	if (what == VP_SAME || (before == VP_NO_ITEM && is_data(section)))
		return;
	if (item->early)
		vp_blockers_add(k->notes, "%.100s: left out: data of the kernel's start-up", name);
	else if (is_export(section))
		vp_blockers_add(k->notes, "%.60s: left out: what it exports: %.100s",
				k->source->path,
				strchr(section, '+') ? strchr(section, '+') + 1 : name);
	else if (!is_data(section))
		vp_blockers_add(k->blockers,
				"%.60s: the section %.60s changes, which a running kernel has read "
				"already",
				k->source->path, section);
	else if (what == VP_DIFFERS_SIZE)
		vp_blockers_add(k->blockers,
				"%.100s: its size changes: the kernel's own stays as it "
				"is",
				name);
	else
		vp_blockers_add(k->blockers,
				"%.100s: what it begins with changes: the kernel's own "
				"stays as it is",
				name);
}

/* --- who is to be replaced
 * ------------------------------------------------------------------------
 */

bool vp_keep_is_of_header(const struct vp_keep *k, const struct vp_item *f)
{
	return f->code && !f->global && k->source->in_header &&
	       k->source->in_header(k->source->arg, f->name);
}

static void take(struct vp_keep *k, size_t item, enum vp_fate fate)
{
	const struct vp_unit *u = k->source->code;

	if (k->fate[item] == VP_FATE_NONE)
		k->todo[k->ntodo++] = item;
	if (k->fate[item] != VP_FATE_REPLACES)
		k->fate[item] = fate;
	for (size_t i = 0; u->items[item].code && i < u->nitems; i++)
		if (i != item && u->items[i].of == item && k->fate[i] == VP_FATE_NONE) {
			k->fate[i] = VP_FATE_GOES;
			k->todo[k->ntodo++] = i;
		}
}

/* The item of the third compilation that is the function @after, called in the same way. */
static size_t same_function(const struct vp_keep *k, size_t after)
{
	const struct vp_item *f = &k->source->after->items[after];
	size_t code = vp_unit_named(k->source->code, f->name);

	if (k->change.to_old[after] == VP_NO_ITEM || vp_name_is_clone(f->name) ||
	    vp_keep_is_of_header(k, f) || code == VP_NO_ITEM ||
	    !k->source->code->items[code].code || k->own.to_old[code] != k->change.to_old[after])
		return VP_NO_ITEM;
	return code;
}

bool vp_keep_lacks_entry(const struct vp_keep *k, size_t after)
{
	const struct vp_unit *u = k->source->before;
	size_t n, before = k->change.to_old[after];
	const struct vp_elf_reloc *r;

	if (!k->source->traced || before == VP_NO_ITEM)
		return false;
	/* A call of 5 bytes, maybe behind an endbr64. */
	r = vp_unit_relocs(u, u->items[before].section, u->items[before].offset, 4 + 5, &n);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(u->symbols[r[i].symbol].name, "__fentry__"))
			return false;
	return true;
}

size_t vp_keep_replacing(const struct vp_keep *k, size_t after)
{
	return vp_keep_lacks_entry(k, after) ? VP_NO_ITEM : same_function(k, after);
}

/* It cannot be redirected: is all that may call it known, and replaced? */
static void look_at_entry(struct vp_keep *k, size_t after)
{
	const char *name = vp_unit_name(k->source->after, after);
	size_t own = same_function(k, after);

	if (!vp_keep_lacks_entry(k, after) || own == VP_NO_ITEM)
		return;
	if (k->source->after->items[after].global)
		vp_blockers_add(k->blockers,
				"%.100s: the kernel has no entry of ftrace's in it, by which it "
				"could be replaced, and other sources may call it",
				name);
	else
		take(k, own, VP_FATE_GOES); /* and the callers, which are replaced, call this */
}

/* All that refer to @function, which cannot be replaced itself, are. True: something was added. */
static bool spread_to_users(struct vp_keep *k, size_t function)
{
	struct vp_unit *u = k->source->after;
	bool added = false;

	for (size_t i = 0; i < u->nitems; i++) {
		const struct vp_item *user = &u->items[i];
		size_t n;
		const struct vp_elf_reloc *r =
			vp_unit_relocs(u, user->section, user->offset, user->size, &n);

		for (size_t j = 0; j < n; j++) {
			struct vp_ref ref = vp_unit_ref(u, user->section, &r[j]);

			if (ref.kind != VP_REF_ITEM || u->items[ref.item].of != function ||
			    user->of == function)
				continue;
			if (user->code && !ref.branch && vp_keep_lacks_entry(k, function) &&
			    !vp_name_is_clone(u->items[function].name))
				vp_blockers_add(
					k->blockers,
					"%.80s changes, the kernel has no entry of ftrace's in it, "
					"and its address is taken in %.80s",
					vp_unit_name(u, function), vp_unit_name(u, i));
			if (user->code && !user->early && !k->changed[user->of]) {
				k->changed[user->of] = true;
				k->reason[user->of] = VP_REASON_USES;
				k->because[user->of] = function;
				added = true;
			} else if (!user->code && !user->early &&
				   !is_description(u->sections[user->section].name)) {
				vp_blockers_add(
					k->blockers,
					"%.80s changes, cannot be replaced by itself, and is "
					"reached by a pointer in %.80s",
					vp_unit_name(u, function), vp_unit_name(u, i));
			}
		}
	}
	return added;
}

static void spread(struct vp_keep *k)
{
	const struct vp_unit *u = k->source->after;
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < u->nitems; i++)
			if (k->changed[i] && vp_keep_replacing(k, i) == VP_NO_ITEM)
				again |= spread_to_users(k, i);
	}
}

/* --- what goes along
 * ------------------------------------------------------------------------------
 */

/* Does the kernel have it, so that its own is meant? *@name: as the kernel calls it. */
static bool is_kernels(const struct vp_keep *k, size_t item, const char **name)
{
	const struct vp_unit *u = k->source->code;
	size_t before = k->own.to_old[item];

	if (before == VP_NO_ITEM || !*u->items[item].name ||
	    vp_name_is_private(u->items[item].name))
		return false;
	*name = k->source->before->items[before].name;
	return !u->items[item].code || (!vp_name_is_clone(u->items[item].name) &&
					!vp_keep_is_of_header(k, &u->items[item]));
}

enum vp_meant vp_keep_meant(const struct vp_keep *k, size_t from, const struct vp_ref *ref,
			    const char **name)
{
	const struct vp_unit *u = k->source->code;
	size_t top;

	switch (ref->kind) {
	case VP_REF_NAME:
		*name = ref->name;
		return VP_MEANT_KERNEL;
	case VP_REF_BYTES:
		return VP_MEANT_BYTES;
	case VP_REF_ITEM:
		break;
	case VP_REF_NONE:
		return VP_MEANT_UNKNOWN;
	}
	top = u->items[ref->item].of;
	/* A pointer to a function that is replaced must be good when the hotfix is gone. */
	if (u->items[ref->item].code && (top == u->items[from].of || k->fate[top]) &&
	    (ref->branch || ref->into || !is_kernels(k, top, name)))
		return VP_MEANT_OWN;
	return is_kernels(k, top, name) ? VP_MEANT_KERNEL : VP_MEANT_OWN;
}

/* A writable one of several with one name, of which nobody can tell which the kernel's is. */
static bool is_ambiguous(const struct vp_keep *k, size_t item)
{
	const struct vp_unit *code = k->source->code, *before = k->source->before;
	const char *name = code->items[item].name;
	bool numbered, other;
	size_t base = vp_name_base(name, &numbered);

	if (k->own.to_old[item] != VP_NO_ITEM || vp_name_is_private(name) ||
	    !(code->sections[code->items[item].section].flags & SHF_WRITE))
		return false;
	for (size_t i = 0; i < before->nitems; i++) {
		const char *old = before->items[i].name;

		if (!before->items[i].code && vp_name_base(old, &other) == base &&
		    !memcmp(old, name, base) && base)
			return true;
	}
	return false;
}

static void follow(struct vp_keep *k, size_t from, const struct vp_ref *ref)
{
	const struct vp_unit *u = k->source->code;
	const char *name = "", *of = vp_unit_name(u, from);
	const struct vp_item *to;

	switch (vp_keep_meant(k, from, ref, &name)) {
	case VP_MEANT_UNKNOWN:
		vp_blockers_add(k->blockers, "%.100s: it refers to something that cannot be told",
				of);
		return;
	case VP_MEANT_OWN:
		break;
	case VP_MEANT_KERNEL:
	case VP_MEANT_BYTES:
		return;
	}
	to = &u->items[ref->item];
	if (to->early)
		vp_blockers_add(k->blockers,
				"%.80s: it uses %.80s, which is gone when the kernel has started",
				of, vp_unit_name(u, ref->item));
	else if (is_ambiguous(k, ref->item))
		vp_blockers_add(k->blockers,
				"%.80s: it uses %.80s, and which of several variables of that name "
				"that is cannot be told",
				of, to->name);
	else
		take(k, to->of, VP_FATE_GOES);
}

void vp_keep_each_ref(struct vp_keep *k, size_t item, size_t section, uint64_t offset,
		      uint64_t size, vp_keep_see see, void *arg)
{
	struct vp_unit *u = k->source->code;
	size_t n;
	const struct vp_elf_reloc *r = vp_unit_relocs(u, section, offset, size, &n);

	for (size_t i = 0; i < n; i++) {
		struct vp_ref ref = vp_unit_ref(u, section, &r[i]);

		see(arg, k, item, &r[i], &ref);
	}
}

static void see(void *arg, struct vp_keep *k, size_t from, const struct vp_elf_reloc *r,
		const struct vp_ref *ref)
{
	(void)arg, (void)r;
	follow(k, from, ref);
}

/* Tables that the kernel would have to be told of. */
static void look_at_tables(struct vp_keep *k, size_t item)
{
	static const struct {
		const char *section, *why;
	} refused[] = {
		{ "__ex_table", "faults are repaired by a table that the guest does not see" },
		{ "__jump_table",
		  "a static key is switched by a table that the guest does not see" },
		{ "__bug_table", "WARN and BUG are found by a table that the guest does not see" },
	};
	struct vp_unit *u = k->source->code;

	for (const struct vp_table *t = vp_tables_of_code; t->section; t++) {
		uint64_t size, at = 0;
		size_t section;

		if (!vp_table_find(u, t, &section, &size) ||
		    !vp_table_next(u, section, size, item, &at))
			continue;
		for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
			if (!strcmp(t->section, refused[i].section))
				vp_blockers_add(k->blockers, "%.100s: %s", vp_unit_name(u, item),
						refused[i].why);
	}
}

static void see_replacement(void *arg, size_t item, const uint8_t *entry, uint64_t size,
			    const struct vp_elf_reloc *relocs)
{
	struct vp_keep *k = arg;
	struct vp_unit *u = k->source->code;
	size_t section;
	uint64_t at;

	if (vp_keep_replacement(u, entry, size, relocs, &section, &at))
		vp_keep_each_ref(k, item, section, at, entry[size - 1], see, NULL);
}

static void close_over(struct vp_keep *k)
{
	for (size_t i = 0; i < k->ntodo; i++) {
		const struct vp_item *item = &k->source->code->items[k->todo[i]];

		vp_keep_each_ref(k, k->todo[i], item->section, item->offset, item->size, see, NULL);
		if (!item->code)
			continue;
		look_at_tables(k, k->todo[i]);
		vp_keep_each_entry(k, ".altinstructions", k->todo[i], see_replacement, k);
	}
}

/* --- all of it -------------------------------------------------------------------------------- */

static int allocate(struct vp_keep *k, struct vp_err *err)
{
	const struct vp_source *s = k->source;
	int rc = vp_compare_open(s->before, s->after, &k->change, err);

	if (!rc)
		rc = vp_compare_open(s->before, s->code, &k->own, err);
	if (rc)
		return rc;
	k->change.lines = s->lines;
	k->changed = calloc(s->after->nitems + 1, sizeof(*k->changed));
	k->reason = calloc(s->after->nitems + 1, sizeof(*k->reason));
	k->because = calloc(s->after->nitems + 1, sizeof(*k->because));
	k->fate = calloc(s->code->nitems + 1, sizeof(*k->fate));
	k->todo = calloc(s->code->nitems + 1, sizeof(*k->todo));
	if (k->changed && k->reason && k->because && k->fate && k->todo)
		return 0;
	return vp_err_set(err, -ENOMEM, "out of memory");
}

int vp_keep_open(const struct vp_source *source, struct vp_keep *k, struct vp_blockers *blockers,
		 struct vp_blockers *notes, struct vp_err *err)
{
	const struct vp_unit *after = source->after;
	int rc;

	*k = (struct vp_keep){ .source = source, .blockers = blockers, .notes = notes };
	rc = allocate(k, err);
	if (rc) {
		vp_keep_close(k);
		return rc;
	}
	find_changed(k);
	leave_out_early(k);
	for (size_t i = 0; i < after->nitems; i++)
		if (!after->items[i].code)
			look_at_data(k, i);
	spread(k);
	for (size_t i = 0; i < after->nitems; i++) {
		size_t code = k->changed[i] ? vp_keep_replacing(k, i) : VP_NO_ITEM;

		if (k->changed[i])
			look_at_entry(k, i);
		if (code == VP_NO_ITEM)
			continue;
		take(k, code, VP_FATE_REPLACES);
		k->replaces++;
	}
	close_over(k);
	return 0;
}

void vp_keep_close(struct vp_keep *k)
{
	vp_compare_close(&k->change);
	vp_compare_close(&k->own);
	free(k->changed);
	free(k->reason);
	free(k->because);
	free(k->fate);
	free(k->todo);
	*k = (struct vp_keep){ .source = NULL };
}
