/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of a stock QEMU or of libvirt, with the control commands in this process: what the socket
 * of our VMM is for our own guests.
 */
#ifndef VP_CONTROL_REMOTE_H
#define VP_CONTROL_REMOTE_H

#include <vmpoke/qemu.h>

#include "control/control.h"

struct vp_remote;

struct vp_remote_config {
	const char *state_dir;	 /* ledgers and locks are kept there */
	const char *kernel_file; /* must agree with the guest's kernel; NULL: none */
	const char *keyring;	 /* of the user: struct vp_keyrings; NULL: none */
	unsigned int timeout_ms; /* for each answer of QEMU; 0: VP_TIMEOUT_MS */
	/* Put right what an earlier process left behind, and how; NULL: only say so. Borrowed. */
	const struct vp_recover *recover;
};

/* Is @target of one of the forms qemu+gdb:PATH, qemu+qmp:PATH, libvirt:NAME, libvirt+URI:NAME? */
bool vp_remote_is(const char *target);

/*
 * The parts of libvirt:NAME and libvirt+URI:NAME: @uri for free(), NULL: libvirt's default; @name
 * lies in @target. False: it is of another form, or there is no memory.
 */
bool vp_remote_libvirt(const char *target, char **uri, const char **name);

/* Is all of it there that such a form has? -EINVAL. */
int vp_remote_check(const char *target, struct vp_err *err);

/*
 * The lines of the ledger of a libvirt domain that is off, or that libvirt does not know any more
 * if it is named by its UUID. NULL: it is neither, or there is no ledger of it.
 */
json_t *vp_remote_history_off(const char *target, const struct vp_remote_config *cfg);

/*
 * Open a guest. Errors as vp_qemu_open() and vp_qemu_open_libvirt(), and
 *  -EINVAL   @target has not one of these forms
 *  with cfg->recover, as vp_control_recover()
 */
int vp_remote_open(const char *target, const struct vp_remote_config *cfg, struct vp_remote **out,
		   struct vp_err *err);

/* Have @event told what a command says while it runs; NULL: nobody. */
void vp_remote_listen(struct vp_remote *r, void (*event)(const char *name, const json_t *data));

/* Let it go, as it was found. An error says that it may be stopped, and what to do. */
int vp_remote_close(struct vp_remote *r, struct vp_err *err);

/* As vp_qmp_call(): -errno, -ENOSYS: there is no such command here. @args is stolen. */
int vp_remote_call(struct vp_remote *r, const char *command, json_t *args, json_t **ret,
		   struct vp_err *err);

/* After an open with cfg->recover: what was done; and was the VM found stopped? */
bool vp_remote_recovered(const struct vp_remote *r, struct vp_recovered *out);

/* What needs a person's attention, as one line; NULL: nothing that is known. */
const char *vp_remote_attention(const struct vp_remote *r);

#endif /* VP_CONTROL_REMOTE_H */
