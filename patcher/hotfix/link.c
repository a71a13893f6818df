/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/link.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hotfix/link_internal.h"
#include "hotfix/reloc.h"

#define PAGE 4096u

/* --- what needs no address ---------------------------------------------------------------- */

static int allocate(struct vp_hotfix_link *l)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(l->object);

	l->parts = calloc(l->nsections, sizeof(*l->parts));
	l->known = calloc(l->nsymbols + 1, sizeof(*l->known));
	l->old = calloc(a->nfunctions + 1, sizeof(*l->old));
	l->calls = calloc(a->ncalls + 1, sizeof(*l->calls));
	return l->parts && l->known && l->old && l->calls ? 0 : -ENOMEM;
}

static int refused(const struct vp_hotfix_link *l, const struct vp_blockers *b, size_t kept,
		   struct vp_err *err)
{
	return vp_err_set(err, -ENOEXEC, "%s: %.150s", vp_elf_object_what(l->elf),
			  kept < vp_blockers_kept(b) ? b->list[kept].text : "it cannot be linked");
}

int vp_hotfix_link_open(const struct vp_hotfix_object *object, const struct vp_hotfix_world *world,
			struct vp_hotfix_link **out, struct vp_blockers *b, struct vp_err *err)
{
	struct vp_hotfix_link *l = calloc(1, sizeof(*l));
	size_t had = b->added, kept = vp_blockers_kept(b);
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "out of memory");
	l->object = object;
	l->elf = vp_hotfix_object_elf(object);
	l->sections = vp_elf_object_sections(l->elf, &l->nsections);
	l->symbols = vp_elf_object_symbols(l->elf, &l->nsymbols);
	l->world = world;
	l->b = b;
	rc = allocate(l);
	if (!rc) {
		vp_link_sections(l);
		if (!l->no_memory)
			vp_link_fixups(l);
		if (!l->no_memory)
			vp_link_alternatives(l);
	}
	if (rc || l->no_memory)
		rc = vp_err_set(err, -ENOMEM, "%s: out of memory", vp_elf_object_what(l->elf));
	else if (b->added != had)
		rc = refused(l, b, kept, err);
	l->world = NULL;
	l->b = NULL;
	if (rc)
		vp_hotfix_link_close(l);
	else
		*out = l;
	return rc;
}

void vp_hotfix_link_close(struct vp_hotfix_link *l)
{
	if (!l)
		return;
	for (size_t i = 0; l->parts && i < l->nsections; i++) {
		free(l->parts[i].bytes);
		free(l->parts[i].fixups);
	}
	free(l->parts);
	free(l->known);
	free(l->old);
	free(l->calls);
	free(l);
}

size_t vp_hotfix_link_size(const struct vp_hotfix_link *l, enum vp_hotfix_area area)
{
	return l->size[area];
}

/* --- at given addresses ------------------------------------------------------------------------
 */

static int allocate_image(const struct vp_hotfix_link *l, const vp_gva *bases,
			  struct vp_hotfix_image *image)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(l->object);

	image->nredirects = a->nfunctions;
	image->ncalls = a->ncalls;
	image->redirects = calloc(a->nfunctions + 1, sizeof(*image->redirects));
	image->calls = calloc(a->ncalls + 1, sizeof(*image->calls));
	if (!image->redirects || !image->calls)
		return -ENOMEM;
	for (int i = 0; i < VP_AREA_COUNT; i++) {
		image->areas[i].base = l->size[i] ? bases[i] : VP_GVA(0);
		image->areas[i].size = l->size[i];
		image->areas[i].bytes = malloc(l->size[i] + 1);
		if (!image->areas[i].bytes)
			return -ENOMEM;
		memset(image->areas[i].bytes, i == VP_AREA_TEXT ? VP_INT3 : 0, l->size[i]);
	}
	return 0;
}

static vp_gva address(const struct vp_hotfix_link *l, const struct vp_hotfix_image *image,
		      size_t section, uint64_t offset)
{
	const struct part *p = &l->parts[section];

	return VP_GVA(image->areas[p->area].base.v + p->at + offset);
}

