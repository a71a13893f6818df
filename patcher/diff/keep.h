/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a changed source goes into a hotfix. Three compilations of it are looked at: before and
 * after, as the kernel's own build makes them, tell which functions change; the third, after, with
 * the headers that a hotfix is compiled with (build/kernel/), is where the code comes from.
 *
 * - A function whose code changed replaces the kernel's. One that the compiler made a variant of
 *   (foo.isra.0), or that only one of the compilations has, has no fixed way to be called: it goes
 *   along as a copy, and its callers are replaced instead.
 * - One that the kernel has no entry of ftrace's in cannot be redirected: the same, if all who may
 *   call it are of this source.
 * - A function that is new, or that the kernel has compiled into others, goes along. So does a
 *   static one of a header: the kernel may have several, and which is this source's is not told.
 * - An unchanged function, and a variable that the kernel has, are the kernel's own.
 * - Texts, constants, and what macros make for each use, go along.
 */
#ifndef VP_DIFF_KEEP_H
#define VP_DIFF_KEEP_H

#include "diff/compare.h"
#include "hotfix/blockers.h"

struct vp_source {
	const char *path;   /* for texts */
	const char *module; /* NULL: it is in the kernel itself */
	struct vp_unit *before, *after, *code;
	struct vp_moved_lines lines;
	/* Is @function of a header, so that other sources have it, too? NULL: none is. */
	bool (*in_header)(void *arg, const char *function);
	void *arg;
	/* Compiled for ftrace: where its call does not stand at the entry, nothing can be put. */
	bool traced;
};

enum vp_fate {
	VP_FATE_NONE,	 /* not needed, or the kernel's own */
	VP_FATE_GOES,	 /* goes along */
	VP_FATE_REPLACES /* and replaces the kernel's function */
};

/* Why a function of the source after is no longer the kernel's. */
enum vp_reason {
	VP_REASON_NONE,
	VP_REASON_CODE,	 /* its code changes */
	VP_REASON_USES,	 /* it uses one that cannot be replaced by itself */
	VP_REASON_EARLY, /* its code changes, and runs no more: it is left out */
};

struct vp_keep {
	const struct vp_source *source;
	struct vp_compare change; /* before, after */
	struct vp_compare own;	  /* before, code */
	bool *changed;		  /* by item of after */
	enum vp_reason *reason;	  /* likewise */
	size_t *because;	  /* likewise: USES: which one */
	enum vp_fate *fate;	  /* by item of code */
	size_t replaces;	  /* how many functions */
	size_t *todo, ntodo;
	struct vp_blockers *blockers, *notes;
};

/*
 * Decide. What cannot be done goes into @blockers, what is left out into @notes; both and @source
 * must outlive @out. -ENOMEM. The caller closes @out.
 */
int vp_keep_open(const struct vp_source *source, struct vp_keep *out, struct vp_blockers *blockers,
		 struct vp_blockers *notes, struct vp_err *err);
void vp_keep_close(struct vp_keep *k);

/* Who a reference of kept code means. */
enum vp_meant {
	VP_MEANT_OWN,	 /* what goes along: ref->item */
	VP_MEANT_KERNEL, /* the kernel's, by this name */
	VP_MEANT_BYTES,	 /* ref->section, ->at, ->size */
	VP_MEANT_UNKNOWN,
};

/* @from: an item of code that holds the reference; *@name: KERNEL. */
enum vp_meant vp_keep_meant(const struct vp_keep *k, size_t from, const struct vp_ref *ref,
			    const char **name);

#endif /* VP_DIFF_KEEP_H */
