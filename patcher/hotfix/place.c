/* SPDX-License-Identifier: Apache-2.0 */
#include "hotfix/place.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/vcpus.h"
#include "linux/kernel_mem.h"

#define PAGE 4096ull

/* The linker's areas are what memory is got for, the text behind the label's pages. */
static_assert((int)VP_AREA_TEXT == VP_ARENA_TEXT && (int)VP_AREA_RODATA == VP_ARENA_RODATA &&
		      (int)VP_AREA_DATA == VP_ARENA_DATA && (int)VP_AREA_COUNT == VP_ARENA_KINDS,
	      "one numbering");

struct vp_hotfix_placing {
	const struct vp_hotfix_plan *plan;
	struct vp_hotfix_label label;
	struct vp_hotfix_label_function functions[VMPOKE_FUNCTION_COUNT];
	struct vp_hotfix_label_call calls[VMPOKE_CALL_COUNT];
	struct vp_hotfix_image image;
	struct part {
		vp_gva at;
		uint64_t size;
		uint8_t *bytes;
	} parts[VP_ARENA_KINDS];
};

static size_t label_pages(const struct vp_hotfix_placing *p)
{
	return (vp_hotfix_label_size(&p->label) + PAGE - 1) & ~(PAGE - 1);
}

static bool is_of_removal(const struct vp_hotfix_call *call)
{
	return call->when == VMPOKE_WHEN_BEFORE_REMOVE || call->when == VMPOKE_WHEN_AFTER_REMOVE;
}

int vp_hotfix_placing_new(const struct vp_hotfix_plan *plan, struct vp_hotfix_placing **out,
			  struct vp_err *err)
{
	const struct vp_hotfix_about *about = plan->fit->about;
	struct vp_hotfix_placing *p = calloc(1, sizeof(*p));

	if (!p)
		return vp_err_set(err, -ENOMEM, "out of memory");
	p->plan = plan;
	p->label = (struct vp_hotfix_label){
		.name = about->name,
		.version = about->version,
		.description = about->description,
		.who = plan->who,
		.when = plan->when,
		.functions = p->functions,
		.nfunctions = about->nfunctions,
		.calls = p->calls,
	};
	memcpy(p->label.object, plan->object, sizeof(p->label.object));
	for (size_t i = 0; i < about->nfunctions; i++) {
		const struct vp_hotfix_before *b = &plan->before[i];
		struct vp_hotfix_label_function *f = &p->functions[i];

		f->name = about->functions[i].old.name;
		f->old = plan->fit->functions[i].start;
		f->site = b->site;
		f->record = b->record;
		memcpy(f->before, b->bytes, sizeof(b->bytes));
	}
	for (size_t i = 0; i < about->ncalls; i++)
		if (is_of_removal(&about->calls[i]))
			p->calls[p->label.ncalls++].when = about->calls[i].when;
	*out = p;
	return 0;
}

void vp_hotfix_placing_free(struct vp_hotfix_placing *p)
{
	if (!p)
		return;
	vp_hotfix_image_free(&p->image);
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		free(p->parts[i].bytes);
	free(p);
}

void vp_hotfix_placing_sizes(const struct vp_hotfix_placing *p, uint64_t size[VP_ARENA_KINDS])
{
	for (size_t i = 0; i < VP_ARENA_KINDS; i++)
		size[i] = vp_hotfix_link_size(p->plan->fit->link, (enum vp_hotfix_area)i);
	size[VP_ARENA_TEXT] += label_pages(p);
}

const struct vp_hotfix_image *vp_hotfix_placing_image(const struct vp_hotfix_placing *p)
{
	return &p->image;
}

/* --- the bytes ------------------------------------------------------------------------ */

/* Where the linker has put everything that the label tells of. */
static void fill_label(struct vp_hotfix_placing *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->label.nfunctions; i++)
		p->functions[i].replacement = p->image.redirects[i].replacement;
	for (size_t i = 0; i < p->image.ncalls; i++)
		if (is_of_removal(p->image.calls[i].call))
			p->calls[n++].at = p->image.calls[i].at;
	for (size_t i = 0; i < VP_AREA_COUNT; i++) {
		p->label.areas[i].at = p->parts[i].at;
		p->label.areas[i].size = p->parts[i].size;
	}
}

