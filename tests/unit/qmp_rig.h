/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the QMP server share: one that serves on a thread, and raw clients. */
#ifndef VP_QMP_RIG_H
#define VP_QMP_RIG_H

#include "unit.h"

#include "target/qmp.h"

#include <pthread.h>

#define HANG_MS 20000u /* nothing here takes long: only a hang gets this far */

struct qmp_rig {
	char dir[32], path[48];
	struct vp_qmp_server *server;
	pthread_t thread;
};

void qmp_rig_start(struct qmp_rig *r, const struct vp_qmp_command *commands, void *arg);
void qmp_rig_stop(struct qmp_rig *r);

/* Connect; and read the greeting and negotiate. */
int qmp_dial(const struct qmp_rig *r);
int qmp_dial_ready(const struct qmp_rig *r);

/* The next line as JSON; NULL: the server hung up. */
json_t *qmp_get(int fd);

#endif /* VP_QMP_RIG_H */
