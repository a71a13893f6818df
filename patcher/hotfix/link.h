/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linker: of a hotfix's object and what is known of one guest it makes the bytes that go into
 * the guest's memory. It neither reads nor writes the guest, but asks `struct vp_hotfix_world`.
 *
 * First vp_hotfix_link_open(): which section goes where, what every symbol means, what the guest's
 * own start-up does to its text (alternatives, pv calls): all that needs no address of the new
 * code. Then vp_hotfix_link_at(), as often as wanted: the bytes for given bases.
 *
 * What cannot be done becomes a blocker, and the rest is looked at all the same.
 *
 *   call __fentry__	a nop of 5 bytes: the new code is not traced
 *   static calls	through their trampolines __SCT__*, which the guest keeps right
 *   thunks		calls and jumps to where the guest's own go
 *   alternatives	as the guest's own, for its CPU
 *   calls of pv_ops	direct calls to what stands there now, as the guest's own
 *
 * Threads: an open link belongs to one thread at a time.
 */
#ifndef VP_HOTFIX_LINK_H
#define VP_HOTFIX_LINK_H

#include <vmpoke/types.h>

#include "hotfix/blockers.h"
#include "hotfix/object.h"

/* What the linker asks of the guest. None may be NULL. All return 0 or -errno with a reason. */
struct vp_hotfix_world {
	void *arg;
	/* Where a symbol is, as kallsyms says. -ENOENT: nowhere; -EEXIST: several, and @name does
	 * not tell which. Per-CPU symbols are small numbers on kernels that have them so. */
	int (*symbol)(void *arg, const struct vp_hotfix_name *name, vp_gva *at, struct vp_err *err);
	/* Where the guest's code goes instead of __x86_return_thunk or __x86_indirect_*. A return
	 * thunk at 0: it executes a plain ret. */
	int (*thunk)(void *arg, const char *name, vp_gva *at, struct vp_err *err);
	/* 1 or 0: boot_cpu_has(@bit), X86_FEATURE_* and X86_BUG_*. */
	int (*cpu_has)(void *arg, unsigned int bit, struct vp_err *err);
	/* The 8 bytes at @at of the guest's data. */
	int (*read_pointer)(void *arg, vp_gva at, uint64_t *value, struct vp_err *err);
};

/* Three areas of memory, each of whole pages; what is empty has no pages. */
enum vp_hotfix_area { VP_AREA_TEXT, VP_AREA_RODATA, VP_AREA_DATA, VP_AREA_COUNT };

struct vp_hotfix_redirect {
	const struct vp_hotfix_function *function; /* of the object */
	vp_gva old, replacement;
};

struct vp_hotfix_guest_call {
	const struct vp_hotfix_call *call; /* of the object */
	vp_gva at;
};

struct vp_hotfix_image {
	struct {
		vp_gva base;
		uint8_t *bytes; /* @size, whole pages */
		size_t size;
	} areas[VP_AREA_COUNT];
	struct vp_hotfix_redirect *redirects; /* as many as the object has functions */
	size_t nredirects;
	struct vp_hotfix_guest_call *calls;
	size_t ncalls;
};

struct vp_hotfix_link;

/*
 * @object must outlive the link, @world is not needed any more. -ENOEXEC: it cannot be linked for
 * this guest; all reasons are in @blockers, the first in @err. -ENOMEM.
 */
int vp_hotfix_link_open(const struct vp_hotfix_object *object, const struct vp_hotfix_world *world,
			struct vp_hotfix_link **out, struct vp_blockers *blockers,
			struct vp_err *err);

/* NULL is fine. */
void vp_hotfix_link_close(struct vp_hotfix_link *link);

/* Bytes that an area needs: a number of whole pages, or 0. */
size_t vp_hotfix_link_size(const struct vp_hotfix_link *link, enum vp_hotfix_area area);

/*
 * Link for these bases, aligned to pages (of an empty area: any). @out is the caller's to give to
 * vp_hotfix_image_free(). Unused text is int3, other unused bytes are 0. -EINVAL: a base is not
 * aligned; -ENOEXEC: something is out of reach from there, see @blockers and @err; -ENOMEM.
 */
int vp_hotfix_link_at(const struct vp_hotfix_link *link, const vp_gva bases[VP_AREA_COUNT],
		      struct vp_hotfix_image *out, struct vp_blockers *blockers,
		      struct vp_err *err);

void vp_hotfix_image_free(struct vp_hotfix_image *image);

/* Link for bases from @at on, and drop the result. Errors as vp_hotfix_link_at(). */
int vp_hotfix_link_try(const struct vp_hotfix_link *link, vp_gva at, struct vp_blockers *blockers,
		       struct vp_err *err);

#endif /* VP_HOTFIX_LINK_H */
