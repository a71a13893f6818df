/* SPDX-License-Identifier: Apache-2.0 */
/* One source through the kernel's kbuild. */
#ifndef VP_BUILD_KBUILD_H
#define VP_BUILD_KBUILD_H

#include "build/build.h"
#include "build/scratch.h"

struct vp_kbuild {
	const struct vp_build_opts *opts;
	const struct vp_headers *headers;
	struct vp_scratch scratch;
	char source[PATH_MAX]; /* absolute */
	char name[64];	       /* of the object in the scratch folder, without ".o" */
};

/*
 * The name that kbuild shall know @source by: its own without ".c", as far as kbuild takes it (it
 * becomes KBUILD_MODNAME, which messages of the kernel begin with); else "hotfix". -EINVAL: it does
 * not end in ".c".
 */
int vp_kbuild_name(const char *source, char *name, size_t size);

/* Is it a name of a module? */
bool vp_kbuild_is_module(const char *name);

/* Lay out the scratch folder of @k, all but .scratch set: makefile, headers, links to the source.
 */
int vp_kbuild_prepare(struct vp_kbuild *k, struct vp_err *err);

/*
 * Compile. On success the object is @k->scratch.path/@k->name.o. @report: .said and .compiler.
 * Errors as vp_build() has them.
 */
int vp_kbuild_run(const struct vp_kbuild *k, struct vp_build_report *report, struct vp_err *err);

#endif /* VP_BUILD_KBUILD_H */
