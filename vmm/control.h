/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's control socket: docs/control-protocol.md served for one VM. */
#ifndef VP_VMM_CONTROL_H
#define VP_VMM_CONTROL_H

#include "vmm/vm.h"

struct vp_vm_control;

/* It and what it points to are borrowed until vp_vm_control_stop(). */
struct vp_vm_control_config {
	const char *path;    /* of the socket */
	const char *ledger;  /* a file that records every poke; NULL: nothing is recorded */
	const char *keyring; /* of the user: struct vp_keyrings; NULL: none */
};

/*
 * Take cfg->path, before there is a VM: clients may connect, and wait. Errors as
 * vp_qmp_server_new(). Then give it the VM (borrowed), and when the guest runs serve them on a
 * thread of its own.
 */
int vp_vm_control_listen(const struct vp_vm_control_config *cfg, struct vp_vm_control **out,
			 struct vp_err *err);
int vp_vm_control_attach(struct vp_vm_control *c, struct vp_vm *vm, struct vp_err *err);
int vp_vm_control_serve(struct vp_vm_control *c, struct vp_err *err);

/* Tell the clients that the guest has ended (@st), finish the command in hand, close, join. */
void vp_vm_control_stop(struct vp_vm_control *c, const struct vp_vm_status *st);

#endif /* VP_VMM_CONTROL_H */
