/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From C to a hotfix object. The kernel's own kbuild compiles the source with the kernel's own
 * flags; headers of ours, which come before the kernel's, keep out what only the kernel's build
 * and boot could serve (kernel/); what comes out is checked. docs/writing-hotfixes.md tells users.
 *
 *	scratch	 a folder for all that is written on the way
 *	headers	 what kernel it is for, and where its kbuild is
 *	kbuild	 the makefile, make, and what it said
 *	tidy	 without what no linker wants, with the kernel it is for
 *	check	 can it be a hotfix, for a guest that has all that it refers to?
 */
#ifndef VP_BUILD_BUILD_H
#define VP_BUILD_BUILD_H

#include <vmpoke/types.h>

#include "build/headers.h"
#include "diff/why.h"
#include "hotfix/blockers.h"

struct vp_build_opts {
	const char *source; /* a .c file, or a kernel's source tree; nothing is written there */
	const char *patch;  /* a diff of the tree; NULL: source is a file */
	const char *name;   /* of the hotfix that is made of a diff */
	const char
		*headers; /* see build/headers.h; NULL: the tree, which was prepared for modules */
	const char *out;
	const char *cc;	    /* NULL: the compiler that built the kernel */
	const char *module; /* for functions of this module; NULL: of the kernel itself */
	bool keep;	    /* the scratch folder stays */
	bool keep_debug;    /* with debug information */
	int stop_fd;	    /* readable: give up; -1: nothing stops it */
	/* Of a diff: told what becomes of each function of source @path; NULL: nobody asks. */
	void (*why)(void *arg, const char *path, const struct vp_why *w);
	void *arg;
};

struct vp_build_report {
	struct vp_headers headers;
	char compiler[256];	     /* what compiled it, as it calls itself */
	char scratch[PATH_MAX];	     /* that stayed, or "" */
	char *said;		     /* what make and the compiler said, for the user; or NULL */
	size_t functions;	     /* that are replaced */
	struct vp_blockers blockers; /* why it cannot be a hotfix: -EOPNOTSUPP */
	struct vp_blockers notes;    /* what of a diff was left out, and why */
	size_t bytes;		     /* of the object */
};

/*
 * Build @opts->out, which is replaced only by what is whole. @report is filled as far as it came,
 * also on error; the caller frees it (vp_build_report_free()). -ENOEXEC: a bad input file or
 * folder; -EBADMSG: it does not compile; -EOPNOTSUPP: it compiles, and cannot be a hotfix; -ENODEV:
 * this host lacks a program; -ECANCELED: stopped; -EROFS: @opts->out cannot be written; other
 * -errno: this host's fault.
 */
int vp_build(const struct vp_build_opts *opts, struct vp_build_report *report, struct vp_err *err);

/* The same of a diff. -ENODATA: no code changes by it. */
int vp_build_patch(const struct vp_build_opts *opts, struct vp_build_report *report,
		   struct vp_err *err);

void vp_build_report_free(struct vp_build_report *report);

#endif /* VP_BUILD_BUILD_H */
