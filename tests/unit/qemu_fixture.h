/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the qemu target share: a fake QEMU, and the two ways to it. */
#ifndef VP_QEMU_FIXTURE_H
#define VP_QEMU_FIXTURE_H

#include "unit.h"

#include "fake_qemu.h"

#include <vmpoke/qemu.h>

#include <sys/types.h>

#define HANG_MS	 20000u
#define SHORT_MS 60u /* for answers that never come */
#define SITE	 VP_GPA(0x123456)

struct fixture {
	struct fake_qemu *q;
	char state_dir[40];
	struct vp_qemu_config qmp, gdb; /* the two ways */
	struct vp_err err;
};

int qemu_setup(void **state);
int qemu_teardown(void **state);

/* Does it run, or will it when what was sent to it last has come? */
bool runs(struct fixture *f);
void set_version(struct fixture *f, int major, int minor);

/* Open it; it must succeed. Or be refused with @code and a text that holds @part. */
struct vp_qemu *open_well(struct fixture *f, const struct vp_qemu_config *cfg);
void refused(struct fixture *f, const struct vp_qemu_config *cfg, int code, const char *part);

/* Open by QMP, and fail to stop it. */
void not_stopped(struct fixture *f, int code, const char *part);

/* Read, stop, write and resume, as it is meant to be. */
void use(struct fixture *f, struct vp_qemu *q);

/* A fake in a process of its own, until the pipe @end is closed. */
pid_t other_vm(char *qmp, char *gdb, size_t size, int *end);
void end_other_vm(pid_t pid, int end);

/* A process that stops the VM, writes 0xcc to SITE, and is killed. */
void be_killed(const struct vp_qemu_config *cfg);

/* What needs no stop works on a VM that is marked, and leaves it and the mark; nothing else does.
 */
void looked_at(struct fixture *f);

/* For vp_qemu_config.repair: put SITE right (arg: the fixture); or fail. */
int repaired(void *arg, struct vp_target *t, const char *identity, const char *process,
	     struct vp_err *err);
int not_repaired(void *arg, struct vp_target *t, const char *identity, const char *process,
		 struct vp_err *err);

#endif /* VP_QEMU_FIXTURE_H */