static void place_section(const struct vp_hotfix_link *l, size_t i,
			  const struct vp_hotfix_image *image, struct vp_blockers *b)
{
	const struct part *p = &l->parts[i];
	uint8_t *bytes = image->areas[p->area].bytes;

	if (!bytes) /* each was allocated: for who reads only this */
		return;
	bytes += p->at;
	if (p->bytes)
		memcpy(bytes, p->bytes, l->sections[i].size);
	else
		memset(bytes, 0, l->sections[i].size);
	for (size_t j = 0; j < p->nfixups; j++) {
		const struct fixup *f = &p->fixups[j];
		uint64_t value = f->section ? address(l, image, f->section, f->value).v : f->value;

		if (vp_reloc_apply(bytes + f->offset, f->type, value + (uint64_t)f->addend,
				   address(l, image, i, f->offset)))
			vp_blockers_add(b,
					"%.64s+0x%llx: relocation %s to %.80s (0x%llx) is out of "
					"range",
					l->sections[i].name, (unsigned long long)f->offset,
					vp_reloc_name(f->type), f->name, (unsigned long long)value);
	}
}

static int check_bases(const struct vp_hotfix_link *l, const vp_gva *bases, struct vp_err *err)
{
	for (int i = 0; i < VP_AREA_COUNT; i++)
		if (l->size[i] && (bases[i].v % PAGE || bases[i].v > UINT64_MAX - l->size[i]))
			return vp_err_set(err, -EINVAL, "area %d cannot stand at 0x%llx", i,
					  (unsigned long long)bases[i].v);
	return 0;
}

int vp_hotfix_link_at(const struct vp_hotfix_link *l, const vp_gva bases[VP_AREA_COUNT],
		      struct vp_hotfix_image *out, struct vp_blockers *b, struct vp_err *err)
{
	const struct vp_hotfix_about *a = vp_hotfix_object_about(l->object);
	size_t had = b->added, kept = vp_blockers_kept(b);
	struct vp_hotfix_image image = { 0 };
	int rc = check_bases(l, bases, err);

	if (rc)
		return rc;
	if (allocate_image(l, bases, &image)) {
		rc = vp_err_set(err, -ENOMEM, "%s: out of memory", vp_elf_object_what(l->elf));
		goto out;
	}
	for (size_t i = 1; i < l->nsections; i++)
		if (l->parts[i].kept)
			place_section(l, i, &image, b);
	for (size_t i = 0; i < a->nfunctions; i++) {
		const struct vp_hotfix_place *p = &a->functions[i].replacement;

		image.redirects[i] =
			(struct vp_hotfix_redirect){ &a->functions[i], l->old[i],
						     address(l, &image, p->section, p->offset) };
	}
	for (size_t i = 0; i < a->ncalls; i++) {
		const struct vp_hotfix_call *c = &a->calls[i];

		image.calls[i] = (struct vp_hotfix_guest_call){
			c,
			c->own ? address(l, &image, c->place.section, c->place.offset) : l->calls[i]
		};
	}
	if (b->added != had)
		rc = refused(l, b, kept, err);
out:
	if (rc)
		vp_hotfix_image_free(&image);
	else
		*out = image;
	return rc;
}

void vp_hotfix_image_free(struct vp_hotfix_image *image)
{
	for (int i = 0; i < VP_AREA_COUNT; i++)
		free(image->areas[i].bytes);
	free(image->redirects);
	free(image->calls);
	*image = (struct vp_hotfix_image){ 0 };
}

int vp_hotfix_link_try(const struct vp_hotfix_link *l, vp_gva at, struct vp_blockers *b,
		       struct vp_err *err)
{
	vp_gva bases[VP_AREA_COUNT];
	struct vp_hotfix_image image;
	int rc;

	for (int i = 0; i < VP_AREA_COUNT; i++) {
		bases[i] = at;
		at.v += l->size[i];
	}
	rc = vp_hotfix_link_at(l, bases, &image, b, err);
	if (!rc)
		vp_hotfix_image_free(&image);
	return rc;
}
