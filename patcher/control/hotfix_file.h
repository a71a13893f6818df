/* SPDX-License-Identifier: Apache-2.0 */
/* hotfix-check without a guest: against the kernel in a file. */
#ifndef VP_CONTROL_HOTFIX_FILE_H
#define VP_CONTROL_HOTFIX_FILE_H

#include <jansson.h>

#include "sign/check.h"

/* An object on its way. */
struct vp_hotfix_sent {
	const char *what;      /* its path, for texts */
	const char *hex;       /* its bytes */
	const char *signature; /* those of its .minisig; NULL: there is none */
};

/*
 * May it be used, as far as these keyrings say? Nothing of it is looked at but its signature.
 * -EKEYREJECTED, -EINVAL, -ENOEXEC, as vp_hotfix_opened_read(), but @err does not name it.
 */
int vp_hotfix_sent_check(const struct vp_hotfix_sent *sent, const struct vp_keyrings *keyrings,
			 struct vp_err *err);

/*
 * As the command hotfix-check answers (docs/control-protocol.md), with "kernel", the release that
 * the file @kernel has, and "untold", the texts of what only a guest can tell. NULL: *code says
 * why: -errno, as vp_linux_open_file() and hotfix-check have it.
 */
json_t *vp_hotfix_check_file(const char *kernel, const struct vp_hotfix_sent *sent,
			     const struct vp_keyrings *keyrings, int *code, struct vp_err *err);

#endif /* VP_CONTROL_HOTFIX_FILE_H */
