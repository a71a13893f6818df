/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU says of its VM: by QMP, whose answers have types, where the monitor carries it; else,
 * with a gdbstub alone, by the human monitor (hmp.h). What cannot be known for sure is an error.
 */
#ifndef VP_TARGET_MONITOR_ASK_H
#define VP_TARGET_MONITOR_ASK_H

#include "target/monitor.h"

/* RunState in QEMU's qapi/run-state.json. */
struct vp_runstate {
	char name[32]; /* as QMP names it: "running", "paused", "postmigrate", ... */
	char text[48]; /* for people: "running", "paused", "paused (postmigrate)" */
	bool running;
	/*
	 * Stopped by a mere stop ("paused", "debug"), so that going on undoes it. All other states
	 * are somebody else's: in "postmigrate" the VM may run on another host already.
	 */
	bool paused;
};
int vp_ask_runstate(struct vp_monitor *m, struct vp_runstate *state, struct vp_err *err);

/* MigrationStatus in QEMU's qapi/migration.json. A status that is not known is under way. */
struct vp_migration {
	char status[32]; /* "none", "active", "completed", ... */
	bool under_way;	 /* a migration, or a snapshot that is made like one */
};
int vp_ask_migration(struct vp_monitor *m, struct vp_migration *migration, struct vp_err *err);

/* Both, in one question. -EOPNOTSUPP: this way carries only one at a time. */
struct vp_now {
	struct vp_runstate state;
	struct vp_migration migration;
};
int vp_ask_now(struct vp_monitor *m, struct vp_now *now, struct vp_err *err);

/* The same of what the human monitor has printed to "info status" and "info migrate". */
int vp_runstate_of(const char *status, struct vp_runstate *state, struct vp_err *err);
int vp_migration_of(const char *migrate, struct vp_migration *migration, struct vp_err *err);

/* QEMU's version: as text; @number 702 for 7.2.x (may be NULL). */
int vp_ask_version(struct vp_monitor *m, char *text, size_t size, unsigned int *number,
		   struct vp_err *err);

/* The VM's name, "" without one; its UUID, all zero without one; what runs it: "kvm", "tcg", ... */
int vp_ask_name(struct vp_monitor *m, char *name, size_t size, struct vp_err *err);
int vp_ask_uuid(struct vp_monitor *m, char *uuid, size_t size, struct vp_err *err);
int vp_ask_accel(struct vp_monitor *m, unsigned int version, char *accel, size_t size,
		 struct vp_err *err);

/*
 * What encrypts the guest's memory: "SEV", "SEV-ES", "SEV-SNP", "TDX", or the name of another kind
 * that the machine is given; "": nothing does.
 */
int vp_ask_confidential(struct vp_monitor *m, char *kind, size_t size, struct vp_err *err);

/* How many vCPUs it has. */
int vp_ask_vcpus(struct vp_monitor *m, unsigned int *n, struct vp_err *err);

#endif /* VP_TARGET_MONITOR_ASK_H */
