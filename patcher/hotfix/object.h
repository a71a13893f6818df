/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hotfix says of itself: the notes that include/vmpoke/hotfix.h makes, read from an object
 * that may be hostile. Every text is one printable line within its bounds, every number is a known
 * one, every replacement is a place in the object's code.
 *
 * Threads: what was opened is only read, so any number may use it.
 */
#ifndef VP_HOTFIX_OBJECT_H
#define VP_HOTFIX_OBJECT_H

#include <vmpoke/hotfix.h>
#include <vmpoke/types.h>

#include "elf/object.h"
#include "hotfix/blockers.h"

struct vp_hotfix_object;

/* A symbol of the kernel, and which one if several have that name. */
struct vp_hotfix_name {
	const char *name;
	enum vmpoke_which which;
	const char *where;	 /* FILE, BESIDE, MODULE; CODE, USED: a module or ""; else "" */
	unsigned int number;	 /* NTH: from 1; else 0 */
	const uint8_t *expected; /* CODE: the digest, else NULL */
	const struct vp_hotfix_use *use; /* USED, else NULL */
};

/* A place in the kernel's code that leads to a symbol. */
struct vp_hotfix_use {
	struct vp_hotfix_name function; /* not USED */
	uint64_t offset;
	uint32_t type;
	int64_t addend;
	uint8_t expected[32]; /* the function's code */
};

/* A place in the object. */
struct vp_hotfix_place {
	size_t section;
	uint64_t offset;
};

struct vp_hotfix_function {
	struct vp_hotfix_name old;
	struct vp_hotfix_place replacement;
	const char *replacement_name; /* "" if the object has no symbol there */
	bool expects;		      /* expected is told */
	uint8_t expected[32];
	uint64_t expected_at; /* where that is in the object's file */
};

struct vp_hotfix_call {
	enum vmpoke_when when;
	uint64_t order;		      /* they stand in about in this order */
	bool own;		      /* a function of this object */
	struct vp_hotfix_place place; /* own */
	const char *name;	      /* of the kernel, or of the object (then it may be "") */
};

struct vp_hotfix_about {
	const char *name, *version, *description;
	const char *const *releases; /* what VMPOKE_FOR() said: any of them */
	size_t nreleases;
	const char *const *build_ids; /* lower-case hexadecimal */
	size_t nbuild_ids;
	const struct vp_hotfix_function *functions; /* at least one */
	size_t nfunctions;
	const struct vp_hotfix_name *symbols; /* how to tell apart what the code refers to */
	size_t nsymbols;
	const struct vp_hotfix_call *calls;
	size_t ncalls;
};

/*
 * Read the metadata of @elf, which must outlive @out. What is wrong with it goes into @blockers,
 * all of it, and makes -ENOEXEC with the first as @err. -ENOMEM.
 */
int vp_hotfix_object_open(const struct vp_elf_object *elf, struct vp_hotfix_object **out,
			  struct vp_blockers *blockers, struct vp_err *err);

/* NULL is fine. */
void vp_hotfix_object_close(struct vp_hotfix_object *object);

/* Owned by the object. */
const struct vp_hotfix_about *vp_hotfix_object_about(const struct vp_hotfix_object *object);
const struct vp_elf_object *vp_hotfix_object_elf(const struct vp_hotfix_object *object);

/* Is it for this kernel? Either may be NULL: not known. @build_id is hexadecimal. */
bool vp_hotfix_object_is_for(const struct vp_hotfix_object *object, const char *release,
			     const char *build_id);

#endif /* VP_HOTFIX_OBJECT_H */
