/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/why.h"

#include <stdio.h>
#include <string.h>

#include "diff/keep_internal.h"

/* Why it can be replaced only where it is used. */
static const char *not_by_itself(const struct vp_keep *k, size_t after)
{
	const struct vp_item *f = &k->source->after->items[after];

	if (vp_name_is_clone(f->name))
		return "a variant that the compiler made";
	if (vp_keep_is_of_header(k, f))
		return "a static function of a header, of which the kernel may have several";
	if (k->change.to_old[after] == VP_NO_ITEM)
		return "no function of its own before";
	if (vp_keep_lacks_entry(k, after))
		return "without an entry of ftrace's, by which it could be replaced";
	return "no function of its own as a hotfix is compiled";
}

static bool is_function(const struct vp_unit *u, size_t i)
{
	return u->items[i].code && *u->items[i].name && u->items[i].of == i;
}

static void say_changed(const struct vp_keep *k, size_t after, struct vp_why *w)
{
	const struct vp_unit *u = k->source->after, *code = k->source->code;
	size_t own = vp_unit_named(code, u->items[after].name);

	w->function = vp_unit_name(u, after);
	w->changed = k->reason[after] == VP_REASON_CODE;
	if (k->reason[after] == VP_REASON_EARLY) {
		w->how = "left out";
		snprintf(w->why, sizeof(w->why),
			 "it runs when the kernel starts, or a module comes or goes");
		return;
	}
	if (vp_keep_lacks_entry(k, after) && u->items[after].global) {
		w->how = "refused";
		snprintf(w->why, sizeof(w->why), "it changes, and is %s, nor where it is used",
			 not_by_itself(k, after));
		return;
	}
	if (vp_keep_replacing(k, after) == VP_NO_ITEM) {
		w->how = own != VP_NO_ITEM && k->fate[own] ? "goes along" : "compiled into others";
		snprintf(w->why, sizeof(w->why), "it changes, and is %s: its users are replaced",
			 not_by_itself(k, after));
		return;
	}
	w->how = "replaced";
	if (w->changed)
		snprintf(w->why, sizeof(w->why), "its code changes");
	else
		snprintf(w->why, sizeof(w->why), "it uses %.80s, which is %s",
			 vp_unit_name(u, k->because[after]), not_by_itself(k, k->because[after]));
}

/* Of the third compilation, and not told of as changed. */
static bool say_along(const struct vp_keep *k, size_t item, struct vp_why *w)
{
	const struct vp_unit *u = k->source->code;
	const struct vp_item *f = &u->items[item];
	size_t after = vp_unit_named(k->source->after, f->name);

	if (after != VP_NO_ITEM && k->reason[after])
		return false;
	*w = (struct vp_why){ .function = f->name, .how = "goes along" };
	snprintf(w->why, sizeof(w->why), "%s",
		 vp_name_is_clone(f->name)    ? "a variant that the compiler made"
		 : vp_keep_is_of_header(k, f) ? "a static function of a header"
		 : k->own.to_old[item] == VP_NO_ITEM
			 ? "the kernel has no such function: it is new, or compiled into others "
			   "there"
			 : "what is replaced uses it");
	return true;
}

void vp_why_each(const struct vp_keep *k, void (*see)(void *arg, const struct vp_why *w), void *arg)
{
	const struct vp_unit *after = k->source->after, *code = k->source->code;
	struct vp_why w;

	for (size_t i = 0; i < after->nitems; i++) {
		w = (struct vp_why){ .changed = false };
		if (!is_function(after, i) || !k->reason[i])
			continue;
		say_changed(k, i, &w);
		see(arg, &w);
	}
	for (size_t i = 0; i < code->nitems; i++)
		if (is_function(code, i) && k->fate[i] == VP_FATE_GOES && say_along(k, i, &w))
			see(arg, &w);
}
