/* SPDX-License-Identifier: Apache-2.0 */
/* The object as it came from the assembler, made into what is given out. */
#ifndef VP_BUILD_TIDY_H
#define VP_BUILD_TIDY_H

#include "build/scratch.h"

/*
 * Make NAME.hotfix of NAME.o, in the scratch folder, by objcopy: without notes, comments, module
 * information, and sections that the kernel's own linker scripts throw away (.discard.*). If the
 * source does not say which kernels it is for, it is for @release. -EOPNOTSUPP: it does not say
 * what it is; -ENODEV: there is no objcopy; -ECANCELED; other -errno.
 */
int vp_tidy(const struct vp_scratch *s, const char *name, const char *release, int stop_fd,
	    struct vp_err *err);

/* Is there a text that begins with @key in the @len bytes of a section .vmpoke.info? */
bool vp_tidy_tells(const char *info, size_t len, const char *key);

#endif /* VP_BUILD_TIDY_H */
