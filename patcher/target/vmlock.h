/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file a VM, in the state folder. Its flock() says that a vmpoke process is at work on the VM;
 * its content that the process has stopped the VM, or is about to. The kernel drops the lock when
 * the process ends, however it ends: a file that is not locked and not empty is the trace of a
 * process that was killed in between. It is not synced to the disk: a host that goes down takes
 * the VM with it.
 */
#ifndef VP_TARGET_VMLOCK_H
#define VP_TARGET_VMLOCK_H

#include <vmpoke/types.h>

struct vp_vmlock;

/* @key: letters, digits, '-'. The folder is made if need be. -EACCES, -ENOSPC, ... */
int vp_vmlock_open(const char *dir, const char *key, struct vp_vmlock **out, struct vp_err *err);
void vp_vmlock_close(struct vp_vmlock *l);

/* Take the lock; nests. -ETIMEDOUT: another process works on this VM. */
int vp_vmlock_take(struct vp_vmlock *l, unsigned int timeout_ms, struct vp_err *err);
void vp_vmlock_drop(struct vp_vmlock *l);

/* With the lock: mark, unmark; 0 or the process that marked it and is gone. */
int vp_vmlock_mark(struct vp_vmlock *l, struct vp_err *err);
void vp_vmlock_unmark(struct vp_vmlock *l);
int vp_vmlock_interrupted(struct vp_vmlock *l);

#endif /* VP_TARGET_VMLOCK_H */
