/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two files a VM, in the state folder. KEY.lock: its flock() says that a vmpoke process is at work
 * on the VM; the kernel drops it when the process ends, however it ends. The *mark*, KEY.mark or
 * KEY-PROCESS.mark: a vmpoke has stopped the VM, or is about to; it is removed when the VM runs
 * again. A mark without a lock is the trace of one that was killed in between. A mark names the
 * process of the VM (process.h) as far as it is known, and is void once that is gone. It is not
 * synced to the disk: a host that goes down takes the VM with it.
 */
#ifndef VP_TARGET_VMLOCK_H
#define VP_TARGET_VMLOCK_H

#include <vmpoke/types.h>

#include "target/process.h"

/* Of vmpoke's own commands. */
#define VP_KEEPER "vmpoke"

struct vp_vmlock;

/* @key: letters, digits, '-'. The folder is made if need be. -EACCES, -ENOSPC, ... */
int vp_vmlock_open(const char *dir, const char *key, struct vp_vmlock **out, struct vp_err *err);
void vp_vmlock_close(struct vp_vmlock *l);

/*
 * Who keeps the record of what is written while it is marked: a word (vp_qemu_config.keeper), which
 * the marks carry. Before anything is marked. -EINVAL.
 */
int vp_vmlock_keeper(struct vp_vmlock *l, const char *keeper, struct vp_err *err);

/*
 * After vp_vmlock_interrupted() has found a mark: whose it is (NULL: it does not say); the same if
 * that is another's, which is never written over; else NULL.
 */
const char *vp_vmlock_found_keeper(const struct vp_vmlock *l);
const char *vp_vmlock_other_keeper(const struct vp_vmlock *l);

/*
 * Which process is the VM's (struct vp_process.text; "" if unknown): marks name it from now on.
 * @own: other VMs may have the same key, so that its mark is in a file of its own.
 */
void vp_vmlock_of(struct vp_vmlock *l, const char *process, bool own);

/*
 * The mark of another key, in the same folder, of a VM that @is the one that is meant: its key, and
 * the VM's process. False: there is none.
 */
bool vp_vmlock_find(struct vp_vmlock *l, bool (*is)(const char *process, const char *arg),
		    const char *arg, char key[80], char process[VP_PROCESS_TEXT]);

/* Take the lock; nests. -ETIMEDOUT: another process works on this VM. */
int vp_vmlock_take(struct vp_vmlock *l, unsigned int timeout_ms, struct vp_err *err);
void vp_vmlock_drop(struct vp_vmlock *l);

/*
 * With the lock: mark, unmark. vp_vmlock_interrupted(): 0, or the process that marked it and is
 * gone (-1: it cannot be told which).
 */
int vp_vmlock_mark(struct vp_vmlock *l, struct vp_err *err);
void vp_vmlock_unmark(struct vp_vmlock *l);
int vp_vmlock_interrupted(struct vp_vmlock *l);

/*
 * With the lock: a line in the mark, for whoever takes over after we were killed; from now on until
 * unmark. It may have VP_NOTE_MAX characters, none of them a line end. vp_vmlock_noted(): ours, or
 * that of the mark which vp_vmlock_interrupted() has found; "" if there is none.
 */
#define VP_NOTE_MAX 800
int vp_vmlock_note(struct vp_vmlock *l, const char *text, struct vp_err *err);
const char *vp_vmlock_noted(const struct vp_vmlock *l);

#endif /* VP_TARGET_VMLOCK_H */
