/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A livepatch module of the kernel's own kind (.ko), made into an object of ours: the functions
 * that it brings and what these reach, with the records of include/vmpoke/hotfix.h. The one linker
 * takes it from there. docs/livepatch-modules.md says what is taken and what is refused.
 */
#ifndef VP_HOTFIX_LIVEPATCH_H
#define VP_HOTFIX_LIVEPATCH_H

#include "elf/object.h"
#include "hotfix/blockers.h"
#include "linux/module_layout.h"

/* Does it say that it is one (.modinfo has livepatch=Y)? */
bool vp_livepatch_is(const struct vp_elf_object *module);

/* The kernel that it is for. */
struct vp_livepatch_kernel {
	const char *release;
	const struct vp_klp_layout *layout; /* by its type information; may be unknown */
};

/*
 * @image (malloc()ed) gets the object. -ENOEXEC: it cannot be had, every reason is in @blockers,
 * the first in @err. -ENOMEM.
 */
int vp_livepatch_convert(const struct vp_elf_object *module,
			 const struct vp_livepatch_kernel *kernel, void **image, size_t *len,
			 struct vp_blockers *blockers, struct vp_err *err);

#endif /* VP_HOTFIX_LIVEPATCH_H */
