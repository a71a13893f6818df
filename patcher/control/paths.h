/* SPDX-License-Identifier: Apache-2.0 */
/* Where vmpoke keeps its files. */
#ifndef VP_CONTROL_PATHS_H
#define VP_CONTROL_PATHS_H

#include <vmpoke/types.h>

/*
 * Ledgers and locks / control sockets: $VMPOKE_STATE_DIR, $VMPOKE_RUNTIME_DIR, or where the user's
 * system puts such things (docs/vmpoke.1, ENVIRONMENT). The folder need not exist. -ENAMETOOLONG,
 * -ENOENT.
 */
int vp_state_dir(char *path, size_t size, struct vp_err *err);
int vp_runtime_dir(char *path, size_t size, struct vp_err *err);

/*
 * The socket of a target: a path (has a '/') as it is, else NAME in the runtime folder:
 * $VMPOKE_RUNTIME_DIR, or $XDG_RUNTIME_DIR/vmpoke, or /run/vmpoke (root), or /tmp/vmpoke-UID; made
 * with mode 0700 if @create; refused when it belongs to another user. -EINVAL, -EACCES,
 * -ENAMETOOLONG.
 */
int vp_socket_path(const char *target, bool create, char *path, size_t size, struct vp_err *err);

#endif /* VP_CONTROL_PATHS_H */
