/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hotfix object of what is kept of the changed sources: code and data in a section for each,
 * the records that include/vmpoke/hotfix.h describes, and a symbol for each thing of the kernel.
 */
#ifndef VP_DIFF_EMIT_H
#define VP_DIFF_EMIT_H

#include "diff/keep.h"

struct vp_emit_about {
	const char *name, *version, *description, *release;
	/*
	 * Which module exports @symbol: NULL: none, or the kernel itself. Asked for symbols that
	 * are not of the source.
	 */
	const char *(*exported_by)(void *arg, const char *symbol, bool *exported);
	void *arg;
};

/*
 * @whole: the source before, compiled as the kernel is, without sections of their own: what code is
 * expected, and who uses what of several of one name. NULL, or empty: that is not told.
 */
struct vp_emit_source {
	struct vp_keep *keep;
	struct vp_unit *whole;
};

/*
 * *@image is malloc()ed. What is in the way goes into the blockers of the sources' keep, and makes
 * -EOPNOTSUPP; -ENOMEM.
 */
int vp_emit(const struct vp_emit_source *sources, size_t n, const struct vp_emit_about *about,
	    void **image, size_t *len, struct vp_err *err);

#endif /* VP_DIFF_EMIT_H */
