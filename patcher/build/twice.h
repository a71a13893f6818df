/* SPDX-License-Identifier: Apache-2.0 */
/* One source of a kernel's tree, compiled as it is before a diff and after it. */
#ifndef VP_BUILD_TWICE_H
#define VP_BUILD_TWICE_H

#include "base/sha256.h"
#include "build/build.h"
#include "build/make.h"
#include "build/tree.h"
#include "elf/object.h"

/* How it is compiled: what each is for, diff/keep.h says; makefile: tree.c. */
enum vp_pass { VP_PASS_BEFORE, VP_PASS_WHOLE, VP_PASS_AFTER, VP_PASS_CODE, VP_PASSES };

struct vp_compiled {
	const char *path; /* of the tree */
	bool built;	  /* this kernel has it */
	char module[64];  /* "": the kernel itself */
	struct vp_elf_object *objects[VP_PASSES];
	uint8_t digests[VP_PASSES][VP_SHA256_SIZE]; /* of their files */
	char *functions;	/* of which file each is, as the compiler says */
	char *types[VP_PASSES]; /* what the compiler knows of each structure; BEFORE and AFTER */
};

/*
 * Compile @c for @pass. -EBADMSG: it does not compile, @said (malloc()ed, for the user) tells why;
 * others as vp_build().
 */
int vp_twice_compile(struct vp_compiled *c, enum vp_pass pass, const struct vp_make *make,
		     char **said, struct vp_err *err);

/*
 * Did the last pass take in the tree's own copy of @path, if it took it in? -EOPNOTSUPP: another
 * one, which the diff does not change: by a folder that is a link, or by the package of headers.
 */
int vp_twice_reads(const struct vp_compiled *c, const struct vp_make *make, const char *path,
		   struct vp_err *err);

/* Is @function of a header? @arg: struct vp_compiled. */
bool vp_twice_in_header(void *arg, const char *function);

/* Did AFTER give other bytes than BEFORE? */
bool vp_twice_differs(const struct vp_compiled *c);

void vp_twice_free(struct vp_compiled *c);

/*
 * A structure that both know and that is laid out differently: its name, in @name. False: none is.
 */
bool vp_twice_structure(const struct vp_compiled *c, char *name, size_t size);

#endif /* VP_BUILD_TWICE_H */
