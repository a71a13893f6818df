/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting and freeing as runs of calls: a queue that what came back refills. What rights new pages
 * have is not taken from the kernel's version but from its page tables, each time.
 */
#include "hotfix/arena.h"
#include "linux/kernel_mem.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096ull

enum tag { ALLOC, PROTECT, RELEASE, FREE };

struct job {
	const struct vp_arena_recipe *recipe;
	struct vp_target *t;
	struct vp_arena *arena;
	const uint64_t *size; /* wanted; NULL: this job frees */
	struct vp_call queue[4];
	size_t head, tail;
	size_t kind;	 /* that is being worked on */
	unsigned int nr; /* of the call that returned last */
	bool undo;	 /* it went wrong: free what was got */
	int rc;		 /* what went wrong, and why */
	struct vp_err why;
};

static void push(struct job *j, enum tag tag, const char *name, vp_gva fn, uint64_t a, uint64_t b)
{
	j->queue[j->tail++] =
		(struct vp_call){ .name = name, .tag = (int)tag, .fn = fn, .arg = { a, b } };
}

static struct vp_arena_part *part(struct job *j)
{
	return &j->arena->part[j->kind];
}

/* --- rights ------------------------------------------------------------------------ */

struct rights {
	bool writable, executable; /* some page is */
	bool all_writable, all_executable;
};

static int rights_of(struct job *j, const struct vp_paging *space, struct rights *out,
		     struct vp_err *err)
{
	struct vp_tables tables;
	const struct vp_arena_part *p = part(j);

	vp_kernel_mem_tables(&tables, j->t);
	*out = (struct rights){ .all_writable = true, .all_executable = true };
	for (uint64_t off = 0; off < p->size; off += PAGE) {
		struct vp_map map;
		int rc = vp_tables_walk(&tables, space, VP_GVA(p->at.v + off), &map, err);

		if (rc)
			return rc;
		out->writable |= map.writable;
		out->executable |= !map.nx;
		out->all_writable &= map.writable;
		out->all_executable &= !map.nx;
		if (map.user || (map.writable && !map.nx))
			return vp_err_set(err, -EPERM,
					  "the guest's kernel gave memory at 0x%llx that is %s",
					  (unsigned long long)(p->at.v + off),
					  map.user ? "user space's" : "writable and executable");
	}
	return 0;
}

/* --- getting ------------------------------------------------------------------------ */

static void push_alloc(struct job *j)
{
	const struct vp_arena_recipe *r = j->recipe;

	if (r->typed)
		push(j, ALLOC, "execmem_alloc", r->alloc,
		     j->kind == VP_ARENA_TEXT ? r->text_type : r->data_type, j->size[j->kind]);
	else
		push(j, ALLOC, "module_alloc", r->alloc, j->size[j->kind], 0);
}

/* From RW without X only: "x" first would be W and X. */
static int push_protect(struct job *j, const struct rights *have, struct vp_err *err)
{
	const struct vp_arena_recipe *r = j->recipe;
	uint64_t at = part(j)->at.v, pages = part(j)->size / PAGE;
	bool text = j->kind == VP_ARENA_TEXT;

	if (text && have->all_executable && !have->writable)
		return 0; /* it comes so from a pool */
	if (have->executable || !have->all_writable)
		return vp_err_set(err, -EPERM,
				  "the guest's kernel gave memory at 0x%llx with rights that are "
				  "not known from it",
				  (unsigned long long)at);
	if (j->kind == VP_ARENA_DATA)
		return 0;
	if (text && r->rox.v) {
		push(j, PROTECT, "set_memory_rox", r->rox, at, pages);
		return 0;
	}
	push(j, PROTECT, "set_memory_ro", r->ro, at, pages);
	if (text)
		push(j, PROTECT, "set_memory_x", r->x, at, pages);
	return 0;
}

static int tell_got(struct job *j, struct vp_err *err)
{
	const struct vp_arena_witness *w = j->recipe->witness;

	return w ? w->got(w->arg, j->nr, (enum vp_arena_kind)j->kind, part(j)->at, part(j)->size,
			  err)
		 : 0;
}

static int got(struct job *j, const struct vp_call *done, const struct vp_paging *space,
	       struct vp_err *err)
{
	struct rights have;
	int rc;

	if (!done->result)
		return vp_err_set(err, -ENOMEM, "the guest's kernel has no %llu bytes for modules",
				  (unsigned long long)j->size[j->kind]);
	if (done->result % PAGE || done->result >> 63 != 1 ||
	    done->result + j->size[j->kind] < done->result)
		return vp_err_set(err, -EIO, "%s() in the guest gave 0x%llx, which is no address",
				  done->name, (unsigned long long)done->result);
	*part(j) = (struct vp_arena_part){ VP_GVA(done->result), j->size[j->kind] };
	rc = tell_got(j, err);
	if (!rc)
		rc = rights_of(j, space, &have, err);
	return rc ? rc : push_protect(j, &have, err);
}

static int refused(const struct vp_call *done, struct vp_err *err)
{
	if (!(int32_t)done->result)
		return 0;
	return vp_err_set(err, -EIO, "%s(0x%llx) in the guest failed: %d", done->name,
			  (unsigned long long)done->arg[0], (int)(int32_t)done->result);
}

