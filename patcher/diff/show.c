/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/show.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "x86/decode.h"

/* What the relocations of @len bytes at @at refer to. */
static void add_refs(struct vp_unit *u, size_t section, uint64_t at, uint64_t len, char *text,
		     size_t size)
{
	size_t n, used = strlen(text);
	const struct vp_elf_reloc *r = vp_unit_relocs(u, section, at, len, &n);

	for (size_t i = 0; i < n && used < size; i++) {
		struct vp_ref ref = vp_unit_ref(u, section, &r[i]);
		const char *name = ref.kind == VP_REF_NAME   ? ref.name
				   : ref.kind == VP_REF_ITEM ? vp_unit_name(u, ref.item)
							     : "?";

		if (ref.kind == VP_REF_BYTES && (u->sections[ref.section].flags & SHF_STRINGS))
			snprintf(text + used, size - used, "  <\"%.60s\">",
				 (const char *)u->sections[ref.section].data + ref.at);
		else
			snprintf(text + used, size - used, "  <%.80s>", name);
		used = strlen(text);
	}
	vp_text_clean(text);
}

/* The instruction that has byte @at of the item, if it is code; else the byte. */
static void describe(struct vp_unit *u, size_t item, uint64_t at, char *text, size_t size)
{
	const struct vp_item *i = &u->items[item];
	const uint8_t *data = u->sections[i->section].data;
	uint64_t begin = 0, len = 1;

	snprintf(text, size, "(the end)");
	if (at >= i->size)
		return;
	while (i->code && data) {
		struct vp_insn_fields f;
		int n = vp_insn_get_fields(data + i->offset + begin, i->size - begin, VP_GVA(begin),
					   &f, NULL);

		len = n > 0 ? (uint64_t)n : 1;
		if (n <= 0 || at < begin + len)
			break;
		begin += len;
		if (begin >= i->size)
			return;
	}
	begin = i->code ? begin : at;
	if (!i->code || !data ||
	    vp_insn_format(data + i->offset + begin, i->size - begin, VP_GVA(begin), VP_SYNTAX_ATT,
			   text, size / 2) < 0)
		snprintf(text, size, "%02x", data ? data[i->offset + begin] : 0);
	add_refs(u, i->section, i->offset + begin, len, text, size);
}

static bool is_shown(const struct vp_unit *u, size_t item)
{
	const struct vp_item *i = &u->items[item];

	return *i->name && i->size && !vp_name_is_private(i->name);
}

size_t vp_diff_show(const struct vp_compare *c, vp_show show, void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < c->new->nitems; i++) {
		size_t old = c->to_old[i];
		struct vp_shown s = { .name = vp_unit_name(c->new, i),
				      .code = c->new->items[i].code,
				      .how = VP_SHOWN_NEW };

		if (!is_shown(c->new, i))
			continue;
		if (old != VP_NO_ITEM) {
			s.difference = vp_compare_items(c, old, i);
			if (s.difference.what == VP_SAME)
				continue;
			s.how = VP_SHOWN_CHANGED;
			describe(c->old, old, s.difference.at, s.old, sizeof(s.old));
			describe(c->new, i, s.difference.at, s.new, sizeof(s.new));
		}
		show(arg, &s);
		n++;
	}
	for (size_t i = 0; i < c->old->nitems; i++) {
		struct vp_shown s = { .name = vp_unit_name(c->old, i),
				      .code = c->old->items[i].code,
				      .how = VP_SHOWN_GONE };

		if (c->to_new[i] != VP_NO_ITEM || !is_shown(c->old, i))
			continue;
		show(arg, &s);
		n++;
	}
	return n;
}
