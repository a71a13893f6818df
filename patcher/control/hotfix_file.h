/* SPDX-License-Identifier: Apache-2.0 */
/* hotfix-check without a guest: against the kernel in a file. */
#ifndef VP_CONTROL_HOTFIX_FILE_H
#define VP_CONTROL_HOTFIX_FILE_H

#include <jansson.h>

#include <vmpoke/types.h>

/*
 * As the command hotfix-check answers (docs/control-protocol.md), with "kernel", the release that
 * the file @kernel has, and "untold", the texts of what only a guest can tell. @hex: the object,
 * named @what. NULL: *code says why: -errno, as vp_linux_open_file() and hotfix-check have it.
 */
json_t *vp_hotfix_check_file(const char *kernel, const char *what, const char *hex, int *code,
			     struct vp_err *err);

#endif /* VP_CONTROL_HOTFIX_FILE_H */
