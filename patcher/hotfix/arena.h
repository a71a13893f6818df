/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the guest's kernel for a hotfix, from the kernel's own allocator of module memory: so
 * it is in reach of a rel32, and the kernel knows that it is taken. Text is RX, read-only data RO,
 * data RW; but for text nothing is executable, and nothing is writable and executable at any time.
 * What the pages hold is whatever the allocator left there.
 */
#ifndef VP_HOTFIX_ARENA_H
#define VP_HOTFIX_ARENA_H

#include "hotfix/call.h"

enum vp_arena_kind { VP_ARENA_TEXT, VP_ARENA_RODATA, VP_ARENA_DATA, VP_ARENA_KINDS };

/*
 * Who is told what was got and freed, for the case that this process is killed: called while every
 * vCPU is held, before anything else happens. @nr: which call of its run it was, from 0
 * (vp_call_recovered.nr). Non-zero: no more is got, and what was got is freed.
 */
struct vp_arena_witness {
	int (*got)(void *arg, unsigned int nr, enum vp_arena_kind kind, vp_gva at, uint64_t size,
		   struct vp_err *err);
	int (*freed)(void *arg, unsigned int nr, enum vp_arena_kind kind, vp_gva at,
		     struct vp_err *err);
	void *arg;
};

/* How this kernel does it: functions, 0 where there is none. */
struct vp_arena_recipe {
	vp_gva alloc, free;
	bool typed; /* alloc is execmem_alloc(), which is told for what */
	uint32_t text_type, data_type;
	vp_gva ro, rw, x, nx;			/* set_memory_*() */
	vp_gva rox;				/* both at once: from 6.2 on */
	const struct vp_arena_witness *witness; /* NULL: nobody; set by the caller */
};

/* -EOPNOTSUPP: this kernel's allocator is not known, and why. */
int vp_arena_recipe_find(struct vp_linux *l, struct vp_arena_recipe *out, struct vp_err *err);

#define VP_ARENA_MAX (16ull << 20) /* of one kind, in bytes */

struct vp_arena {
	struct vp_arena_part {
		vp_gva at;
		uint64_t size; /* a multiple of the page; 0: none */
	} part[VP_ARENA_KINDS];
};

/*
 * Locked. Get @size bytes of each kind (0: none). If it fails what was got is freed again; where
 * that cannot be (-EUCLEAN, -EFAULT of vp_call_run(); -EIO: the kernel refused), @out says what is
 * left. @opts and @report (may be NULL) and errors as vp_call_run(); besides
 *  -ENOMEM  the guest's kernel has none
 *  -EPERM   its pages are writable and executable, or not as they were asked for
 *  -EINVAL  more than VP_ARENA_MAX
 */
int vp_arena_alloc(struct vp_target *t, const struct vp_call_site *site,
		   const struct vp_arena_recipe *recipe, const uint64_t size[VP_ARENA_KINDS],
		   const struct vp_call_opts *opts, struct vp_arena *out,
		   struct vp_call_report *report, struct vp_err *err);

/*
 * Locked. Free @arena. Nobody is to be in its text or to come back there, which is the caller's to
 * see to: with all stopped a look at each stack tells (vp_linux_inside_held()), and no grace period
 * of RCU is needed, nor would one tell of those who sleep. Parts that are freed are taken out of
 * @arena. -EIO: the kernel refused to give up a part's protection: the part stays. Else as
 * vp_call_run().
 */
int vp_arena_free(struct vp_target *t, const struct vp_call_site *site,
		  const struct vp_arena_recipe *recipe, const struct vp_call_opts *opts,
		  struct vp_arena *arena, struct vp_call_report *report, struct vp_err *err);

#endif /* VP_HOTFIX_ARENA_H */