static int copy_areas(struct vp_hotfix_placing *p, struct vp_err *err)
{
	for (size_t i = 0; i < VP_ARENA_KINDS; i++) {
		size_t ahead = i == VP_ARENA_TEXT ? label_pages(p) : 0;
		struct part *part = &p->parts[i];

		if (p->image.areas[i].size + ahead != part->size)
			return vp_err_set(err, -EINVAL, "memory of another size was got");
		part->bytes = malloc(part->size + 1);
		if (!part->bytes)
			return vp_err_set(err, -ENOMEM, "out of memory");
		memset(part->bytes, 0xcc, ahead);
		if (p->image.areas[i].size)
			memcpy(part->bytes + ahead, p->image.areas[i].bytes,
			       p->image.areas[i].size);
	}
	return 0;
}

static uint64_t digest_code(const struct vp_hotfix_placing *p)
{
	const struct part *text = &p->parts[VP_ARENA_TEXT], *ro = &p->parts[VP_ARENA_RODATA];
	size_t head = vp_hotfix_label_size(&p->label);
	uint64_t d = vp_digest(VP_DIGEST_INIT, text->bytes + head, text->size - head);

	return vp_digest(d, ro->bytes, ro->size);
}

int vp_hotfix_placing_link(struct vp_hotfix_placing *p, const struct vp_arena *arena,
			   struct vp_blockers *blockers, struct vp_err *err)
{
	vp_gva bases[VP_AREA_COUNT];
	int rc;

	for (size_t i = 0; i < VP_ARENA_KINDS; i++) {
		p->parts[i].at = bases[i] = arena->part[i].at;
		p->parts[i].size = arena->part[i].size;
	}
	bases[VP_AREA_TEXT].v += label_pages(p);
	rc = vp_hotfix_link_at(p->plan->fit->link, bases, &p->image, blockers, err);
	if (!rc)
		rc = copy_areas(p, err);
	if (rc)
		return rc;
	fill_label(p);
	p->label.code = digest_code(p);
	return vp_hotfix_label_write(&p->label, p->parts[VP_ARENA_TEXT].bytes, err);
}

/* --- into the guest --------------------------------------------------------------------- */

/* A stretch of guest-physical memory that gets a stretch of a part. */
struct piece {
	vp_gpa gpa;
	const uint8_t *bytes;
	size_t len;
};

struct pieces {
	struct piece *list;
	size_t n, room;
};

static int add_piece(struct pieces *all, vp_gpa gpa, const uint8_t *bytes, size_t len,
		     struct vp_err *err)
{
	struct piece *last = all->n ? &all->list[all->n - 1] : NULL;

	if (last && last->gpa.v + last->len == gpa.v && last->bytes + last->len == bytes) {
		last->len += len;
		return 0;
	}
	if (all->n == all->room) {
		size_t room = all->room ? 2 * all->room : 16;
		struct piece *more = reallocarray(all->list, room, sizeof(*more));

		if (!more)
			return vp_err_set(err, -ENOMEM, "out of memory");
		all->list = more;
		all->room = room;
	}
	all->list[all->n++] = (struct piece){ gpa, bytes, len };
	return 0;
}

/* From byte @from of a part to byte @to. */
static int add_stretch(struct pieces *all, const struct part *part, uint64_t from, uint64_t to,
		       struct vp_tables *tables, const struct vp_paging *space, struct vp_err *err)
{
	int rc = 0;

	while (from < to && !rc) {
		uint64_t end = (from & ~(PAGE - 1)) + PAGE;
		struct vp_map map = { 0 };

		end = end < to ? end : to;
		rc = vp_tables_walk(tables, space, VP_GVA(part->at.v + from), &map, err);
		if (!rc)
			rc = add_piece(all, map.gpa, part->bytes + from, end - from, err);
		from = end;
	}
	return rc;
}

