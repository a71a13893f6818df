/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's control socket: docs/control-protocol.md served for one VM. */
#ifndef VP_VMM_CONTROL_H
#define VP_VMM_CONTROL_H

#include "vmm/vm.h"

struct vp_control;

/* Listen on @path and serve @vm (borrowed) on a thread of its own. Errors as vp_qmp_server_new().
 */
int vp_control_start(struct vp_vm *vm, const char *path, struct vp_control **out,
		     struct vp_err *err);

/* Tell the clients that the guest has ended (@st), finish the command in hand, close, join. */
void vp_control_stop(struct vp_control *c, const struct vp_vm_status *st);

#endif /* VP_VMM_CONTROL_H */
