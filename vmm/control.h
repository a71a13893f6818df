/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's control socket: docs/control-protocol.md served for one VM. */
#ifndef VP_VMM_CONTROL_H
#define VP_VMM_CONTROL_H

#include "vmm/vm.h"

struct vp_control;

/*
 * Take @path for @vm (borrowed): clients may connect, and wait. Errors as vp_qmp_server_new().
 * Then, when the guest runs, serve them on a thread of its own.
 */
int vp_control_listen(struct vp_vm *vm, const char *path, struct vp_control **out,
		      struct vp_err *err);
int vp_control_serve(struct vp_control *c, struct vp_err *err);

/* Tell the clients that the guest has ended (@st), finish the command in hand, close, join. */
void vp_control_stop(struct vp_control *c, const struct vp_vm_status *st);

#endif /* VP_VMM_CONTROL_H */
