/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a hotfix fit the guest that runs now? Everything is looked at that can be without writing:
 * whether it is for this kernel, what every function and symbol is there, whether their entries
 * can be redirected, whether the code is as expected, whether it links. Not whether somebody is
 * inside a function: that is a matter of the moment (vp_linux_inside_new()).
 */
#ifndef VP_HOTFIX_FIT_H
#define VP_HOTFIX_FIT_H

#include <vmpoke/linux.h>

#include "hotfix/link.h"
#include "hotfix/object.h"

struct vp_hotfix_fit {
	const struct vp_hotfix_about *about; /* of the object */
	struct vp_linux_features features;
	struct vp_linux_function *functions; /* as many as about->nfunctions, in its order */
	struct vp_hotfix_link *link;
};

/*
 * @known: where hotfixes of ours are, over which it may come (vp_linux_function_find(); NULL:
 * none). Both @l and @object must outlive @out. -ENOEXEC: it does not fit, every reason is in
 * @blockers, the first in @err. -ENOMEM; else as vp_linux_features_read() and the target's
 * operations.
 */
int vp_hotfix_fit_open(struct vp_linux *l, const struct vp_hotfix_object *object,
		       const struct vp_linux_ranges *known, struct vp_hotfix_fit **out,
		       struct vp_blockers *blockers, struct vp_err *err);

/*
 * The same for a kernel in a file (linux/file.h): what a guest tells is not looked at, and what
 * that is of this hotfix is added to @untold, a line each. fit->features has no CPU: it links for
 * one with all features and for one with none.
 */
int vp_hotfix_fit_open_file(struct vp_linux *l, const struct vp_hotfix_object *object,
			    struct vp_hotfix_fit **out, struct vp_blockers *blockers,
			    struct vp_blockers *untold, struct vp_err *err);

/* NULL is fine. */
void vp_hotfix_fit_close(struct vp_hotfix_fit *fit);

#endif /* VP_HOTFIX_FIT_H */