static int check_rights(struct job *j, const struct vp_paging *space, struct vp_err *err)
{
	struct rights have;
	int rc = rights_of(j, space, &have, err);
	bool text = j->kind == VP_ARENA_TEXT;

	if (rc || (!have.writable && (text ? have.all_executable : !have.executable)))
		return rc;
	return vp_err_set(err, -EPERM,
			  "the guest's kernel did not protect its memory at 0x%llx as asked",
			  (unsigned long long)part(j)->at.v);
}

/* --- freeing ------------------------------------------------------------------------ */

/* With execmem the kernel gives up text's protection itself, and its pool's must not be touched. */
static void push_free(struct job *j)
{
	const struct vp_arena_recipe *r = j->recipe;
	uint64_t at = part(j)->at.v, pages = part(j)->size / PAGE;

	if (j->kind == VP_ARENA_TEXT && !r->typed)
		push(j, RELEASE, "set_memory_nx", r->nx, at, pages);
	if (j->kind == VP_ARENA_RODATA || (j->kind == VP_ARENA_TEXT && !r->typed))
		push(j, RELEASE, "set_memory_rw", r->rw, at, pages);
	push(j, FREE, r->typed ? "execmem_free" : "module_memfree", r->free, at, 0);
}

static int gave(struct job *j, struct vp_err *err)
{
	const struct vp_arena_witness *w = j->recipe->witness;
	vp_gva at = part(j)->at;

	*part(j) = (struct vp_arena_part){ 0 };
	return w ? w->freed(w->arg, j->nr, (enum vp_arena_kind)j->kind, at, err) : 0;
}

/* --- the run ------------------------------------------------------------------------ */

static int take(struct job *j, const struct vp_call *done, const struct vp_paging *space,
		struct vp_err *err)
{
	int rc = 0;

	switch ((enum tag)done->tag) {
	case ALLOC:
		return got(j, done, space, err);
	case PROTECT:
		rc = refused(done, err);
		if (!rc && j->head == j->tail)
			rc = check_rights(j, space, err);
		return rc;
	case RELEASE:
		return refused(done, err);
	case FREE:
		return gave(j, err);
	}
	return rc;
}

static bool has_work(const struct job *j, size_t kind)
{
	return j->size && !j->undo ? j->size[kind] : j->arena->part[kind].size;
}

/* The next part: those that are got from the first, those that are freed as well. */
static void refill(struct job *j)
{
	j->head = j->tail = 0;
	while (++j->kind < VP_ARENA_KINDS && !has_work(j, j->kind))
		;
	if (j->kind >= VP_ARENA_KINDS)
		return;
	if (j->size && !j->undo)
		push_alloc(j);
	else
		push_free(j);
}

static void turn_back(struct job *j, int rc, const struct vp_err *why)
{
	j->undo = true;
	j->rc = rc;
	j->why = *why;
	j->head = j->tail = 0;
	j->kind = (size_t)-1;
}

/* Freeing failed: the part stays, what is left of the others goes on. */
static void keep_part(struct job *j, int rc, const struct vp_err *why)
{
	if (!j->rc) {
		j->rc = rc;
		j->why = *why;
	}
	j->head = j->tail = 0;
}

static int next(void *arg, const struct vp_call *done, const struct vp_paging *space,
		struct vp_call *call, struct vp_err *err)
{
	struct job *j = arg;
	struct vp_err why = { "" };
	int rc = done ? take(j, done, space, &why) : 0;

	j->nr += done != NULL;
	if (rc && j->size && !j->undo)
		turn_back(j, rc, &why);
	else if (rc)
		keep_part(j, rc, &why);
	if (j->head == j->tail)
		refill(j);
	if (j->head < j->tail) {
		*call = j->queue[j->head++];
		return 1;
	}
	return j->rc ? vp_err_set(err, j->rc, "%s", j->why.text) : 0;
}

int vp_arena_alloc(struct vp_target *t, const struct vp_call_site *site,
		   const struct vp_arena_recipe *recipe, const uint64_t size[VP_ARENA_KINDS],
		   const struct vp_call_opts *opts, struct vp_arena *out,
		   struct vp_call_report *report, struct vp_err *err)
{
	uint64_t pages[VP_ARENA_KINDS];
	struct job j = { .recipe = recipe, .t = t, .arena = out, .size = pages };

	*out = (struct vp_arena){ 0 };
	for (size_t i = 0; i < VP_ARENA_KINDS; i++) {
		if (size[i] > VP_ARENA_MAX)
			return vp_err_set(err, -EINVAL, "a hotfix of more than %llu MB",
					  VP_ARENA_MAX >> 20);
		pages[i] = (size[i] + PAGE - 1) & ~(PAGE - 1);
	}
	j.kind = (size_t)-1;
	return vp_call_run(t, site, opts, next, &j, report, err);
}

int vp_arena_free(struct vp_target *t, const struct vp_call_site *site,
		  const struct vp_arena_recipe *recipe, const struct vp_call_opts *opts,
		  struct vp_arena *arena, struct vp_call_report *report, struct vp_err *err)
{
	struct job j = { .recipe = recipe, .t = t, .arena = arena, .kind = (size_t)-1 };

	return vp_call_run(t, site, opts, next, &j, report, err);
}
