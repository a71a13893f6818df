/* SPDX-License-Identifier: Apache-2.0 */
/* The hotfixes in a guest, for status and hotfix list. */
#ifndef VP_CLI_HOTFIXES_H
#define VP_CLI_HOTFIXES_H

#include "cli/client.h"

/*
 * What query-hotfixes returns. That it cannot be told is no failure of a command that looks: @found
 * stays NULL then, and @why says it; *@rc is -ENOENT if the guest runs no Linux. An exit code.
 */
int vp_client_hotfixes(struct vp_client *c, json_t **found, int *rc, struct vp_err *why);

/* As text, oldest first. */
void vp_hotfixes_print(const json_t *found);

#endif /* VP_CLI_HOTFIXES_H */
