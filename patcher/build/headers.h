/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of a kernel that modules (and hotfixes) are built against: a folder of Debian's
 * package linux-headers-*, installed or only unpacked, or a kernel's own build folder.
 */
#ifndef VP_BUILD_HEADERS_H
#define VP_BUILD_HEADERS_H

#include <limits.h>
#include <vmpoke/types.h>

struct vp_headers {
	char dir[PATH_MAX];	 /* absolute, without links */
	char makefile[PATH_MAX]; /* kbuild's own; "": the one in dir */
	char release[65];	 /* what uname -r says on that kernel: a word */
	char compiler[256];	 /* what built it, as it calls itself: "gcc-12 (Debian ...) ..." */
};

/*
 * Look at @dir. -ENOENT, -ENOTDIR, -EACCES: no such folder; -ENOEXEC: it holds no headers, not all
 * of them, or those of another machine; -EINVAL: kbuild cannot work at such a path.
 */
int vp_headers_open(const char *dir, struct vp_headers *h, struct vp_err *err);

/* The program that built the kernel, the first word of .compiler: "gcc-12". */
void vp_headers_program(const struct vp_headers *h, char *name, size_t size);

#endif /* VP_BUILD_HEADERS_H */
