/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of vmpoke hotfix; each cmd_hotfix_*.c owns its options. */
#ifndef VP_CLI_CMD_HOTFIX_H
#define VP_CLI_CMD_HOTFIX_H

#include "cli/cmd.h"

extern const struct vp_cmd vp_hotfix_commands[];

int vp_cmd_hotfix_build(int argc, char **argv);
int vp_cmd_hotfix_check(int argc, char **argv);
int vp_cmd_hotfix_diff(int argc, char **argv);
int vp_cmd_hotfix_expect(int argc, char **argv);
int vp_cmd_hotfix_keygen(int argc, char **argv);
int vp_cmd_hotfix_sign(int argc, char **argv);
int vp_cmd_hotfix_apply(int argc, char **argv);
int vp_cmd_hotfix_remove(int argc, char **argv);
int vp_cmd_hotfix_list(int argc, char **argv);

#endif /* VP_CLI_CMD_HOTFIX_H */