/* All of it in the order in which it is to be written: the label last, which says that it is. */
static int find_pieces(const struct vp_hotfix_placing *p, struct vp_target *t,
		       const struct vp_paging *space, struct pieces *all, struct vp_err *err)
{
	size_t head = vp_hotfix_label_size(&p->label);
	struct vp_tables *tables = calloc(1, sizeof(*tables));
	int rc = tables ? 0 : vp_err_set(err, -ENOMEM, "out of memory");

	if (!rc)
		vp_kernel_mem_tables(tables, t);
	for (size_t i = VP_ARENA_KINDS; i-- && !rc;)
		rc = add_stretch(all, &p->parts[i], i == VP_ARENA_TEXT ? head : 0, p->parts[i].size,
				 tables, space, err);
	if (!rc)
		rc = add_stretch(all, &p->parts[VP_ARENA_TEXT], 0, head, tables, space, err);
	free(tables);
	return rc;
}

struct sight {
	struct vp_target *t;
	vp_gva at;
	vp_gpa gpa;
};

/* Is it there for whoever uses these tables? */
static bool is_there(const struct sight *s, struct vp_paging paging, uint64_t cr3)
{
	struct vp_tables tables;
	struct vp_map map;

	vp_kernel_mem_tables(&tables, s->t);
	paging.cr3 = cr3;
	return !vp_tables_walk(&tables, &paging, s->at, &map, NULL) && map.gpa.v == s->gpa.v;
}

static int sees(void *arg, int vcpu, const struct vp_vcpu_state *state)
{
	const struct vp_paging *p = &state->paging;

	(void)vcpu;
	return !state->nested &&
	       (is_there(arg, *p, p->cr3) || is_there(arg, *p, p->cr3 & ~VP_CR3_PTI_USER));
}

/*
 * Every vCPU is held. Is this still the boot that gave the memory? After a reset the old page
 * tables may lie in RAM as they were, but no vCPU uses them.
 */
static int check_boot(const struct vp_hotfix_placing *p, struct vp_target *t,
		      const struct vp_paging *space, struct vp_err *err)
{
	struct sight s = { .t = t, .at = p->parts[VP_ARENA_TEXT].at };
	struct vp_tables tables;
	struct vp_map map;
	int rc;

	vp_kernel_mem_tables(&tables, t);
	rc = vp_tables_walk(&tables, space, s.at, &map, err);
	if (rc)
		return rc;
	s.gpa = map.gpa;
	rc = vp_each_vcpu(t, sees, &s, err);
	if (rc < 0)
		return rc;
	return rc ? 0
		  : vp_err_set(err, -ENXIO,
			       "no vCPU sees the memory that was got: the guest was reset");
}

/* Where it all goes is looked at in the stop itself. */
static int write_stopped(const struct vp_hotfix_placing *p, struct vp_target *t,
			 const struct vp_paging *space, struct pieces *all, struct vp_err *err)
{
	int rc = t->ops->stop(t, VP_TIMEOUT_MS, err);

	if (rc)
		return rc;
	rc = check_boot(p, t, space, err);
	if (!rc)
		rc = find_pieces(p, t, space, all, err);
	for (size_t i = 0; i < all->n && !rc; i++)
		rc = t->ops->write(t, all->list[i].gpa, all->list[i].bytes, all->list[i].len, err);
	t->ops->resume(t);
	return rc;
}

/* The guest runs; but for its data, which nobody knows of yet, nothing of it can be written. */
static int compare_pieces(struct vp_target *t, const struct pieces *all, struct vp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < all->n && !rc; i++) {
		const struct piece *piece = &all->list[i];
		uint8_t *now = malloc(piece->len);

		rc = now ? t->ops->read(t, piece->gpa, now, piece->len, err)
			 : vp_err_set(err, -ENOMEM, "out of memory");
		if (!rc && memcmp(now, piece->bytes, piece->len))
			rc = vp_err_set(err, -EIO,
					"what was written to guest-physical 0x%llx did not arrive",
					(unsigned long long)piece->gpa.v);
		free(now);
	}
	return rc;
}

int vp_hotfix_placing_write(const struct vp_hotfix_placing *p, struct vp_target *t,
			    const struct vp_paging *space, struct vp_err *err)
{
	struct pieces all = { 0 };
	int rc = write_stopped(p, t, space, &all, err);

	if (!rc)
		rc = compare_pieces(t, &all, err);
	free(all.list);
	return rc;
}
