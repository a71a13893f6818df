/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hotfix/internal.h"

/* A section of ours that this version does not know may say what must not be passed over. */
static void check_unknown(const struct vp_hotfix_object *o, struct vp_blockers *b)
{
	static const char *const known[] = { "info",	"strings", "functions",
					     "symbols", "calls",   "uses" };
	static const char ours[] = ".vmpoke.";
	size_t n;
	const struct vp_elf_section *s = vp_elf_object_sections(o->elf, &n);

	for (size_t i = 1; i < n; i++) {
		bool fine = strncmp(s[i].name, ours, strlen(ours)) != 0;

		for (size_t j = 0; j < sizeof(known) / sizeof(*known); j++)
			fine |= !strcmp(s[i].name + (fine ? 0 : strlen(ours)), known[j]);
		if (!fine)
			vp_blockers_add(b, "metadata: unknown section %.100s", s[i].name);
	}
}

int vp_hotfix_object_open(const struct vp_elf_object *elf, struct vp_hotfix_object **out,
			  struct vp_blockers *b, struct vp_err *err)
{
	struct vp_hotfix_object *o = calloc(1, sizeof(*o));
	size_t had = b->added, kept = vp_blockers_kept(b);
	const char *first;

	if (!o)
		return vp_err_set(err, -ENOMEM, "%s: out of memory", vp_elf_object_what(elf));
	o->elf = elf;
	vp_hotfix_read_info(o, b);
	vp_hotfix_read_records(o, b);
	check_unknown(o, b);
	if (b->added == had) {
		*out = o;
		return 0;
	}
	free(o);
	first = kept < vp_blockers_kept(b) ? b->list[kept].text : "not a hotfix";
	return vp_err_set(err, -ENOEXEC, "%s: %s", vp_elf_object_what(elf), first);
}

void vp_hotfix_object_close(struct vp_hotfix_object *o)
{
	free(o);
}

const struct vp_hotfix_about *vp_hotfix_object_about(const struct vp_hotfix_object *o)
{
	return &o->about;
}

const struct vp_elf_object *vp_hotfix_object_elf(const struct vp_hotfix_object *o)
{
	return o->elf;
}

bool vp_hotfix_object_is_for(const struct vp_hotfix_object *o, const char *release,
			     const char *build_id)
{
	const struct vp_hotfix_about *a = &o->about;

	for (size_t i = 0; release && i < a->nreleases; i++)
		if (!strcmp(a->releases[i], release))
			return true;
	for (size_t i = 0; build_id && i < a->nbuild_ids; i++)
		if (!strcasecmp(a->build_ids[i], build_id))
			return true;
	return false;
}
