/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel in a file, without a guest that runs it. */
#ifndef VP_LINUX_FILE_H
#define VP_LINUX_FILE_H

#include "linux/blob.h"

#include <vmpoke/linux.h>

/*
 * Open the kernel of a vmlinux or bzImage as one that runs is opened, at the address it is linked
 * for. Of the functions of linux.h it is for vp_linux_info(), whose places are those of the link,
 * _symbols(), _nearest(), _read(), _function(), _features() and vp_linux_free(). It has no modules.
 *  -ENOEXEC     it cannot be read, or is no vmlinux or bzImage, or damaged
 *  -ENOENT      it is no Linux, or has no symbols (kallsyms)
 *  -EOPNOTSUPP  they are those of its text only
 *  -EBADMSG     they make no sense
 */
int vp_linux_open_file(const char *path, struct vp_linux **out, struct vp_err *err);

/* The same of bytes; @what names them in error texts. */
int vp_linux_open_image(const struct vp_blob *file, const char *what, struct vp_linux **out,
			struct vp_err *err);

/*
 * Is it of a file? Then vp_linux_function_find() tells whether the entry will have ftrace's nop and
 * record; not what somebody does with it. vp_linux_features_read() has no CPU.
 */
bool vp_linux_is_file(const struct vp_linux *l);

#endif /* VP_LINUX_FILE_H */
